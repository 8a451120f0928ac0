"""Lists to a chunk: shuffled, sampled afresh by the kernels of `samples`, encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankdistill.lists.batch import Lists, numbers
from rankdistill.samples.catalogue import SAMPLERS
from rankdistill.samples.grade_rules import GradeOptions
from rankdistill.samples.grades import grade
from rankdistill.samples.listwise import GradedLists
from rankdistill.samples.rows import Pairs, Points
from rankdistill.student.chunk import Chunk, Drawn
from rankdistill.student.fields.encode import Fields
from rankdistill.student.order import request_order
from rankdistill.student.reading import ListsSource, Piece


@dataclass(frozen=True)
class Drawing:
    """How pieces of the lists become a chunk. kinds: resolved options of the sample kinds that
    the losses ask for; seed: of the draws, each epoch another; grade: the rule of the column
    `grade`, which measures ask for."""

    source: ListsSource
    fields: Fields
    kinds: Mapping[str, Any]
    seed: int
    grade: GradeOptions | None = None

    def __call__(self, pieces: Sequence[Piece], epoch: int | None) -> Chunk:
        lists = self.source.read(pieces)
        if epoch is not None:
            lists = lists.take(request_order(lists.request_key, self.seed, epoch))
        return self.chunk(lists, epoch or 0)

    def chunk(self, lists: Lists, epoch: int) -> Chunk:
        drawn = {
            kind: drawn_rows(
                SAMPLERS[kind].draw(lists, options, self.seed, epoch=epoch), lists.num_requests
            )
            for kind, options in self.kinds.items()
        }
        users, items = self.fields.encode(lists)
        ids = lists.requests.column("request_id")
        columns = slot_columns(lists)
        if self.grade is not None:
            columns["grade"] = grade(lists, self.grade, np.arange(len(lists.teacher_rank)))
        return Chunk(ids, lists.offsets, users, items, columns, drawn)


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


def drawn_rows(drawn: Points | Pairs | GradedLists, num_requests: int) -> Drawn:
    """What a kernel drew, request by request."""
    if isinstance(drawn, Pairs):
        slots = {"pos": drawn.pos, "neg": drawn.neg}
        values = {"weight": drawn.weight, "margin": drawn.margin}
        request = drawn.request
    elif isinstance(drawn, Points):
        slots, values = {"item": drawn.item}, {"label": drawn.label, "weight": drawn.weight}
        request = drawn.request
    else:
        lengths = np.diff(drawn.offsets)
        slots = {"item": drawn.item}
        values = {"grade": drawn.grade, "weight": np.repeat(drawn.weight, lengths)}
        request = np.repeat(drawn.request, lengths)
    start = np.searchsorted(request, np.arange(num_requests + 1))
    return Drawn(start, slots, values)
