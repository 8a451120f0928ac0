"""Lists to a chunk: shuffled, with samples drawn afresh or read beside them, and encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.features.table import micros
from rankdistill.lists.batch import Lists, numbers
from rankdistill.samples.catalogue import SAMPLERS
from rankdistill.samples.grade_rules import GradeOptions
from rankdistill.samples.grades import grade
from rankdistill.samples.listwise import GradedLists
from rankdistill.samples.negatives import Negatives
from rankdistill.samples.positives import PositiveOptions, positive_mask
from rankdistill.samples.rows import Pairs, Points
from rankdistill.student.chunk import Chunk, Drawn
from rankdistill.student.fields.encode import Fields
from rankdistill.student.order import request_order, time_order
from rankdistill.student.reading import ListsSource, Piece
from rankdistill.student.stored import StoredSamples

NEGATIVES, POSITIVES = "negatives", "positives"
HAIR = 2.0**-24  # below this, float32 does not tell 1 - p from 1


@dataclass(frozen=True)
class Drawing:
    """How pieces of the lists become a chunk.

    fresh: resolved options of the kinds that are drawn here, each epoch anew; stored: of the
    others, their tables; positives: the rule of those that negatives are held against; seed: of
    the draws and the order; looked_at: columns of slots (exposed, ...) that are kept beside those
    that were drawn, None = all slots are; grade: the rule of the column `grade`, for measures.
    """

    source: ListsSource
    fields: Fields
    fresh: Mapping[str, Any]
    seed: int
    stored: StoredSamples | None = None
    positives: PositiveOptions | None = None
    looked_at: frozenset[str] | None = None
    grade: GradeOptions | None = None
    in_time: bool = False

    def __call__(self, pieces: Sequence[Piece], epoch: int | None) -> Chunk:
        lists = self.source.read(pieces)
        if epoch is not None:
            lists = lists.take(self._order(lists, epoch))
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

    def _order(self, lists: Lists, epoch: int) -> np.ndarray:
        if self.in_time:
            return time_order(micros(lists.requests.column("request_time")), lists.request_key)
        return request_order(lists.request_key, self.seed, epoch)

    def chunk(self, lists: Lists, drawn: Mapping[str, Any], negative: pa.Array) -> Chunk:
        """negative: the items of the drawn negatives."""
        columns = slot_columns(lists, self.source.score_kind)
        if self.grade is not None:
            columns["grade"] = grade(lists, self.grade, np.arange(len(lists.teacher_rank)))
        rows = {kind: drawn_rows(found, lists.num_requests) for kind, found in drawn.items()}
        if self.positives is not None:
            is_positive, _ = positive_mask(lists, self.positives)
            at = np.flatnonzero(is_positive)
            rows[POSITIVES] = Drawn.of(lists.request[at], lists.num_requests, {"item": at}, {})
        outside = np.zeros(0, np.int64)
        if NEGATIVES in drawn:
            outside = np.flatnonzero(drawn[NEGATIVES].item < 0)
            rows[NEGATIVES].slots["item"][outside] = lists.offsets[-1] + np.arange(len(outside))
        slots = Slots.of(lists, rows, outside, self._kept(columns, rows))
        users, items = self.fields.encode(lists, slots.candidates)
        if len(outside):
            items = items.joined(self.fields.items_of(negative.take(pa.array(outside))))
            items = items.take(slots.order)
        return Chunk(
            lists.requests.column("request_id"),
            slots.offsets,
            users,
            items,
            {name: slots.column(column) for name, column in columns.items()},
            {kind: slots.renamed(found) for kind, found in rows.items()},
        )

    def _kept(
        self, columns: Mapping[str, np.ndarray], rows: Mapping[str, Drawn]
    ) -> np.ndarray | None:
        """bool [C]: the candidates that are drawn or looked at; None where all are kept."""
        if self.looked_at is None:
            return None
        kept = np.zeros(len(columns["stage"]) + 1, dtype=bool)
        for found in rows.values():
            for slots in found.slots.values():
                kept[np.minimum(slots, len(kept) - 1)] = True
        for name in self.looked_at:
            kept[:-1] |= columns[name] > 0
        return kept[:-1]


@dataclass(frozen=True)
class Slots:
    """Which candidates become slots of a chunk, and where: of each request first its candidates,
    then the items that were drawn from elsewhere (`outside`).

    offsets: int64 [R + 1]; candidates: int64 [K], those that are kept; order: int64 [N], where a
    slot's item stands among the kept candidates and the outside items, one after the other;
    slot: int64 [C + O + 1], the slot of each of both, -1 where it is not kept and at the end.
    """

    offsets: np.ndarray
    candidates: np.ndarray
    order: np.ndarray
    slot: np.ndarray

    @classmethod
    def of(
        cls, lists: Lists, rows: Mapping[str, Drawn], outside: np.ndarray, kept: np.ndarray | None
    ) -> Slots:
        """outside: rows of the negatives that are no candidates; kept: bool [C], None = all."""
        num = int(lists.offsets[-1])
        candidates = np.arange(num) if kept is None else np.flatnonzero(kept)
        request = lists.request[candidates]
        if len(outside):
            start = rows[NEGATIVES].start
            of = np.searchsorted(start, outside, side="right") - 1
            request = np.concatenate([request, of])
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
        "stage": lists.stage,
        "exposed": lists.exposed,
        "responded": lists.responded,
    }
    if score_kind is not None:
        columns["has_score"] = np.isfinite(lists.score)
        columns["logit"] = lists.score
        if score_kind == "probability":
            columns["logit"] = logit(lists.score)
    for name in lists.feedback:
        columns[f"feedback.{name}"] = numbers(lists.candidates.column(name), np.float64)
    return columns


def logit(probability: np.ndarray) -> np.ndarray:
    """ln(p / (1 - p)); 0 and 1 are taken for what is a hair off them, about +-16."""
    held = np.clip(probability, HAIR, 1 - HAIR)
    found: np.ndarray = np.log(held) - np.log1p(-held)
    return found


def drawn_rows(drawn: Points | Pairs | GradedLists | Negatives, num_requests: int) -> Drawn:
    """What a kernel drew, request by request; slots are candidates, -1 where there is none."""
    request = drawn.request
    slots: dict[str, np.ndarray]
    if isinstance(drawn, Pairs):
        slots = {"pos": drawn.pos, "neg": drawn.neg}
        values = {"weight": drawn.weight, "margin": drawn.margin}
    elif isinstance(drawn, Points):
        slots, values = {"item": drawn.item}, {"label": drawn.label, "weight": drawn.weight}
    elif isinstance(drawn, Negatives):
        slots = {"item": drawn.item.copy(), "pos": drawn.pos}
        values = {"mixture_q": drawn.mixture_q}
    else:
        lengths = np.diff(drawn.offsets)
        request, slots = np.repeat(request, lengths), {"item": drawn.item}
        values = {"grade": drawn.grade, "weight": np.repeat(drawn.weight, lengths)}
    return Drawn.of(request, num_requests, slots, values)
