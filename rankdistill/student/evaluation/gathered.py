"""One pass over the evaluated requests: every student's measures, and every request's segments.

Shapes: R requests, N candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.hashing import U64, mix, name_key, xxh64
from rankdistill.lists.batch import Lists, numbers, spans
from rankdistill.student.chunk import Chunk
from rankdistill.student.evaluation.collected import Collected
from rankdistill.student.evaluation.contestant import Contestant
from rankdistill.student.evaluation.faults import CHANNEL
from rankdistill.student.evaluation.intervals import Quantity, sums_of
from rankdistill.student.evaluation.judged import Judged
from rankdistill.student.evaluation.known import Known, times
from rankdistill.student.evaluation.measures import slot_terms
from rankdistill.student.evaluation.options import EvaluateOptions
from rankdistill.student.evaluation.policies import Logged
from rankdistill.student.evaluation.segments import Named, Segment, binned, labels_of
from rankdistill.student.reading import ListsSource

ASKED = name_key("evaluate.catalogue.requests")


@dataclass
class OfStudent:
    """What one student's measures gathered; by_item: (segment, measure) -> its sums, of each label
    a top and a bottom, float64 [1 + B, 2 labels]."""

    contestant: Contestant
    collected: Collected
    logged: Logged
    by_item: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


@dataclass
class Gathered:
    """known: of training; students: the one, and the one it is held against; slot_names: of the
    measures that are told by item segments, too; seed: of the replicates, whose sums by item
    segments are all that is kept of these; recall: a recall student whose top passes before;
    named: columns that are segments; asked: (number, responses, keys of their items) of
    requests whose responses are looked for in the catalogue; values: segments that are bins;
    channels: that brought candidates."""

    source: ListsSource
    options: EvaluateOptions
    known: Known
    students: Sequence[OfStudent]
    slot_names: Sequence[str]
    seed: int
    recall: Contestant | None = None
    key: list[np.ndarray] = field(default_factory=list)
    item_key: np.ndarray = field(default_factory=lambda: np.zeros(0, U64))
    item_keys: list[np.ndarray] = field(default_factory=list)
    asked: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    named: dict[str, Named] = field(default_factory=dict)
    values: dict[str, list[np.ndarray]] = field(default_factory=dict)
    channels: set[str] = field(default_factory=set)
    num_requests: int = 0

    def see_items(self, lists: Lists) -> None:
        """Put items that are new into the catalogue."""
        if not self.options.catalogue:
            return
        key, first = np.unique(xxh64(lists.candidates.column("item_id")), return_index=True)
        at = np.minimum(np.searchsorted(self.item_key, key), max(len(self.item_key) - 1, 0))
        is_new = self.item_key[at] != key if len(self.item_key) else np.ones(len(key), bool)
        if not is_new.any():
            return
        self.item_keys.append(key[is_new])
        self.item_key = np.union1d(self.item_key, key[is_new])
        for student in self.students:
            student.contestant.keep_items(lists, first[is_new])

    def add(self, lists: Lists) -> None:
        """Score and measure some requests."""
        self.see_items(lists)
        key = lists.request_key
        segments = self._segments(lists)
        shared = self._columns(lists)
        by_item: dict[tuple[int, str, str], Quantity] = {}
        for at, student in enumerate(self.students):
            chunk = student.contestant.chunk(lists, self.source, self.options)
            judged = self._judged(lists, key, chunk, student.contestant.score(chunk), shared)
            student.collected.add(judged)
            student.logged.add(judged)
            by_item |= {(at, *name): q for name, q in self._by_item(judged, segments)}
            if self.options.catalogue:
                student.contestant.keep_users(chunk, _asked(lists))
        if self.options.catalogue:
            self._ask(lists)
        self._sum(by_item, key)
        self.key.append(key)
        self.num_requests += lists.num_requests

    def _judged(
        self,
        lists: Lists,
        key: np.ndarray,
        chunk: Chunk,
        score: np.ndarray,
        shared: dict[str, np.ndarray],
    ) -> Judged:
        chosen = self.options.conventions
        id_place = None
        if chosen.ties == "id":
            ids = lists.candidates.column("item_id").cast(pa.string())
            id_place = pc.rank(ids, sort_keys="ascending", tiebreaker="dense").to_numpy()
        columns = {**chunk.columns, **shared}
        user, gain = users(lists), self.options.gain
        return Judged(lists.offsets, key, score, columns, chosen, gain, id_place, user)

    def _columns(self, lists: Lists) -> dict[str, np.ndarray]:
        """Further columns of candidates that measures or policies ask for."""
        found = {
            name: numbers(lists.candidates.column(name), np.float64)
            for name in self.students[0].logged.inner_names
        }
        if self.options.own_channel is not None:
            channels = lists.candidates.column(CHANNEL)
            self.channels |= set(flat(channels).unique().drop_null().to_pylist())
            found["alone"] = alone(channels, self.options.own_channel)
        if self.recall is not None:
            chunk = self.recall.chunk(lists, self.source, self.options)
            score = self.recall.score(chunk)
            judged = self._judged(lists, lists.request_key, chunk, score, {})
            found["recall_place"] = judged.order.place
        return found

    def _segments(self, lists: Lists) -> dict[str, Segment]:
        """Request segments are put by; those of items are given back."""
        edges = self.options.segments.edges_of
        user = lists.requests.column("user_id")
        activity = self.known.users.count_of(xxh64(user))
        activity[numbers(user.is_null(), np.bool_)] = np.nan
        self.values.setdefault("length", []).append(lists.lengths.astype(np.float64))
        if len(self.known.users.key):
            self.values.setdefault("user_activity", []).append(activity)
        for name, named in self.named.items():
            named.add(lists.requests.column(name))
        items, found = xxh64(lists.candidates.column("item_id")), {}
        if len(self.known.items.key):
            found["item_popularity"] = self.known.items.count_of(items)
            found["item_age"] = self.known.items.days_since(items, times(lists)[lists.request])
        found["position"] = numbers(lists.candidates.column("position"), np.float64)
        return {name: binned(name, values, edges(name)) for name, values in found.items()}

    def _by_item(
        self, judged: Judged, segments: dict[str, Segment]
    ) -> Iterator[tuple[tuple[str, str], Quantity]]:
        """(segment, measure) and what each request adds to it, of each label a top and a bottom."""
        for measure in self.slot_names:
            sides = slot_terms(judged, measure)
            for name, segment in segments.items():
                num = len(segment.labels)
                held = segment.code >= 0
                at = judged.request[held] * num + segment.code[held]
                size = judged.num_requests * num
                found = [np.bincount(at, side[held], size) for side in sides]
                columns = np.stack(found, axis=1).reshape(judged.num_requests, 2 * num)
                yield (name, measure), Quantity(columns)

    def _sum(self, by_item: dict[tuple[int, str, str], Quantity], key: np.ndarray) -> None:
        """Add what the requests of a batch add in each replicate."""
        sums = sums_of(list(by_item.values()), key, self.options.bootstrap, self.seed)
        for (at, *name), own in zip(by_item, sums, strict=True):
            kept = self.students[at].by_item
            kept[name[0], name[1]] = kept.get((name[0], name[1]), 0.0) + own

    def _ask(self, lists: Lists) -> None:
        requests = _asked(lists)
        rows = spans(lists.offsets[:-1][requests], lists.lengths[requests])
        rows = rows[lists.responded[rows]]
        number = np.full(lists.num_requests, -1)
        number[requests] = np.arange(len(requests))
        item = xxh64(lists.candidates.column("item_id").take(pa.array(rows)))
        held = np.bincount(number[lists.request[rows]], minlength=len(requests))
        self.asked.append((requests + self.num_requests, held, item))

    def request_segments(self) -> list[Segment]:
        """All segments of requests, each of all of them."""
        chosen = self.options.segments
        found = [
            binned(name, np.concatenate(values), chosen.edges_of(name))
            for name, values in self.values.items()
        ]
        return [*found, *(named.segment(chosen.max_labels) for named in self.named.values())]

    def item_labels(self, name: str) -> tuple[str, ...]:
        return labels_of(self.options.segments.edges_of(name))


def users(lists: Lists) -> np.ndarray:
    """The key of each request's user, uint64 [R]; a request without one stands for itself."""
    column = lists.requests.column("user_id")
    return np.where(numbers(column.is_null(), np.bool_), lists.request_key, xxh64(column))


def _asked(lists: Lists) -> np.ndarray:
    """The requests that have a response."""
    return np.unique(lists.request[lists.responded])


def drawn_requests(key: np.ndarray, most: int) -> np.ndarray:
    """At most so many of some requests (keys: uint64 [Q]), by hash, ascending."""
    if len(key) <= most:
        return np.arange(len(key))
    return np.sort(np.argsort(mix(ASKED, key), kind="stable")[:most])


def alone(channels: pa.Array, own: str) -> np.ndarray:
    """bool [N]: a candidate's only channel is `own`; a channel or a list of channels each."""
    is_own = pc.fill_null(pc.equal(flat(channels), own), False).to_numpy(zero_copy_only=False)
    if not _is_listed(channels):
        return is_own
    num = pc.fill_null(pc.list_value_length(channels), 0).to_numpy(zero_copy_only=False)
    flags = is_own.astype(np.int64)
    running = np.concatenate([[0], np.cumsum(flags)])
    ends = np.cumsum(num)
    return (num > 0) & (running[ends] - running[ends - num] == num)


def flat(channels: pa.Array) -> pa.Array:
    """Every channel of every candidate, as text."""
    return (channels.flatten() if _is_listed(channels) else channels).cast(pa.string())


def _is_listed(channels: pa.Array) -> bool:
    return pa.types.is_list(channels.type) or pa.types.is_large_list(channels.type)


def read_all(
    source: ListsSource, at_once: int, each: Callable[[Lists], Any], told: Callable[[int], Any]
) -> None:
    """Hand the lists of a source over in the order of the tables, about so many candidates of a
    row group at a time."""
    for piece in source.pieces:
        lists = source.read([piece])
        mean = max(1, len(lists.teacher_rank) // max(1, lists.num_requests))
        step = max(1, at_once // mean)
        for first in range(0, lists.num_requests, step):
            each(lists.take(np.arange(first, min(first + step, lists.num_requests))))
        told(piece.num_rows)
