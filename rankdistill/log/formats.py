"""What one file of each format says of itself: its columns and, where a footer tells, its rows.

Text formats are all strings until `log.casts`; JSON lines keep the types they are written in.
"""

from __future__ import annotations

import csv
import gzip
import io

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from rankdistill.errors import InputError, UserError
from rankdistill.log.json_schema import infer_json_schema
from rankdistill.log.source import TableSource

TREC_NAMES = ["query", "q0", "doc", "rank", "score", "tag"]


def look_into(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    """The columns of one file and, where its footer tells, its rows."""
    try:
        return _LOOKS[options.format](path, options)
    except UserError:
        raise
    except Exception as fault:
        raise unreadable(path, options.format, str(fault), options.skip_key) from fault


def unreadable(path: str, kind: str, why: str, skip_key: str | None = None) -> InputError:
    """InputError E0310; skip_key: where the source's on_corrupt is set."""
    skip = f"set {skip_key}: skip to go on without it, or " if skip_key else ""
    reason = why.strip().splitlines()[0] if why.strip() else "it is empty"
    return InputError(
        "E0310",
        f"{path} cannot be read as {kind}",
        found=reason,
        help=f"{skip}write the file again",
    )


def _parquet(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    with pq.ParquetFile(path) as file:
        footer = file.metadata
        held = sum(footer.row_group(i).num_rows for i in range(footer.num_row_groups))
        if held != footer.num_rows:
            raise ValueError(f"its footer says {footer.num_rows:,} rows, its row groups {held:,}")
        return file.schema_arrow.remove_metadata(), footer.num_rows


def _feather(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    with pa.memory_map(path) as source, pyarrow.ipc.open_file(source) as reader:
        rows = sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
        return reader.schema.remove_metadata(), rows


def _delimited(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    delimiter = options.delimiter or ("\t" if options.format == "tsv" else ",")
    with open_text(path) as file:
        first = next(csv.reader(file, delimiter=delimiter), None)
    if first is None:
        raise unreadable(path, options.format, "it is empty", options.skip_key)
    names = options.names or first
    if len(names) != len(first):
        raise InputError(
            "E0307",
            f"{path} has {len(first)} columns, names gives {len(names)}",
            found=", ".join(first[:20]),
            help="name every column of the file, in its order",
        )
    return _text_schema(names, path), None


def _trec(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    names = options.names or TREC_NAMES
    with open_text(path) as file:
        first = next((line for line in file if line.strip()), None)
    if first is None:
        raise unreadable(path, "trec", "it is empty", options.skip_key)
    if len(first.split()) != len(names):
        why = f"its first line has {len(first.split())} fields, not {len(names)}"
        raise unreadable(path, "trec", why, options.skip_key)
    return _text_schema(names, path), None


def _jsonl(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    with open_text(path) as file:
        return infer_json_schema(file, path), None


def _orc(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    from pyarrow import orc

    file = orc.ORCFile(path)
    return file.schema.remove_metadata(), file.nrows


_LOOKS = {
    "parquet": _parquet,
    "feather": _feather,
    "csv": _delimited,
    "tsv": _delimited,
    "trec": _trec,
    "jsonl": _jsonl,
    "orc": _orc,
}


def open_text(path: str) -> io.TextIOBase:
    """A UTF-8 text file, gzipped or not, with a byte order mark or without."""
    if path.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def _text_schema(names: list[str], path: str) -> pa.Schema:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            "E0306",
            f"{path} has two columns named {', '.join(repr(n) for n in twice)}",
            found=", ".join(names[:20]),
            help="rename one of them, or give other names: [...]",
        )
    return pa.schema([(name, pa.string()) for name in names])
