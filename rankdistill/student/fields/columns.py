"""The columns that fields read: of the lists, and of feature tables as of the request's time.

A candidate's columns are looked up and taken once for each distinct item of a batch. Shapes: R
requests, K candidates, I distinct items of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rankdistill.features.join import Join
from rankdistill.features.table import Features, key_of_rows, micros, read_features
from rankdistill.hashing import U64, mix, xxh64
from rankdistill.lists.batch import Lists
from rankdistill.student.fields.histories import NAME as RESPONSES
from rankdistill.student.fields.histories import Histories
from rankdistill.student.vocabulary import plain

NEWEST = np.iinfo(np.int64).max  # a time after every row's


@dataclass(frozen=True)
class Tables:
    """Feature tables in memory, each with how it is keyed and what its features are called."""

    joins: tuple[Join, ...] = ()
    held: tuple[Features | Histories, ...] = ()

    @classmethod
    def load(cls, joins: Sequence[Join]) -> Tables:
        """Those whose rows lie in the files of `joins`. InputError E0317: two rows for a key."""
        return cls(tuple(joins), tuple(map(_held, joins)))

    def of_requests(self, lists: Lists) -> dict[str, pa.Array]:
        """Every feature of users and of the context, [R] each."""
        found: dict[str, pa.Array] = {}
        for join, table in zip(self.joins, self.held, strict=True):
            if join.of != "item":
                key, known = key_of_rows([lists.requests.column(name) for name in join.on])
                row = table.find(key, micros(lists.requests.column("request_time")))
                taken = table.take(np.where(known, row, -1))
                found.update(zip(join.names, taken, strict=True))
        return found

    def of_items(self) -> list[tuple[Join, Features | Histories]]:
        return [
            (j, table) for j, table in zip(self.joins, self.held, strict=True) if j.of == "item"
        ]


def _held(join: Join) -> Features | Histories:
    if join.name == RESPONSES:
        return Histories.load(join.files)
    num_keys, num_columns = len(join.on), len(join.names)
    return read_features(join.files, num_keys, num_columns, timed=join.timed, place=join.place)


@dataclass(frozen=True)
class Items:
    """Distinct items with their columns [I]; place: int64 [K], which of them each candidate is;
    first: int64 [I], a candidate that is it."""

    columns: Mapping[str, pa.Array]
    place: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, rows: pa.RecordBatch, time: np.ndarray, tables: Tables) -> Items:
        """rows: item_id and further columns of candidates [K]; time: int64 [K], as of which
        features hold."""
        key = xxh64(rows.column("item_id"))
        joined = [(join, table, table.find(key, time)) for join, table in tables.of_items()]
        others = [name for name in rows.schema.names if name != "item_id"]
        parts = [value_keys(rows.column(name)) for name in others]
        first, place = _distinct([key, *parts, *(row for *_, row in joined)])
        columns = {name: rows.column(name).take(pa.array(first)) for name in rows.schema.names}
        for join, table, row in joined:
            columns.update(zip(join.names, table.take(row[first]), strict=True))
        return cls(columns, place, first)

    @property
    def times(self) -> np.ndarray:
        """How many candidates are each item, int64 [I]."""
        return np.bincount(self.place, minlength=len(self.first))


def _distinct(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(the first row of each distinct one, in order, which of them each row is)."""
    key = parts[0] if len(parts) == 1 else mix(*parts)
    # By a hash table of Arrow's: several times as fast as to sort them.
    place = pa.array(key).dictionary_encode().indices.to_numpy().astype(np.int64)
    is_first = np.ones(len(place), dtype=bool)
    is_first[1:] = place[1:] > np.maximum.accumulate(place)[:-1]
    return np.flatnonzero(is_first), place


def value_keys(column: pa.Array) -> np.ndarray:
    """uint64 [n], equal where values are; null is one value of its own."""
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_floating(column.type):
        bits = column.fill_null(0).cast(pa.float64()).to_numpy() + 0.0
        key = mix(bits.view(U64))
    else:
        key = xxh64(plain(column))
    return np.where(valid, key, U64(0))


def candidate_times(lists: Lists, candidates: np.ndarray) -> np.ndarray:
    """The time of each candidate's request, int64 [K]."""
    return micros(lists.requests.column("request_time"))[lists.request[candidates]]
