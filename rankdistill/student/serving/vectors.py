"""Vectors of items and users, as tables: what `mine-negatives` and an index take.

Shapes: I items, U users, d numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from rankdistill.errors import ConfigError, InputError
from rankdistill.features.table import ALWAYS
from rankdistill.hashing import xxh64
from rankdistill.log.casts import cast, plain
from rankdistill.log.files import open_files
from rankdistill.log.formats import unreadable
from rankdistill.log.source import TableSource
from rankdistill.student.chunk import Encoded
from rankdistill.student.fields.encode import Fields, RowField, encoded
from rankdistill.student.fields.snapshot import Newest
from rankdistill.student.scoring import Scorer
from rankdistill.student.serving.options import RowTable
from rankdistill.student.vocabulary import UNKNOWN, Vocabulary

_BLOCK = 65_536


@dataclass(frozen=True)
class Known:
    """Ids in the order in which they are exported, with what encodes them."""

    ids: pa.Array
    fields: Fields

    def encoded(self, first: int, last: int) -> Encoded:
        return self.fields.items_of(self.ids.slice(first, last - first)).plain()


def known_items(fields: Fields, given: RowTable | None) -> Known:
    """Items by key: those of the table, or all that training saw and that are not all unknown to
    the student. Raises InputError E0315, ConfigError E0102."""
    if given is not None:
        ids, columns = _read(given, "items", [], fields.listed)
        seen = fields.snapshot.of(ids)
        held = {name: seen.column(name) for name in seen.schema.names} | columns
        newest = Newest()
        rows = pa.RecordBatch.from_pydict({"item_id": ids, **_without(held, "item_id")})
        newest.add(rows, np.full(len(ids), ALWAYS))
        fields = replace(fields, snapshot=newest.snapshot())
        return Known(fields.snapshot.rows.column("item_id"), fields)
    ids = fields.snapshot.rows.column("item_id")
    if len(ids) and _has_codes_alone(fields):
        codes = fields.items_of(ids).plain().codes
        unknown = [each.first + UNKNOWN for each in fields.item if isinstance(each, RowField)]
        ids = ids.take(pa.array(np.flatnonzero((codes != unknown).any(1))))
    return Known(ids, fields)


def _has_codes_alone(fields: Fields) -> bool:
    return all(type(each) is RowField for each in fields.item)


def _without(columns: dict[str, pa.Array], name: str) -> dict[str, pa.Array]:
    return {each: column for each, column in columns.items() if each != name}


def item_vectors(scorer: Scorer, known: Known) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """(ids, vectors float32 [n, d]) in pieces."""
    for first in range(0, len(known.ids), _BLOCK):
        last = min(first + _BLOCK, len(known.ids))
        with torch.no_grad():
            found = scorer.student.items(scorer.inputs(known.encoded(first, last)))
        yield known.ids.slice(first, last - first), found.numpy()


def user_vectors(
    scorer: Scorer, fields: Fields, given: RowTable | None
) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """(ids, vectors) of the table's users, or of all that training saw; of the objective that is
    served. Raises InputError E0315, ConfigError E0102, E0105."""
    names = list(dict.fromkeys(each.column for each in fields.user))
    columns: dict[str, pa.Array] = {}
    if given is None:
        ids = _known_users(fields)
    else:
        ids, columns = _read(given, "users", [name for name in names if name != "user_id"], names)
    order = np.argsort(xxh64(ids), kind="stable")
    for first in range(0, len(ids), _BLOCK):
        rows = pa.array(order[first : first + _BLOCK])
        own = {"user_id": ids, **_without(columns, "user_id")}
        held = {name: column.take(rows) for name, column in own.items()}
        with torch.no_grad():
            encoded_users = encoded(fields.user, held, len(rows))
            found = scorer.student.users(scorer.inputs(encoded_users))
        yield held["user_id"], found.numpy()


def _known_users(fields: Fields) -> pa.Array:
    if len(fields.user) == 1 and fields.user[0].column == "user_id":
        (field,) = fields.user
        if isinstance(field, RowField) and isinstance(field.coder, Vocabulary):
            return field.coder.id
    raise ConfigError(
        "E0105",
        "users: known needs a user side of user_id alone, with a vocabulary",
        found=", ".join(f"{each.name} ({each.kind})" for each in fields.user),
        help="give a table with these columns: --set users.path=... --set users.id=...",
        key=("users",),
    )


def _read(
    given: RowTable, name: str, needed: Sequence[str], wanted: Sequence[str]
) -> tuple[pa.Array, dict[str, pa.Array]]:
    """(ids, those of the wanted columns that are there, by name)."""
    opened = open_files(TableSource(path=given.path, format="parquet"))
    there = opened.schema.names
    for column, key in [(given.id, "id"), *((each, "path") for each in needed)]:
        if column not in there:
            raise ConfigError(
                "E0102",
                f'column "{column}" ({name}) is not in {opened.paths[0]}',
                found=", ".join(there[:20]),
                key=(name, key),
            )
    names = [given.id, *(each for each in wanted if each in there and each != given.id)]
    tables = []
    for file in opened.files:
        try:
            with pq.ParquetFile(file.path, page_checksum_verification=True) as parquet:
                tables.append(parquet.read(columns=names))
        except (pa.ArrowException, OSError) as fault:
            raise unreadable(file.path, "parquet", str(fault)) from fault
    table = pa.concat_tables(tables).combine_chunks()
    columns = {each: plain(_one(table, each)) for each in names}
    ids = cast("id", columns.pop(given.id))[0]
    _refuse_twice(ids, name, opened.paths[0])
    return ids, columns


def _one(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _refuse_twice(ids: pa.Array, name: str, path: str) -> None:
    key = np.sort(xxh64(ids))
    faults = [
        (not len(ids), "no row in it"),
        (bool(ids.null_count), f"{ids.null_count:,} ids are null"),
        (bool((key[1:] == key[:-1]).any()), "an id has two rows"),
    ]
    for is_so, what in faults:
        if is_so:
            raise InputError("E0315", f"{name}: {what}", found=path, help="write it without")


def as_rows(name: str, ids: pa.Array, vectors: np.ndarray) -> pa.RecordBatch:
    """`name`, vector: fixed_size_list<float32>[d]."""
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    kind = pa.list_(pa.field("item", pa.float32(), nullable=False), vectors.shape[1])
    column = pa.FixedSizeListArray.from_arrays(flat, type=kind)
    fields = [pa.field(name, ids.type, nullable=False), pa.field("vector", kind, nullable=False)]
    return pa.RecordBatch.from_arrays([ids, column], schema=pa.schema(fields))
