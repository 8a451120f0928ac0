"""Listwise samples: one graded list per request, in the teacher's order.

Lists in; indices, grades and probabilities out. `gather.lists_table` makes the table of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from rankdistill.config import Options
from rankdistill.lists.batch import Lists, spans
from rankdistill.samples.facts import SOURCE_CODE, LogFacts, Student
from rankdistill.samples.gains import GradedOptions
from rankdistill.samples.grades import grade
from rankdistill.samples.lots import Lots, draw_uniform
from rankdistill.samples.options import SampleOptions


class TailSample(Options):
    """`num` candidates beyond max_length, drawn uniformly, appended in the teacher's order."""

    num: int = Field(default=10, ge=1, le=10_000)


class ListwiseOptions(GradedOptions, SampleOptions):
    """max_length: the candidates kept, from the top of the teacher's order. The gain only goes
    into the table's metadata: a trainer takes it from there."""

    max_length: int = Field(default=50, ge=2, le=100_000)
    tail: TailSample | None = None

    def for_student(self, student: Student) -> ListwiseOptions:
        return self

    def refuse(self, facts: LogFacts) -> list[str]:
        """Why these options cannot work on such a log; empty where they can."""
        reasons = super().refuse(facts)
        if not facts.has_rank:
            reasons.insert(
                0, "lists need a teacher order; neither rank nor teacher_score is mapped"
            )
        return list(dict.fromkeys(reasons))

    def advise(self, facts: LogFacts) -> list[str]:
        """What works on such a log but may not be what is meant; the rows are built."""
        return []

    def most_rows(self, lengths: np.ndarray) -> np.ndarray:
        """Rows of each request at most, by its number of candidates (int64 [R])."""
        return (lengths >= 2).astype(np.int64)


@dataclass(frozen=True)
class GradedLists:
    """L lists with M items in all; list l holds items offsets[l] : offsets[l + 1].

    request: index of the request [L]; weight, probability (float64), source (int8) [L]; item:
    candidate index (int64), grade (float32), item_probability (float64) [M].
    """

    request: np.ndarray
    offsets: np.ndarray
    weight: np.ndarray
    probability: np.ndarray
    source: np.ndarray
    item: np.ndarray
    grade: np.ndarray
    item_probability: np.ndarray
    counts: dict[str, int]


def listwise(lists: Lists, options: ListwiseOptions, seed: int, epoch: int = 0) -> GradedLists:
    """One list for every request of at least two candidates; key is the request."""
    request = np.flatnonzero(lists.lengths >= 2)
    starts, lengths = lists.offsets[:-1][request], lists.lengths[request]
    num_head = np.minimum(lengths, options.max_length)
    num_tail, item_probability = np.zeros_like(num_head), np.ones(0)
    item = spans(starts, num_head)

    if options.tail is not None:
        lots = Lots(seed, epoch, lists.request_key)
        rest = lengths - num_head
        num_tail = np.minimum(options.tail.num, rest)
        row, index = draw_uniform(lots, "lists.tail", request, 0, rest, num_tail)
        item = np.sort(np.concatenate([item, (starts + num_head)[row] + index]))

    num_items = num_head + num_tail
    offsets = np.concatenate([[0], np.cumsum(num_items)])
    item_probability = np.ones(len(item))
    if options.tail is not None:
        share = num_tail / np.maximum(lengths - num_head, 1)
        tail_starts = offsets[:-1] + num_head
        item_probability[spans(tail_starts, num_tail)] = np.repeat(share, num_tail)

    graded = grade(lists, options.grade, item).astype(np.float32)
    starts = offsets[:-1]
    one_grade = np.minimum.reduceat(graded, starts) == np.maximum.reduceat(graded, starts)
    ones = np.ones(len(request))
    counts = {
        "requests": lists.num_requests,
        "rows": len(request),
        "requests_without_row": lists.num_requests - len(request),
        "items": len(item),
        "items_cut": int((lengths - num_items).sum()),
        "lists_of_one_grade": int(one_grade.sum()),
    }
    source = np.full(len(request), SOURCE_CODE["order"], dtype=np.int8)
    return GradedLists(request, offsets, ones, ones, source, item, graded, item_probability, counts)
