"""The files of a source: which they are, what columns they have, and whether they can be read.

Engine-free, so that every engine sees the same files in the same shape: text formats are all
strings until `log.casts`, hive partition values are strings.
"""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from rankdistill.errors import InputError, UserError, UserErrors
from rankdistill.log.json_schema import infer_json_schema
from rankdistill.log.source import TableSource

SUFFIXES = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", ".csv.gz"),
    "tsv": (".tsv", ".tsv.gz"),
    "jsonl": (".jsonl", ".json", ".ndjson", ".jsonl.gz", ".json.gz", ".ndjson.gz"),
    "feather": (".feather", ".arrow"),
    "trec": (".run", ".trec", ".qrels", ".txt", ".gz"),
    "orc": (".orc",),
}
TREC_NAMES = ["query", "q0", "doc", "rank", "score", "tag"]
DAY_NAMES = ("dt", "ds", "date", "day")
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class LogFile:
    """One readable file; num_rows is None where only a scan would tell."""

    path: str
    size: int
    mtime_ns: int
    partition: tuple[tuple[str, str | None], ...]
    num_rows: int | None

    def fingerprint(self) -> str:
        return f"{self.path}\t{self.size}\t{self.mtime_ns}"


@dataclass(frozen=True)
class Opened:
    """A source whose files are known and agree on their columns.

    schema: the logical columns, hive partition columns last (strings).
    skipped: files set aside by on_corrupt: skip, each with the reason.
    widened: columns that some files write narrower (int32 beside int64).
    by_engine: the engine itself lists and reads them (remote places, catalogue tables); `files`
        is then what it told of them.
    """

    options: TableSource
    files: tuple[LogFile, ...]
    schema: pa.Schema
    skipped: tuple[tuple[str, str], ...] = ()
    widened: tuple[str, ...] = ()
    by_engine: bool = False

    @property
    def partition_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.files[0].partition) if self.files else ()

    @property
    def day_column(self) -> str | None:
        """The partition column that names days: dt, or what stands for it in other houses."""
        return next((name for name in DAY_NAMES if name in self.partition_names), None)

    @property
    def paths(self) -> list[str]:
        return [file.path for file in self.files]

    @property
    def num_rows(self) -> int | None:
        counts = [file.num_rows for file in self.files]
        return None if any(n is None for n in counts) else sum(n for n in counts if n is not None)


def open_files(options: TableSource) -> Opened:
    """The files of `options.path`.

    Raises InputError: E0310 unreadable file, E0311 no file, E0306 columns that differ only in
    case, E0307 files that disagree.
    """
    assert options.path is not None
    found = list_files(options)
    files, schemas, skipped, faults = [], [], [], []
    for path, base in found:
        try:
            schema, num_rows = _look_into(path, options)
        except InputError as fault:
            if options.on_corrupt == "skip":
                skipped.append((path, fault.message))
            else:
                faults.append(fault)
            continue
        stat = Path(path).stat()
        partition = _partition(path, base)
        files.append(LogFile(path, stat.st_size, stat.st_mtime_ns, partition, num_rows))
        schemas.append(schema)
    if faults:
        raise UserErrors(faults[:20])
    if not files:
        raise InputError(
            "E0310", "no file of the log can be read", found="; ".join(m for _, m in skipped[:5])
        )
    schema, widened = _agreed(files, schemas)
    _check_case(schema, files[0].path)
    return Opened(options, tuple(files), schema, tuple(skipped), widened)


def list_files(options: TableSource) -> list[tuple[str, str]]:
    """(file, folder from which partition folders count), sorted; E0311 where there are none."""
    patterns = [options.path] if isinstance(options.path, str) else options.path or []
    found: dict[str, str] = {}
    for pattern in patterns:
        base = _fixed_part(pattern)
        for match in sorted(glob.glob(pattern, recursive=True)) or []:
            if Path(match).is_dir():
                found.update((f, base) for f in _files_below(match, options))
            else:
                found[match] = base
    if not found:
        raise InputError(
            "E0311",
            f"no {options.format} file at {', '.join(patterns)}",
            found=_nearby(patterns[0]) if patterns else None,
            help="give a file, a folder or a glob, or set format to what the files are",
        )
    return sorted(found.items())


def _fixed_part(pattern: str) -> str:
    """The folder above the first wildcard or partition folder."""
    parts = Path(pattern).parts
    for i, part in enumerate(parts):
        if glob.has_magic(part) or "=" in part:
            return str(Path(*parts[:i])) if i else "."
    path = Path(pattern)
    return str(path if path.is_dir() else path.parent)


def _files_below(folder: str, options: TableSource) -> Iterable[str]:
    for path in sorted(Path(folder).rglob("*")):
        hidden = any(p.startswith(("_", ".")) for p in path.relative_to(folder).parts)
        if path.is_file() and not hidden and path.name.endswith(SUFFIXES[options.format]):
            yield str(path)


def _nearby(pattern: str) -> str | None:
    folder = Path(_fixed_part(pattern))
    while not folder.is_dir():
        folder = folder.parent
    names = sorted(p.name for p in folder.iterdir())[:8]
    return f"{folder} holds {', '.join(names)}" if names else f"{folder} is empty"


def _partition(path: str, base: str) -> tuple[tuple[str, str | None], ...]:
    """Partition folders key=value between `base` and the file, unescaped."""
    try:
        folders = Path(path).relative_to(base).parts[:-1]
    except ValueError:
        folders = Path(path).parts[:-1]
    pairs = (folder.split("=", 1) for folder in folders if "=" in folder)
    return tuple((k, None if v == NULL_PARTITION else unquote(v)) for k, v in pairs)


def _look_into(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    """The columns of one file and, where its footer tells, its rows."""
    try:
        return _LOOKS[options.format](path, options)
    except UserError:
        raise
    except Exception as fault:
        raise _unreadable(path, options.format, str(fault)) from fault


def _unreadable(path: str, kind: str, why: str) -> InputError:
    reason = why.strip().splitlines()[0] if why.strip() else "it is empty"
    return InputError(
        "E0310",
        f"{path} cannot be read as {kind}: {reason}",
        help="set log.on_corrupt: skip to go on without it, or write the file again",
    )


def _parquet(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    with pq.ParquetFile(path) as file:
        return file.schema_arrow.remove_metadata(), file.metadata.num_rows


def _feather(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    with pa.memory_map(path) as source, pyarrow.ipc.open_file(source) as reader:
        rows = sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
        return reader.schema.remove_metadata(), rows


def _delimited(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    delimiter = options.delimiter or ("\t" if options.format == "tsv" else ",")
    with open_text(path) as file:
        first = next(csv.reader(file, delimiter=delimiter), None)
    if first is None:
        raise _unreadable(path, options.format, "it is empty")
    names = options.names or first
    if len(names) != len(first):
        raise InputError(
            "E0307",
            f"{path} has {len(first)} columns, log.names gives {len(names)}",
            found=", ".join(first[:20]),
        )
    return _text_schema(names, path), None


def _trec(path: str, options: TableSource) -> tuple[pa.Schema, int | None]:
    names = options.names or TREC_NAMES
    with open_text(path) as file:
        first = next((line for line in file if line.strip()), None)
    if first is None:
        raise _unreadable(path, "trec", "it is empty")
    if len(first.split()) != len(names):
        raise _unreadable(
            path, "trec", f"its first line has {len(first.split())} fields, not {len(names)}"
        )
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
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")  # type: ignore[return-value]
    return open(path, encoding="utf-8-sig", newline="")


def _text_schema(names: list[str], path: str) -> pa.Schema:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            "E0306", f"{path} has two columns named {', '.join(repr(n) for n in twice)}"
        )
    return pa.schema([(name, pa.string()) for name in names])


def _agreed(files: list[LogFile], schemas: list[pa.Schema]) -> tuple[pa.Schema, tuple[str, ...]]:
    """The common schema; integers and floats may be narrower in some files, nothing else."""
    first, widened = schemas[0], set()
    fields = {field.name: field.type for field in first}
    for file, schema in zip(files[1:], schemas[1:], strict=True):
        if schema.equals(first):
            continue
        for name in {**fields, **dict.fromkeys(schema.names)}:
            if name not in schema.names or name not in fields:
                raise _disagree(files[0], file, f'column "{name}" is in only one of them')
            mine, other = fields[name], schema.field(name).type
            if mine != other:
                wider = _wider(mine, other)
                if wider is None:
                    raise _disagree(
                        files[0], file, f'column "{name}" is {mine} in one, {other} in the other'
                    )
                fields[name] = wider
                widened.add(name)
    names = [name for name, _ in files[0].partition]
    for file in files:
        if [name for name, _ in file.partition] != names:
            raise _disagree(files[0], file, "their partition folders differ")
    columns = [pa.field(n, k) for n, k in fields.items() if n not in names]
    return pa.schema([*columns, *((n, pa.string()) for n in names)]), tuple(sorted(widened))


def _wider(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    signed = pa.types.is_signed_integer
    if (signed(a) and signed(b)) or (pa.types.is_floating(a) and pa.types.is_floating(b)):
        return a if a.bit_width >= b.bit_width else b
    if pa.types.is_null(a) or pa.types.is_null(b):
        return b if pa.types.is_null(a) else a
    return None


def _disagree(a: LogFile, b: LogFile, why: str) -> InputError:
    return InputError(
        "E0307",
        f"the files of the log differ: {why}",
        found=f"{a.path} and {b.path}",
        help="give the files of one shape in one build",
    )


def _check_case(schema: pa.Schema, path: str) -> None:
    seen: dict[str, str] = {}
    for name in schema.names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise InputError(
                "E0306",
                f'columns "{other}" and "{name}" differ only in case; engines cannot tell them '
                "apart",
                found=path,
                help="rename one of them in the log",
            )


def fingerprint(files: Iterable[LogFile]) -> str:
    """A hash of which files these are (path, size, mtime), in any order."""
    text = "\n".join(sorted(file.fingerprint() for file in files))
    return hashlib.sha256(text.encode()).hexdigest()
