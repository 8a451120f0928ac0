"""Lists to a chunk: shuffled, with samples drawn afresh or read beside them, and encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.features.table import micros
from rankdistill.hashing import xxh64
from rankdistill.lists.batch import Lists, logits
from rankdistill.samples.catalogue import SAMPLERS
from rankdistill.samples.grade_rules import GradeOptions
from rankdistill.samples.grades import grade
from rankdistill.samples.listwise import GradedLists
from rankdistill.samples.negatives import Negatives
from rankdistill.samples.order_sample import OrderSample, OrderSampleOptions, order_sample
from rankdistill.samples.positives import PositiveOptions, positive_mask
from rankdistill.samples.rows import Pairs, Points
from rankdistill.student.chunk import Chunk, Drawn
from rankdistill.student.fields.encode import Fields
from rankdistill.student.order import request_order, time_order
from rankdistill.student.reading import ListsSource, Piece
from rankdistill.student.shares import Shares
from rankdistill.student.stored import StoredSamples

NEGATIVES, POSITIVES, UNIFORM = "negatives", "positives", "uniform"
TAKEN = "taken"  # before the request, by the user: items, which need not be slots
HAIR = 2.0**-24  # below this, float32 does not tell 1 - p from 1: logits of about +-16


@dataclass(frozen=True)
class Drawing:
    """How pieces of the lists become a chunk.

    fresh: resolved options of the kinds that are drawn here, each epoch anew; stored: of the
    others, their tables; positives: the rule of those that negatives are held against; seed: of
    the draws and the order; looked_at: columns of slots (exposed, ...) that are kept beside those
    that were drawn, None = all slots are; grade: the rule of the column `grade`, for measures;
    shares: of items among the positives, where negatives come from the batch; orders: what is
    drawn for single losses, by name.
    """

    source: ListsSource
    fields: Fields
    fresh: Mapping[str, Any]
    seed: int
    stored: StoredSamples | None = None
    positives: PositiveOptions | None = None
    looked_at: frozenset[str] | None = None
    grade: GradeOptions | None = None
    shares: Shares | None = None
    in_time: bool = False
    orders: Mapping[str, OrderSampleOptions] = field(default_factory=dict)

    def __call__(self, pieces: Sequence[Piece], epoch: int | None) -> Chunk:
        lists = self.source.read(pieces)
        if epoch is not None:
            lists = lists.take(self._order(lists, epoch))
        drawn: dict[str, Any] = {
            kind: SAMPLERS[kind].draw(lists, options, self.seed, epoch=epoch or 0)
            for kind, options in self.fresh.items()
        }
        rows = {kind: drawn_rows(found, lists.num_requests) for kind, found in drawn.items()}
        for name, options in self.orders.items():
            order = order_sample(lists, options, self.seed, epoch or 0)
            rows[name] = drawn_rows(order, lists.num_requests)
        outside = Outside(lists)
        for kind in self.stored.beside if self.stored else ():
            assert self.stored is not None
            found, table = self.stored.read(kind, pieces, lists)
            rows[kind] = drawn_rows(found, lists.num_requests)
            if kind == NEGATIVES:
                is_outside = np.flatnonzero(found.item < 0)
                items = table.column("item_id").take(pa.array(is_outside))
                rows[kind].slots["item"][is_outside] = outside.add(found.request[is_outside], items)
        if self.shares is not None and self.shares.uniform:
            request, items = self.shares.draw(lists.request_key, self.seed, epoch or 0)
            slots = {"item": outside.add(request, items)}
            rows[UNIFORM] = Drawn.of(request, lists.num_requests, slots, {})
        return self.chunk(lists, rows, outside)

    def _order(self, lists: Lists, epoch: int) -> np.ndarray:
        if self.in_time:
            return time_order(micros(lists.requests.column("request_time")), lists.request_key)
        return request_order(lists.request_key, self.seed, epoch)

    def chunk(self, lists: Lists, rows: dict[str, Drawn], outside: Outside) -> Chunk:
        """rows: of each sample kind, whose slots are candidates and outside items."""
        if self.positives is not None:
            is_positive, _ = positive_mask(lists, self.positives)
            at = np.flatnonzero(is_positive)
            rows[POSITIVES] = Drawn.of(lists.request[at], lists.num_requests, {"item": at}, {})
        columns = slot_columns(lists, self.source.score_kind)
        if self.grade is not None:
            columns["grade"] = grade(lists, self.grade, np.arange(len(lists.teacher_rank)))
        slots = Slots.of(lists, outside.request, self._kept(columns, rows))
        known = self.fields.of_requests(lists)
        users, items = self.fields.encode(lists, slots.candidates, known)
        if len(outside.request):
            time = micros(lists.requests.column("request_time"))[outside.request]
            items = items.joined(self.fields.items_of(outside.items, time)).take(slots.order)
        held = {name: slots.column(column) for name, column in columns.items()}
        if self.shares is not None:
            held |= self._identities(lists, slots, outside)
            request, key = self.fields.taken(known)
            rows[TAKEN] = Drawn.of(request, lists.num_requests, {}, {"item_key": key})
        return Chunk(
            lists.requests.column("request_id"),
            slots.offsets,
            users,
            items,
            held,
            {kind: slots.renamed(found) for kind, found in rows.items()},
            len(self.shares.positives) if self.shares is not None else 0,
        )

    def _identities(self, lists: Lists, slots: Slots, outside: Outside) -> dict[str, np.ndarray]:
        """Columns of slots: the keys of user and item (uint64; a request without a user is its
        own), and the item's share among the positives."""
        assert self.shares is not None
        item = xxh64(lists.candidates.column("item_id"))[slots.candidates]
        item = np.concatenate([item, xxh64(outside.items)])[slots.order]
        users = lists.requests.column("user_id")
        user = np.where(users.is_valid(), xxh64(users), lists.request_key)
        return {
            "user_key": np.repeat(user, np.diff(slots.offsets)),
            "item_key": item,
            "share": self.shares.of_positives(item),
        }

    def _kept(
        self, columns: Mapping[str, np.ndarray], rows: Mapping[str, Drawn]
    ) -> np.ndarray | None:
        """bool [C]: the candidates that are drawn or looked at; None where all are kept."""
        if self.looked_at is None:
            return None
        kept = np.zeros(len(columns["teacher_rank"]) + 1, dtype=bool)
        for found in rows.values():
            for slots in found.slots.values():
                kept[np.minimum(slots, len(kept) - 1)] = True
        for name in self.looked_at:
            kept[:-1] |= columns[name] > 0
        return kept[:-1]


class Outside:
    """Items that were drawn from elsewhere than the candidates of their request. request: int64
    [O], of each; items: their ids [O]."""

    def __init__(self, lists: Lists) -> None:
        self._num = int(lists.offsets[-1])
        self.request = np.zeros(0, np.int64)
        self.items = lists.candidates.column("item_id").slice(0, 0)

    def add(self, request: np.ndarray, items: pa.Array) -> np.ndarray:
        """By what numbers they go: those behind the candidates."""
        first = self._num + len(self.request)
        self.request = np.concatenate([self.request, request])
        self.items = pa.concat_arrays([self.items, items.cast(self.items.type)])
        return first + np.arange(len(request))


@dataclass(frozen=True)
class Slots:
    """Which candidates become slots of a chunk, and where: of each request first its candidates,
    then the items that were drawn from elsewhere.

    offsets: int64 [R + 1]; candidates: int64 [K], those that are kept; order: int64 [N], where a
    slot's item stands among the kept candidates and the outside items, one after the other;
    slot: int64 [C + O + 1], the slot of each of both, -1 where it is not kept and at the end.
    """

    offsets: np.ndarray
    candidates: np.ndarray
    order: np.ndarray
    slot: np.ndarray

    @classmethod
    def of(cls, lists: Lists, outside: np.ndarray, kept: np.ndarray | None) -> Slots:
        """outside: int64 [O], the requests of the outside items; kept: bool [C], None = all."""
        num = int(lists.offsets[-1])
        candidates = np.arange(num) if kept is None else np.flatnonzero(kept)
        request = np.concatenate([lists.request[candidates], outside])
        order = np.argsort(request, kind="stable") if len(outside) else np.arange(len(request))
        offsets = np.searchsorted(request[order], np.arange(lists.num_requests + 1))
        slot = np.full(num + len(outside) + 1, -1, dtype=np.int64)
        entry = np.concatenate([candidates, num + np.arange(len(outside))])
        slot[entry[order]] = np.arange(len(order))
        return cls(offsets, candidates, order, slot)

    def renamed(self, found: Drawn) -> Drawn:
        """Rows that name candidates and outside items as rows that name slots."""
        return Drawn(
            found.start, {n: self.slot[slots] for n, slots in found.slots.items()}, found.values
        )

    def column(self, column: np.ndarray) -> np.ndarray:
        """A column of candidates as one of slots: what is no candidate has none of it."""
        found = column[self.candidates]
        num_outside = len(self.order) - len(found)
        if not num_outside:
            return found
        nothing = np.nan if np.issubdtype(column.dtype, np.floating) else 0
        none = np.full(num_outside, nothing, dtype=column.dtype)
        return np.concatenate([found, none])[self.order]


def slot_columns(lists: Lists, score_kind: str | None) -> dict[str, np.ndarray]:
    """What losses and measures know of a candidate beside its features."""
    columns = {
        "teacher_rank": lists.teacher_rank,
        "score": lists.score,
        "exposed": lists.exposed,
        "responded": lists.responded,
    }
    if score_kind is not None:
        columns["has_score"] = np.isfinite(lists.score)
        columns["logit"] = lists.score
        if score_kind == "probability":
            columns["logit"] = logits(lists.score, HAIR)
    for name in lists.feedback:
        columns[f"hit.{name}"] = lists.hits(name)
    return columns


def drawn_rows(
    drawn: Points | Pairs | GradedLists | Negatives | OrderSample, num_requests: int
) -> Drawn:
    """What a kernel drew, request by request; slots are candidates, -1 where there is none."""
    request = drawn.request
    slots: dict[str, np.ndarray]
    if isinstance(drawn, Pairs):
        slots = {"pos": drawn.pos, "neg": drawn.neg}
        values = {"weight": drawn.weight, "margin": drawn.margin}
    elif isinstance(drawn, Points):
        slots = {"item": drawn.item}
        values = {n: getattr(drawn, n) for n in ("label", "weight", "probability")}
    elif isinstance(drawn, OrderSample):
        slots, values = {"item": drawn.item}, {"place": drawn.place}
    elif isinstance(drawn, Negatives):
        slots = {"item": drawn.item.copy(), "pos": drawn.pos}
        values = {"mixture_q": drawn.mixture_q}
    else:
        lengths = np.diff(drawn.offsets)
        request, slots = np.repeat(request, lengths), {"item": drawn.item}
        values = {"grade": drawn.grade, "weight": np.repeat(drawn.weight, lengths)}
    return Drawn.of(request, num_requests, slots, values)
