"""What DCG makes of grades, at teacher ranks: gains and |delta NDCG| of a pair.

Used by the `delta_ndcg` pairs; listwise samples only carry the name of their gain.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from rankdistill.config import Options
from rankdistill.lists.batch import Lists, segment_sum
from rankdistill.samples.facts import LogFacts
from rankdistill.samples.grade_rules import Grade, RankBucket
from rankdistill.samples.grades import grade
from rankdistill.samples.weights import table, table_size


class GradedOptions(Options):
    """A grade rule and its gain.

    gain: exponential (2^g - 1) for whole grades up to max_grade, or linear (g); where None,
    exponential for rules of whole grades, linear for stage, log_rank and real grades.
    """

    grade: Grade = RankBucket()
    gain: Literal["exponential", "linear"] | None = None
    max_grade: int = Field(default=5, ge=1, le=30)

    @property
    def resolved_gain(self) -> Literal["exponential", "linear"]:
        return self.gain or self.grade.default_gain

    @model_validator(mode="after")
    def _bounded_gain(self) -> Self:
        if self.resolved_gain == "linear":
            return self
        if not self.grade.is_integer:
            raise ValueError(
                f"gain exponential takes whole grades, and {self.grade.kind} gives real ones; "
                "use gain: linear"
            )
        if self.grade.highest > self.max_grade:
            raise ValueError(
                f"gain exponential of grade {self.grade.highest:g} weighs "
                f"2^{self.grade.highest:g} - 1, and max_grade is {self.max_grade}; set "
                "max_grade (up to 30), fewer levels, or gain: linear"
            )
        return self

    def refuse(self, facts: LogFacts) -> list[str]:
        return self.grade.refuse(facts)

    def for_log(self, facts: LogFacts) -> Self:
        return self.model_copy(update={"grade": self.grade.for_log(facts)})


@lru_cache(maxsize=8)
def discount_table(size: int) -> np.ndarray:
    """1 / log2(1 + r) by rank; 0 at rank 0 (no rank)."""
    return table(lambda rank: 1.0 / math.log2(1 + rank), size)


def discount(rank: np.ndarray) -> np.ndarray:
    """The DCG discount of 1-based ranks (0 = none, discounts to 0)."""
    size = table_size(rank)
    return discount_table(size)[np.minimum(rank, size)]


def normalised_gain(lists: Lists, options: GradedOptions) -> np.ndarray:
    """G = gain / IDCG of its request, float64 [N]; 0 where the whole list has no gain.

    The ideal order puts every logged candidate of the request by falling gain at 1, 2, ...
    """
    graded = grade(lists, options.grade, np.arange(len(lists.teacher_rank)))
    gain = np.exp2(graded) - 1.0 if options.resolved_gain == "exponential" else graded
    ideal = gain
    rises = gain[1:] > gain[:-1]
    rises &= lists.request[1:] == lists.request[:-1]
    if rises.any():
        ideal = gain[np.lexsort((-gain, lists.request))]
    ideal_dcg = segment_sum(ideal * discount(lists.place + 1), lists.offsets)
    ideal_dcg[ideal_dcg <= 0] = 1.0
    return gain / ideal_dcg[lists.request]


def delta_ndcg(lists: Lists, gain: np.ndarray, pos: np.ndarray, neg: np.ndarray) -> np.ndarray:
    """|G_i - G_j| * |1/D_i - 1/D_j| of swapping the pair at its teacher ranks (LambdaRank)."""
    discounted = discount(lists.teacher_rank)
    return np.abs(gain[pos] - gain[neg]) * np.abs(discounted[pos] - discounted[neg])
