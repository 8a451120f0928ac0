"""A table of vectors at the door: ids and float32 vectors, checked, in the order of their keys.

Not of the log itself: users' and items' vectors, as a model exports them, for mined negatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from rankdistill.config import Options
from rankdistill.errors import ConfigError, InputError, closest
from rankdistill.hashing import xxh64
from rankdistill.log.casts import cast, plain
from rankdistill.log.files import Opened, open_files
from rankdistill.log.formats import unreadable
from rankdistill.log.source import TableSource

_BATCH_ROWS = 8192


class VectorTable(Options):
    """Parquet files of vectors, one row per id."""

    path: str | list[str] = Field(description="file, folder, glob, or several")
    id: str = Field(description="the column of ids: integers or strings, as in the log")
    vector: str = Field(description="the column of vectors: lists of floats, all of one width")


class Vectors(NamedTuple):
    """V rows in the order of their keys. id: int64 or string [V]; key: uint64 [V], xxh64(id),
    distinct ascending; value: float32 [V, D], finite, mapped from a file."""

    id: pa.Array
    key: np.ndarray
    value: np.ndarray


def read_vectors(table: VectorTable, name: str, file: Path) -> Vectors:
    """The rows of `table`, the vectors put into the new NumPy file `file`; memory holds the ids.

    name: what the options call the table. Raises ConfigError E0102 (no such column), InputError
    E0304 (a column of another type), E0315 (nulls, NaN, widths that differ, an id given twice).
    """
    opened = open_files(TableSource(path=table.path, format="parquet"))
    _check_columns(opened, table, name)
    ids = _ids(opened, table, name)
    key = xxh64(ids)
    order = np.argsort(key, kind="stable")
    twice = np.flatnonzero(key[order][1:] == key[order][:-1])
    if len(twice):
        raise _fault(name, f'id "{ids[int(order[twice[0]])]}" has two vectors', table.path)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return Vectors(ids.take(pa.array(order)), key[order], _fill(opened, table, name, file, place))


def _fill(
    opened: Opened, table: VectorTable, name: str, file: Path, place: np.ndarray
) -> np.ndarray:
    """The vectors, row i of the table at place[i]."""
    value: Any = None
    start = 0
    for batch in _batches(opened, [table.id, table.vector]):
        found = _block(batch, table, name)
        if value is None:
            shape = (len(place), found.shape[1])
            value = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
        if found.shape[1] != value.shape[1]:
            raise _unlike(batch, table, name, found.shape[1], value.shape[1])
        value[place[start : start + len(found)]] = found
        start += len(found)
    assert value is not None and start == len(place)
    value.flush()
    return value


def _check_columns(opened: Opened, table: VectorTable, name: str) -> None:
    for key, column in (("id", table.id), ("vector", table.vector)):
        if column not in opened.schema.names:
            near = closest(column, opened.schema.names)
            raise ConfigError(
                "E0102",
                f'column "{column}" ({name}.{key}) is not in {opened.paths[0]}',
                found=", ".join(opened.schema.names[:20]),
                help=f"--set {name}.{key}={near}" if near else f"set {name}.{key}",
            )
    kind = opened.schema.field(table.id).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (
        pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    ):
        raise _wrong_type(f"{name}.id", table.id, kind, "an integer or a string")
    kind = opened.schema.field(table.vector).type
    if not (_is_list(kind) and pa.types.is_floating(kind.value_type)):
        raise _wrong_type(f"{name}.vector", table.vector, kind, "a list of floats")


def _is_list(kind: pa.DataType) -> bool:
    is_list, is_large = pa.types.is_list(kind), pa.types.is_large_list(kind)
    return is_list or is_large or pa.types.is_fixed_size_list(kind)


def _wrong_type(key: str, column: str, kind: pa.DataType, wanted: str) -> InputError:
    return InputError("E0304", f'column "{column}" ({key}) must be {wanted}', found=str(kind))


def _fault(name: str, what: str, path: str | list[str], help: str | None = None) -> InputError:
    where = path if isinstance(path, str) else ", ".join(path)
    return InputError(
        "E0315", f"{name}: {what}", found=where, help=help or "write the table without it"
    )


def _ids(opened: Opened, table: VectorTable, name: str) -> pa.Array:
    """The ids in the order of the files, int64 or string."""
    parts = [cast("id", batch.column(0))[0] for batch in _batches(opened, [table.id])]
    if not sum(map(len, parts)):
        raise _fault(name, "no row in it", table.path, "give a table with vectors")
    ids = pa.concat_arrays(parts)
    if ids.null_count:
        raise _fault(name, f"{ids.null_count:,} ids are null", table.path)
    return ids


def _batches(opened: Opened, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for file in opened.files:
        try:
            with pq.ParquetFile(file.path, page_checksum_verification=True) as parquet:
                for batch in parquet.iter_batches(_BATCH_ROWS, columns=columns):
                    yield batch.select(columns)
        except (pa.ArrowException, OSError) as fault:
            raise unreadable(file.path, "parquet", str(fault)) from fault


def _block(batch: pa.RecordBatch, table: VectorTable, name: str) -> np.ndarray:
    """The vectors of a batch, float32 [rows, D]."""
    column = batch.column(table.vector)

    def refuse(rows: np.ndarray, what: str) -> None:
        if rows.any():
            at = batch.column(table.id)[int(np.argmax(rows))]
            raise _fault(name, f'the vector of id "{at}" {what}', table.path)

    refuse(column.is_null().to_numpy(zero_copy_only=False), "is null")
    length = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    width = int(length[0])
    if (length != width).any():
        other = int(np.argmax(length != width))
        raise _unlike(batch.slice(other), table, name, int(length[other]), width)
    if width == 0:
        raise _fault(name, "its vectors are empty", table.path, "give vectors of some width")
    values = column.flatten()
    missing = values.is_null().to_numpy(zero_copy_only=False).reshape(-1, width)
    refuse(missing.any(axis=1), "holds a null")
    with np.errstate(over="ignore"):
        found = plain(values).to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, width)
    refuse(~np.isfinite(found).all(axis=1), "holds a number that is NaN, infinite, or no float32")
    return found


def _unlike(
    batch: pa.RecordBatch, table: VectorTable, name: str, width: int, first: int
) -> InputError:
    at = batch.column(table.id)[0]
    what = f'the vector of id "{at}" is {width} wide, those before it {first}'
    return _fault(name, what, table.path, "give vectors of one model, all of one width")
