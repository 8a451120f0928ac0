"""Files that Spark's Python workers read themselves, as Spark's own readers do not or not exactly.

Feather has no reader in Spark; its CSV reader replaces bytes that are no UTF-8 and changes
line ends inside quotes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather

from rankdistill.engines.delivered import conform
from rankdistill.errors import InputError
from rankdistill.log.source import TableSource

MAX_ROWS = 65_536
BLOCK_BYTES = 1 << 24  # bounds the length of a row

Batches = Iterable[pa.RecordBatch]


def file_batches(
    path: str, options: TableSource, partition: dict[str, str | None], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """A file's rows with its partition values, in the columns and types of `schema`.

    Raises InputError E0310 where it is damaged.
    """
    own = [name for name in schema.names if name not in partition]
    with _named(path):
        for batch in BY_PYTHON[options.format](path, options, own):
            columns = {name: batch.column(name) for name in own}
            for name, value in partition.items():
                columns[name] = pa.repeat(pa.scalar(value, pa.string()), batch.num_rows)
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


def _feather(path: str, options: TableSource, names: list[str]) -> Batches:
    return pyarrow.feather.read_table(path, columns=names, memory_map=True).to_batches(MAX_ROWS)


def _delimited(path: str, options: TableSource, names: list[str]) -> Batches:
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
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            yield pa.RecordBatch.from_arrays(batch.columns, names=names)


BY_PYTHON: dict[str, Callable[[str, TableSource, list[str]], Batches]] = {
    "feather": _feather,
    "csv": _delimited,
    "tsv": _delimited,
}
