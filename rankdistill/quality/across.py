"""What measures must know across requests: small rows that tasks leave behind, and their sums.

`Across` gathers while a task writes its parts; an engine brings rows of equal `key` together;
`summed` reads them. What a row is about is its kind; the columns of the other kinds are 0.
Shapes: R requests, N candidates, T rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.counts import Counts, added
from rankdistill.catalogue.items import Catalogue
from rankdistill.hashing import U64, light, mix, name_key, splitmix64, xxh64
from rankdistill.lists.batch import Lists
from rankdistill.quality.facts import Facts
from rankdistill.samples.facts import SOURCES
from rankdistill.samples.side import Side

TABLE, DRAWN = "_across", "_across_drawn"  # staged by either pass, gone with the build
CONTENT, REQUEST, USER, ITEM = range(4)
SPLITS = ("all", "train", "gap", "valid", "test")
LOGGED, SAMPLED = 1, 2  # flags of a user's row
COLUMNS = {
    "key": pa.int64(),
    "kind": pa.int8(),
    "day": pa.string(),
    "request": pa.int64(),  # the key of the request
    "minute": pa.int64(),  # since 1970
    "flag": pa.int8(),  # a request's split, a user's LOGGED or SAMPLED
    "num_popular": pa.int64(),  # negatives of the item by source
    "num_uniform": pa.int64(),
    "num_other": pa.int64(),
    "num_counted": pa.int64(),  # the count that its popularity goes by; -1: not in the catalogue
}
IDS = ("request_id", "item_id")  # null where the kind has none
_MINUTE, BLOCK = 60_000_000, 1 << 15
_MAX_PARTIAL = 500_000


def content_key(lists: Lists) -> np.ndarray:
    """A hash of each request's user and items, in the teacher's order; uint64 [R].

    In order: where a list holds the whole catalogue, the items alone say nothing.
    """
    items = np.empty(len(lists.request), dtype=U64)
    column, place = lists.candidates.column("item_id"), lists.place.view(U64)
    for first in range(0, len(items), BLOCK):  # stays in cache
        block = slice(first, first + BLOCK)
        items[block] = splitmix64(light(column.slice(first, BLOCK)) + place[block])
    sums = np.zeros(lists.num_requests, dtype=U64)
    filled = np.flatnonzero(lists.lengths)
    if len(filled):
        sums[filled] = np.add.reduceat(items, lists.offsets[:-1][filled])
    user = xxh64(lists.requests.column("user_id"))
    return mix(name_key("content"), user, sums, lists.lengths)


@dataclass(frozen=True)
class Wanted:
    """Which kinds of rows the measures of a build need."""

    content: bool
    splits: bool
    users: bool
    count_of: str | None

    @classmethod
    def of(cls, facts: Facts | None) -> Wanted:
        if facts is None:
            return cls(False, False, False, None)
        return cls(
            content=facts.has_user and facts.has_time,
            splits=facts.has_time and bool(facts.split.get("train_until")),
            users=facts.has_user and bool(facts.kinds),
            count_of=popularity_count(facts),
        )


def popularity_count(facts: Facts) -> str | None:
    """The count by which the negatives' popularity goes, None where none is drawn by it."""
    negatives = facts.kinds.get("negatives", {})
    is_drawn = "popular" in (negatives.get("mix") or {})
    return negatives["popular"]["count_of"] if is_drawn else None


@dataclass
class _Held:
    """Negatives per item of one day: partial counts, and the catalogue they were drawn from."""

    parts: list[Counts] = field(default_factory=list)
    catalogue: Catalogue | None = None


class Across:
    """What one task has gathered; `rows` hands over what is complete, `rest` the remainder.

    in_samples: one bool [N] of the lists seen last: held by a sample that was drawn of them;
    none where nothing is measured.
    """

    def __init__(self, facts: Facts | None) -> None:
        self._wanted = Wanted.of(facts)
        self._done: list[tuple[str, dict[str, Any]]] = []
        self._lists: Lists | None = None
        self._dt = ""
        self._negatives: dict[str, _Held] = {}
        self._types: dict[str, pa.DataType] = {}
        self.in_samples: tuple[np.ndarray, ...] = ()
        self._has_sample = np.zeros(0, dtype=bool)

    def see(
        self, table: str, dt: str, lists: Lists, drawn: Any, rows: pa.RecordBatch | None, side: Side
    ) -> None:
        """As `Watch.see`."""
        self._types["request_id"] = lists.requests.schema.field("request_id").type
        self._types["item_id"] = lists.candidates.schema.field("item_id").type
        if table == "lists":
            self._settle()
            self._lists, self._dt = lists, dt
            self.in_samples = (np.zeros(len(lists.request), dtype=bool),)
            self._has_sample = np.zeros(lists.num_requests, dtype=bool)
            self._see_lists(lists, dt)
        else:
            self._see_samples(lists, dt, drawn)
        if table == "negatives":
            assert rows is not None
            self._see_negatives(dt, rows, side)

    def _see_samples(self, lists: Lists, dt: str, drawn: Any) -> None:
        if lists is not self._lists:  # a second pass
            has_sample = np.zeros(lists.num_requests, dtype=bool)
            has_sample[drawn.request] = True
            self._users(lists, dt, has_sample, SAMPLED)
            return
        self._has_sample[drawn.request] = True
        for name in ("item", "pos", "neg"):
            if hasattr(drawn, name):
                index = getattr(drawn, name)
                self.in_samples[0][index[index >= 0]] = True

    def rows(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """(dt, rows of the table) that are complete; they are not handed over again."""
        self._settle()
        done, self._done = self._done, []
        for dt, columns in done:
            yield dt, self._batch(dt, columns)

    def rest(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """What is left at the end of a task."""
        for dt, held in sorted(self._negatives.items()):
            self._done.append((dt, self._items(dt, held)))
        self._negatives = {}
        yield from self.rows()

    def _settle(self) -> None:
        """The users of the lists at hand, now that all kinds have been drawn of them."""
        if self._lists is not None:
            every = np.ones(self._lists.num_requests, dtype=bool)
            self._users(self._lists, self._dt, every, LOGGED)
            self._users(self._lists, self._dt, self._has_sample, SAMPLED)
            self._lists = None

    def _see_lists(self, lists: Lists, dt: str) -> None:
        requests = lists.requests
        columns: dict[str, Any] = {
            "request": lists.request_key,
            "request_id": requests.column("request_id"),
            "flag": _split_codes(requests.column("split")),
        }
        if self._wanted.content:
            times = requests.column("request_time").cast(pa.int64()).fill_null(0)
            minute = times.to_numpy(zero_copy_only=False) // _MINUTE
            found = {**columns, "key": content_key(lists), "minute": minute}
            self._done.append((dt, {"kind": CONTENT, **found}))
        if self._wanted.splits:
            key = mix(name_key("request"), lists.request_key)
            self._done.append((dt, {"kind": REQUEST, "key": key, **columns}))

    def _users(self, lists: Lists, dt: str, of: np.ndarray, flag: int) -> None:
        if self._wanted.users and of.any():
            users = np.unique(xxh64(lists.requests.column("user_id"))[of])
            key = mix(name_key("user"), name_key(dt), users)
            self._done.append((dt, {"kind": USER, "key": key, "flag": flag}))

    def _see_negatives(self, dt: str, rows: pa.RecordBatch, side: Side) -> None:
        held = self._negatives.setdefault(dt, _Held())
        held.catalogue = side.catalogue
        source = _source_codes(rows.column("source"))
        flags = [source == SOURCES.index(name) for name in ("popular", "uniform")]
        number = np.stack([*flags, ~(flags[0] | flags[1])]).astype(np.int64)
        # One part for each batch: `added` brings its rows of one item together.
        held.parts.append(added([Counts(rows.column("item_id"), number)]))
        if sum(len(part.item_id) for part in held.parts) > _MAX_PARTIAL:
            held.parts = [added(held.parts)]

    def _items(self, dt: str, held: _Held) -> dict[str, Any]:
        item_id, (popular, uniform, other) = added(held.parts)
        item_key = xxh64(item_id)
        counted = np.full(len(item_key), -1)
        if self._wanted.count_of is not None and held.catalogue is not None:
            place = held.catalogue.find(item_key)
            counted[place >= 0] = held.catalogue.counts[self._wanted.count_of][place[place >= 0]]
        return {
            "kind": ITEM,
            "key": mix(name_key("item"), name_key(dt), item_key),
            "item_id": item_id,
            "num_popular": popular,
            "num_uniform": uniform,
            "num_other": other,
            "num_counted": counted,
        }

    def _batch(self, dt: str, columns: dict[str, Any]) -> pa.RecordBatch:
        size = len(columns["key"])
        made: dict[str, pa.Array] = {}
        for name, kind in COLUMNS.items():
            values = {"day": dt}.get(name, columns.get(name, 0))
            if isinstance(values, np.ndarray):
                values = values.view(np.int64) if values.dtype == U64 else values
                made[name] = pa.array(values).cast(kind)
            else:
                made[name] = pa.repeat(pa.scalar(values, kind), size)
        for name in IDS:
            made[name] = columns.get(name, pa.nulls(size, self._types[name]))
        return pa.RecordBatch.from_pydict(made)


def _codes(column: pa.Array, names: tuple[str, ...]) -> np.ndarray:
    """The place of each text in `names`, int64."""
    encoded = column.dictionary_encode()
    places = np.array([names.index(text) for text in encoded.dictionary.to_pylist()], np.int64)
    return places[encoded.indices.to_numpy(zero_copy_only=False)]


def _split_codes(column: pa.Array) -> np.ndarray:
    return _codes(column, SPLITS)


def _source_codes(column: pa.Array) -> np.ndarray:
    return _codes(column, SOURCES)
