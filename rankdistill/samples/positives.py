"""What a positive of a request is: by place, by feedback, by exposure, or by several of them.

Shared by `pointwise`, by the negatives' guards and by the items' counts.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from rankdistill.lists.batch import Lists
from rankdistill.samples.facts import SOURCE_CODE, LogFacts
from rankdistill.samples.options import SampleOptions

PositiveRule = Literal["rank", "feedback", "exposed"]
# In this order: a row's source is the first rule that applies.
POSITIVE_SOURCES = {"rank": "top_k", "feedback": "feedback", "exposed": "exposed"}


class PositiveOptions(SampleOptions):
    """positives: one rule or several (union); top_k: the highest teacher rank of `rank`."""

    positives: PositiveRule | tuple[PositiveRule, ...] = "rank"
    top_k: int = Field(default=10, ge=1)

    @property
    def rules(self) -> tuple[PositiveRule, ...]:
        chosen = (self.positives,) if isinstance(self.positives, str) else self.positives
        return tuple(rule for rule in POSITIVE_SOURCES if rule in chosen)

    @model_validator(mode="after")
    def _some_rule(self) -> Self:
        if not self.rules:
            raise ValueError(f"positives is empty; known are {list(POSITIVE_SOURCES)}")
        return self

    def refuse_positives(self, facts: LogFacts) -> list[str]:
        """Why there can be no such positives on such a log; empty where there can."""
        needs = {
            "rank": (facts.has_rank, "a teacher rank or score"),
            "feedback": (facts.has_feedback, "a feedback column"),
            "exposed": (facts.has_exposure, "the exposure (a stage or position)"),
        }
        return [
            f"positives {rule} needs {needs[rule][1]}; none is mapped"
            for rule in self.rules
            if not needs[rule][0]
        ]

    def most_positives(self, lengths: np.ndarray) -> np.ndarray:
        """Positives of each request at most, by its number of candidates (int64 [R]); with tied
        teacher ranks top_k may hold more."""
        return np.minimum(lengths, self.top_k) if self.rules == ("rank",) else lengths


def positive_mask(lists: Lists, options: PositiveOptions) -> tuple[np.ndarray, np.ndarray]:
    """bool [N], and the source of each positive (int8 [N], the first rule that applies)."""
    rank = lists.teacher_rank
    source = np.full(len(rank), -1, dtype=np.int8)
    for rule in reversed(options.rules):
        if rule == "rank":
            applies = (rank > 0) & (rank <= options.top_k)
        else:
            applies = lists.responded if rule == "feedback" else lists.exposed
        source[applies] = SOURCE_CODE[POSITIVE_SOURCES[rule]]
    return source >= 0, source


def tail_mask(lists: Lists, share: float, top_k: int) -> np.ndarray:
    """bool [N]: ranked, beyond top_k, and in the last `share` of the ranked list."""
    num_ranked = lists.num_ranked
    # The allowance keeps 0.29 * 100 at 29: floats fall a hair short of whole numbers.
    num_tail = np.floor(share * num_ranked + 1e-9).astype(np.int64)
    stretches = np.stack([num_ranked - num_tail, num_tail, lists.lengths - num_ranked], axis=1)
    is_last = np.repeat(np.tile([False, True, False], lists.num_requests), stretches.ravel())
    return is_last & (lists.teacher_rank > top_k)
