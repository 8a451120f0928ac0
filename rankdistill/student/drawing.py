"""Lists to a chunk: shuffled, with samples drawn afresh or read beside them, and encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.lists.batch import Lists, numbers
from rankdistill.samples.catalogue import SAMPLERS
from rankdistill.samples.listwise import GradedLists
from rankdistill.samples.negatives import Negatives
from rankdistill.samples.positives import PositiveOptions, positive_mask
from rankdistill.samples.rows import Pairs, Points
from rankdistill.student.chunk import Chunk, Drawn
from rankdistill.student.fields.encode import Fields
from rankdistill.student.order import request_order
from rankdistill.student.reading import ListsSource, Piece
from rankdistill.student.stored import StoredSamples

NEGATIVES, POSITIVES = "negatives", "positives"


@dataclass(frozen=True)
class Drawing:
    """How pieces of the lists become a chunk.

    fresh: resolved options of the kinds that are drawn here, each epoch anew; stored: of the
    others, their tables; positives: the rule of those that negatives are held against; seed: of
    the draws and the order.
    """

    source: ListsSource
    fields: Fields
    fresh: Mapping[str, Any]
    seed: int
    stored: StoredSamples | None = None
    positives: PositiveOptions | None = None

    def __call__(self, pieces: Sequence[Piece], epoch: int | None) -> Chunk:
        lists = self.source.read(pieces)
        if epoch is not None:
            lists = lists.take(request_order(lists.request_key, self.seed, epoch))
        drawn: dict[str, Any] = {
            kind: SAMPLERS[kind].draw(lists, options, self.seed, epoch=epoch or 0)
            for kind, options in self.fresh.items()
        }
        items = lists.candidates.column("item_id").slice(0, 0)
        for kind in self.stored.beside if self.stored else ():
            assert self.stored is not None
            drawn[kind], rows = self.stored.read(kind, pieces, lists)
            if kind == NEGATIVES:
                items = rows.column("item_id")
        return self.chunk(lists, drawn, items)

    def chunk(self, lists: Lists, drawn: Mapping[str, Any], negative: pa.Array) -> Chunk:
        """negative: the items of the drawn negatives."""
        users, items = self.fields.encode(lists)
        rows, slots = dict(drawn), Slots.of(lists, drawn.get(NEGATIVES))
        if slots.outside is not None:
            items = items.joined(self.fields.items_of(negative.take(pa.array(slots.outside))))
            items = items.take(slots.source)
        num = lists.num_requests
        found = {kind: drawn_rows(rows[kind], num, slots) for kind in rows}
        if self.positives is not None:
            is_positive, _ = positive_mask(lists, self.positives)
            at = np.flatnonzero(is_positive)
            start = np.searchsorted(lists.request[at], np.arange(num + 1))
            found[POSITIVES] = Drawn(start, {"item": slots.of_candidate[at]}, {})
        columns = {name: slots.spread(column) for name, column in slot_columns(lists).items()}
        ids = lists.requests.column("request_id")
        return Chunk(ids, slots.offsets, users, items, columns, found)


@dataclass(frozen=True)
class Slots:
    """Where candidates, and negatives that are none, stand in a chunk: of each request first its
    candidates, then the items that were drawn from elsewhere.

    offsets: int64 [R + 1]; of_candidate: int64 [C], the slot of each; outside: int64 [O], rows of
    the negatives that are no candidates (None: there are no negatives); source: int64 [N], where
    a slot's item stands among candidates and outside ones, one after the other.
    """

    offsets: np.ndarray
    of_candidate: np.ndarray
    outside: np.ndarray | None
    source: np.ndarray

    @classmethod
    def of(cls, lists: Lists, negatives: Negatives | None) -> Slots:
        own = np.arange(lists.offsets[-1])
        if negatives is None:
            return cls(lists.offsets, own, None, own)
        outside = np.flatnonzero(negatives.item < 0)
        request = negatives.request[outside]
        more = np.bincount(request, minlength=lists.num_requests)
        before = np.concatenate([[0], np.cumsum(more)])
        of_candidate = own + before[lists.request]
        source = np.empty(len(own) + len(outside), dtype=np.int64)
        source[of_candidate] = own
        source[lists.offsets[request + 1] + np.arange(len(outside))] = len(own) + np.arange(
            len(outside)
        )
        return cls(lists.offsets + before, of_candidate, outside, source)

    def of_negatives(self, drawn: Negatives) -> np.ndarray:
        """The slot of each negative, int64 [T]."""
        assert self.outside is not None
        slot = np.append(self.of_candidate, -1)[drawn.item]
        is_outside = self.source >= len(self.of_candidate)
        slot[self.outside] = np.flatnonzero(is_outside)
        return slot

    def spread(self, column: np.ndarray) -> np.ndarray:
        """A column of candidates as one of slots: what is no candidate has none of it."""
        if self.outside is None:
            return column
        nothing = np.nan if np.issubdtype(column.dtype, np.floating) else 0
        found = np.full(len(self.source), nothing, dtype=column.dtype)
        found[self.of_candidate] = column
        return found


def slot_columns(lists: Lists) -> dict[str, np.ndarray]:
    """What losses and measures know of a candidate beside its features."""
    columns = {
        "teacher_rank": lists.teacher_rank,
        "score": lists.score,
        "stage": lists.stage,
        "exposed": lists.exposed,
        "responded": lists.responded,
    }
    for name in lists.feedback:
        columns[f"feedback.{name}"] = numbers(lists.candidates.column(name), np.float64)
    return columns


def drawn_rows(
    drawn: Points | Pairs | GradedLists | Negatives, num_requests: int, slots: Slots
) -> Drawn:
    """What a kernel drew, request by request."""
    of, request = slots.of_candidate, drawn.request
    at: dict[str, np.ndarray]
    if isinstance(drawn, Pairs):
        at = {"pos": of[drawn.pos], "neg": of[drawn.neg]}
        values = {"weight": drawn.weight, "margin": drawn.margin}
    elif isinstance(drawn, Points):
        at, values = {"item": of[drawn.item]}, {"label": drawn.label, "weight": drawn.weight}
    elif isinstance(drawn, Negatives):
        at = {"item": slots.of_negatives(drawn), "pos": np.append(of, -1)[drawn.pos]}
        values = {"mixture_q": drawn.mixture_q}
    else:
        lengths = np.diff(drawn.offsets)
        at = {"item": of[drawn.item]}
        values = {"grade": drawn.grade, "weight": np.repeat(drawn.weight, lengths)}
        request = np.repeat(request, lengths)
    return Drawn(np.searchsorted(request, np.arange(num_requests + 1)), at, values)
