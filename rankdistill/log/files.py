"""The files of a source: what columns they have, and whether they can be read and agree.

Engine-free, so that every engine sees the same files in the same shape: text formats are all
strings until `log.casts`, hive partition values are strings.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from rankdistill.errors import InputError, UserErrors, without_secrets
from rankdistill.log.formats import TREC_NAMES, look_into, unreadable
from rankdistill.log.json_schema import merged
from rankdistill.log.listing import NULL_PARTITION, list_files, partition
from rankdistill.log.source import TableSource

__all__ = ["NULL_PARTITION", "TREC_NAMES", "LogFile", "Opened", "fingerprint", "open_files"]

BY_PLACE = ("csv", "tsv", "trec")  # columns are told apart by where they stand
DAY_NAMES = ("dt", "ds", "date", "day")


@dataclass(frozen=True)
class LogFile:
    """One readable file; num_rows is None where only a scan would tell.

    narrow: the columns that this file writes in another type than the source has, with it.
    """

    path: str
    size: int
    mtime_ns: int
    partition: tuple[tuple[str, str | None], ...]
    num_rows: int | None
    narrow: tuple[tuple[str, pa.DataType], ...] = ()

    def fingerprint(self) -> str:
        return f"{self.place}\t{self.size}\t{self.mtime_ns}"

    @property
    def place(self) -> str:
        """The same from every working folder, and without what may be a secret in a URL."""
        return without_secrets(self.path) if "://" in self.path else str(Path(self.path).absolute())


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
            schema, num_rows = look_into(path, options)
            size, mtime_ns = _stat(path, options)
        except InputError as fault:
            if options.on_corrupt == "skip" and fault.code == "E0310":
                skipped.append((path, fault.found or fault.message))
            else:
                faults.append(fault)
            continue
        files.append(LogFile(path, size, mtime_ns, partition(path, base), num_rows))
        schemas.append(schema)
    if faults:
        raise UserErrors(faults[:20])
    if not files:
        raise InputError(
            "E0310",
            f"no file of {options.called} can be read",
            found="; ".join(f"{path}: {why}" for path, why in skipped[:5]),
            help="give the path of files that are whole",
        )
    schema, widened = _agreed(options, files, schemas)
    files = [
        replace(file, narrow=_narrow(schema, own, widened))
        for file, own in zip(files, schemas, strict=True)
    ]
    _check_case(schema, files[0].path)
    return Opened(options, tuple(files), schema, tuple(skipped), widened)


def _stat(path: str, options: TableSource) -> tuple[int, int]:
    try:
        stat = Path(path).stat()
    except OSError as fault:
        raise unreadable(path, options.format, str(fault), options.skip_key) from fault
    return stat.st_size, stat.st_mtime_ns


def _agreed(
    options: TableSource, files: list[LogFile], schemas: list[pa.Schema]
) -> tuple[pa.Schema, tuple[str, ...]]:
    """The common schema; integers and floats may be narrower in some files, nothing else.

    JSON lines: a column that a file lacks is null there, as one that a line lacks.
    """
    first, widened = schemas[0], set()
    differ = functools.partial(_disagree, options.called, files[0])
    fields = {field.name: field.type for field in first}
    for file, schema in zip(files[1:], schemas[1:], strict=True):
        if schema.equals(first):
            continue
        if options.format in BY_PLACE and schema.names != first.names:
            raise _disagree(
                options.called, files[0], file, "their columns stand in another order or differ"
            )
        for name in {**fields, **dict.fromkeys(schema.names)}:
            mine, other = fields.get(name), _type(schema, name)
            if mine == other:
                continue
            if options.format == "jsonl":
                wider = merged(mine or pa.null(), other or pa.null(), f'{file.path}, "{name}"')
            elif mine is None or other is None:
                raise _disagree(
                    options.called, files[0], file, f'column "{name}" is in only one of them'
                )
            else:
                wider = _wider(mine, other)
                if wider is None:
                    said = f'column "{name}" is {mine} in one, {other} in the other'
                    raise differ(file, said)
            fields[name] = wider
            widened.add(name)
    names = [name for name, _ in files[0].partition]
    for file in files:
        if [name for name, _ in file.partition] != names:
            raise differ(file, "their partition folders differ")
    columns = [pa.field(n, k) for n, k in fields.items() if n not in names]
    return pa.schema([*columns, *((n, pa.string()) for n in names)]), tuple(sorted(widened))


def _type(schema: pa.Schema, name: str) -> pa.DataType | None:
    return schema.field(name).type if name in schema.names else None


def _narrow(
    schema: pa.Schema, own: pa.Schema, widened: Iterable[str]
) -> tuple[tuple[str, pa.DataType], ...]:
    found = [(name, own.field(name).type) for name in widened if name in own.names]
    return tuple((name, kind) for name, kind in found if kind != schema.field(name).type)


def _wider(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    signed, floating = pa.types.is_signed_integer, pa.types.is_floating
    if (signed(a) and signed(b)) or (floating(a) and floating(b)):
        return a if a.bit_width >= b.bit_width else b
    if (signed(a) and floating(b)) or (floating(a) and signed(b)):
        return pa.float64()  # pandas writes a column of integers with a null as floats
    if pa.types.is_null(a) or pa.types.is_null(b):
        return b if pa.types.is_null(a) else a
    return None


def _disagree(called: str, a: LogFile, b: LogFile, why: str) -> InputError:
    return InputError(
        "E0307",
        f"the files of {called} differ: {why}",
        found=f"{a.path} and {b.path}",
        help="give the files of one shape in one build",
    )


def _check_case(schema: pa.Schema, path: str) -> None:
    seen: dict[str, str] = {}
    for name in schema.names:
        if name.lower() not in seen:
            seen[name.lower()] = name
            continue
        other = seen[name.lower()]
        differ = (
            f'columns "{other}" and "{name}" differ only in case; engines cannot tell them apart'
        )
        raise InputError(
            "E0306",
            differ if other != name else f'two columns are named "{name}"',
            found=path,
            help="rename one of them in the log",
        )


def fingerprint(files: Iterable[LogFile]) -> str:
    """A hash of which files these are (path, size, mtime), in any order."""
    text = "\n".join(sorted(file.fingerprint() for file in files))
    return hashlib.sha256(text.encode()).hexdigest()
