"""Texts for ids, from a table of the user's: ID column to text column of a Parquet file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rankdistill.errors import ConfigError, InputError, PlaceError


@dataclass(frozen=True)
class Texts:
    """ids: distinct, without null, int64 or string; texts: a string each, or null."""

    ids: pa.Array
    texts: pa.Array

    def of(self, column: pa.Array) -> pa.Array:
        """The text of each id; null where there is none."""
        known = (
            column.type
            if pa.types.is_int64(self.ids.type) == pa.types.is_int64(column.type)
            else pa.string()
        )
        return self.texts.take(pc.index_in(column.cast(known), self.ids.cast(known)))


def read_texts(spec: str, option: str) -> Texts:
    """The table that FILE:ID_COLUMN:TEXT_COLUMN names. It is held in memory.

    Raises ConfigError E0104, E0102, PlaceError E0206, InputError E0304 or E0310.
    """
    file, id_name, text_name = _parts(spec, option)
    table = _read(file, id_name, text_name, option)
    ids, texts = (table.column(name).combine_chunks() for name in (id_name, text_name))
    ids = ids.cast(pa.int64() if pa.types.is_integer(ids.type) else pa.string())
    if ids.null_count or len(pc.unique(ids)) < len(ids):
        raise InputError(
            "E0304",
            f"{option}: the ids of {file} are not distinct and present in every row",
            found=f"{len(ids)} rows, {len(pc.unique(ids.drop_null()))} distinct ids",
            help=f"one row per {id_name}",
        )
    return Texts(ids, texts.cast(pa.string()))


def _parts(spec: str, option: str) -> tuple[str, str, str]:
    parts = spec.rsplit(":", 2)
    if len(parts) != 3 or not all(parts):
        raise ConfigError(
            "E0104",
            f'{option} "{spec}" is not FILE:ID_COLUMN:TEXT_COLUMN',
            help=f"{option} items.parquet:item_id:title",
        )
    return parts[0], parts[1], parts[2]


def _read(file: str, id_name: str, text_name: str, option: str) -> pa.Table:
    if not Path(file).is_file():
        raise PlaceError("E0206", f"{option}: {file} is not a file", help="name a Parquet file")
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            names = parquet.schema_arrow.names
            if missing := [name for name in (id_name, text_name) if name not in names]:
                raise ConfigError(
                    "E0102",
                    f"{option}: {file} has no column {', '.join(missing)}",
                    found=", ".join(names),
                )
            return parquet.read(columns=[id_name, text_name])
    except pa.ArrowException as fault:
        raise InputError(
            "E0310",
            f"{option}: {file} cannot be read as Parquet",
            found=str(fault).splitlines()[0],
            help="name a Parquet file",
        ) from None
