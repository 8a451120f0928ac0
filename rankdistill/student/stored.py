"""Sample tables of a build, read beside the lists whose requests they hold.

Both tables are written in about the same order, so the rows of a row group of lists lie in a
few row groups of a sample table; which ones is found out once, by the keys of the requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.errors import PlaceError
from rankdistill.hashing import xxh64
from rankdistill.lists.batch import Lists
from rankdistill.lists.group import request_starts
from rankdistill.quality.among import Places
from rankdistill.quality.drawn_again import COLUMNS, Foreign, drawn_again
from rankdistill.store.dataset import Build, DataSet
from rankdistill.store.reading import damaged
from rankdistill.student.reading import ListsSource, Piece, pieces_of, read_piece


@dataclass(frozen=True)
class StoredSamples:
    """beside: by sample kind, the pieces of its table that hold requests of a piece of lists;
    schemas: of what is read of each table."""

    beside: Mapping[str, Mapping[Piece, tuple[Piece, ...]]]
    schemas: Mapping[str, pa.Schema]

    def read(self, kind: str, pieces: Sequence[Piece], lists: Lists) -> tuple[Any, pa.RecordBatch]:
        """(what was drawn: Points, Pairs, GradedLists or Negatives; its rows), in the order of
        `lists`, which are requests of `pieces` in any order. PlaceError E0204 where rows name
        items that their list lacks."""
        own = self.beside[kind]
        files = dict.fromkeys(piece for at in pieces for piece in own.get(at.whole, ()))
        none = pa.RecordBatch.from_pylist([], schema=self.schemas[kind])
        rows = pa.concat_batches([none, *(read_piece(at, none.schema.names) for at in files)])
        key = xxh64(rows.column("request_id"))
        order = np.argsort(lists.request_key, kind="stable")
        known = lists.request_key[order]
        place = np.minimum(np.searchsorted(known, key), max(len(known) - 1, 0))
        held = np.flatnonzero(known[place] == key) if len(known) else np.zeros(0, np.int64)
        request = order[place[held]]
        in_order = np.argsort(request, kind="stable")
        rows = rows.take(pa.array(held[in_order]))
        places = Places(lists.request, xxh64(lists.candidates.column("item_id")))
        try:
            drawn, _ = drawn_again(kind, places, rows, request[in_order])
        except Foreign as fault:
            file = next(iter(files)).file
            raise damaged(file, str(fault)) from fault
        return drawn, rows


def stored_samples(
    data_set: DataSet, build: Build, kinds: Sequence[str], source: ListsSource
) -> StoredSamples:
    """The tables of these kinds, beside the lists. PlaceError E0206 where one was not built."""
    found, schemas = {}, {}
    for kind in kinds:
        if kind not in build.tables:
            raise PlaceError(
                "E0206",
                f"build {build.number} has no table {kind}",
                found=", ".join(build.tables),
                help=f"build it (samples.{kind} in the config), or draw afresh: "
                "train.samples: fresh",
            )
        found[kind] = _beside(data_set, build, kind, source)
        schema = data_set.schema(kind)
        schemas[kind] = pa.schema([schema.field(name) for name in COLUMNS[kind]])
    return StoredSamples(found, schemas)


def _beside(
    data_set: DataSet, build: Build, kind: str, source: ListsSource
) -> dict[Piece, tuple[Piece, ...]]:
    held: dict[Piece, list[Piece]] = {}
    for dt in sorted({piece.dt for piece in source.pieces}):
        lists = [piece for piece in source.pieces if piece.dt == dt]
        keys = [_keys(piece) for piece in lists]
        key = np.concatenate(keys)
        order = np.argsort(key)
        number = np.repeat(np.arange(len(lists)), [len(each) for each in keys])[order]
        known = key[order]
        for piece in pieces_of(data_set, build, kind, [dt]):
            own = _keys(piece)
            place = np.minimum(np.searchsorted(known, own), len(known) - 1)
            for at in np.unique(number[place[known[place] == own]]).tolist():
                held.setdefault(lists[at].whole, []).append(piece)
    return {at: tuple(found) for at, found in held.items()}


def _keys(piece: Piece) -> np.ndarray:
    """The keys of a piece's requests, uint64; each at least once."""
    rows = read_piece(piece, ("request_id",))
    if not rows.num_rows:
        return np.zeros(0, np.uint64)
    starts = request_starts(rows, ("request_id",))
    return xxh64(rows.column("request_id").take(pa.array(starts)))
