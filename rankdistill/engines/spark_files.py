"""Files that Spark's Python workers read themselves, as Spark's own readers do not or not exactly.

Feather has no reader in Spark. Its CSV reader replaces bytes that are no UTF-8 and changes
line ends inside quotes; its JSON reader takes a number for text. What is wrong is an error
that names the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.json

from rankdistill.engines.delivered import conform
from rankdistill.errors import InputError
from rankdistill.log.source import TableSource

LINE, FILE = (
    "rankdistill line",
    "rankdistill file",
)  # columns of a batch of lines, beside partition values
MAX_ROWS = 65_536
BLOCK_BYTES = 1 << 24  # bounds the length of a row

Batches = Iterable[pa.RecordBatch]


def file_batches(
    path: str,
    options: TableSource,
    names: list[str],
    partition: dict[str, str | None],
    schema: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    """A file's rows with its partition values, in the columns and types of `schema`.

    names: all columns of the file, in their order. Raises InputError E0310 where it is damaged.
    """
    own = [name for name in schema.names if name not in partition]
    with _named(path):
        for batch in BY_PYTHON[options.format](path, options, names, own):
            columns = {name: batch.column(name) for name in own}
            for name in set(partition) & set(schema.names):
                value = pa.scalar(partition[name], pa.string())
                columns[name] = pa.repeat(value, batch.num_rows)
            yield conform(pa.RecordBatch.from_pydict(columns), schema)


@contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, EOFError) as fault:
        raise InputError(
            "E0310",
            f"{path} cannot be read to its end: {str(fault).splitlines()[0]}",
            help="write the file again; rankdistill validate names files that are damaged",
        ) from fault


def _feather(path: str, options: TableSource, names: list[str], wanted: list[str]) -> Batches:
    return pyarrow.feather.read_table(path, columns=wanted, memory_map=True).to_batches(MAX_ROWS)


def _delimited(path: str, options: TableSource, names: list[str], wanted: list[str]) -> Batches:
    """All text; an empty field is null, quoted or not; a doubled quote is one quote."""
    delimiter = options.delimiter or ("\t" if options.format == "tsv" else ",")
    # Positional names: the file's own may be empty or occur twice under log.names.
    places = [f"c{i}" for i in range(len(names))]
    with pa.input_stream(path, compression="detect") as stream:
        reader = pyarrow.csv.open_csv(
            stream,
            pyarrow.csv.ReadOptions(
                column_names=places,
                skip_rows=int(options.header),
                use_threads=False,
                block_size=BLOCK_BYTES,
            ),
            pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(places, pa.string()),
                include_columns=[places[names.index(name)] for name in wanted],
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            yield pa.RecordBatch.from_arrays(batch.columns, names=wanted)


BY_PYTHON: dict[str, Callable[[str, TableSource, list[str], list[str]], Batches]] = {
    "feather": _feather,
    "csv": _delimited,
    "tsv": _delimited,
}


def line_batches(
    batch: pa.RecordBatch, kind: str, wanted: pa.Schema, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Rows of non-empty lines, the columns `wanted` and partition values as `schema`.

    Raises InputError E0310 for a line that is not of the format.
    """
    file = batch.column(FILE)
    if file[0] != file[len(file) - 1] or pc.count_distinct(file).as_py() > 1:
        for path in pc.unique(file):
            of_path = batch.filter(pc.equal(file, path))
            yield from line_batches(of_path, kind, wanted, schema)
        return
    path = unquote(file[0].as_py().removeprefix("file://").removeprefix("file:"))
    with _named(path):
        lines = batch.column(LINE)
        lines.validate(full=True)
        parsed = BY_LINE[kind](lines, wanted)
        columns = {
            name: parsed.column(name) if name in wanted.names else batch.column(name)
            for name in schema.names
        }
        yield conform(pa.RecordBatch.from_pydict(columns), schema)


def _json(lines: pa.Array, wanted: pa.Schema) -> pa.RecordBatch:
    data = "\n".join(lines.to_pylist()).encode()
    table = pyarrow.json.read_json(
        pa.BufferReader(data),
        pyarrow.json.ReadOptions(use_threads=False, block_size=max(len(data), 1)),
        pyarrow.json.ParseOptions(explicit_schema=wanted, unexpected_field_behavior="ignore"),
    )
    if table.num_rows != len(lines):
        raise pa.ArrowInvalid("a line is not one JSON object")
    return table.combine_chunks().to_batches()[0]


def _trec(lines: pa.Array, wanted: pa.Schema) -> pa.RecordBatch:
    """Fields are parted by any run of blanks."""
    fields = pc.split_pattern_regex(pc.utf8_trim(lines, " \t\r"), "[ \t]+")
    lengths = pc.list_value_length(fields)
    if pc.any(pc.not_equal(lengths, len(wanted))).as_py():
        odd = pc.filter(lengths, pc.not_equal(lengths, len(wanted)))[0]
        raise pa.ArrowInvalid(f"a line has {odd} fields, not {len(wanted)}")
    columns = [pc.list_element(fields, i) for i in range(len(wanted))]
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


BY_LINE: dict[str, Callable[[pa.Array, pa.Schema], pa.RecordBatch]] = {
    "jsonl": _json,
    "trec": _trec,
}
