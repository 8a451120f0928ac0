"""What the options must know of a log to say whether they can work on it, and row sources.

`LogFacts` comes from the column mapping (or a look at the log); every options class answers
`refuse(facts)` with reasons, before anything is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ScoreKind = Literal["logit", "probability"]
Student = Literal["recall", "prerank"]

# Where a sample row came from; kernels return the index into this tuple (int8).
SOURCES = (
    "top_k",
    "feedback",
    "exposed",
    "after_k",
    "tail",
    "prerank_dropped",
    "recall_dropped",
    "exposed_unclicked",
    "order",
    "stage",
    "popular",
    "uniform",
    "mined",
)
SOURCE_CODE = {name: code for code, name in enumerate(SOURCES)}


@dataclass(frozen=True, kw_only=True)
class LogFacts:
    """What a mapped log holds.

    has_rank: a teacher order exists (a rank, or a score it is made from).
    ranks_sampled: the log keeps a sample of each stage's candidates, so ranks have gaps.
    feedback: the mapped feedback columns; score_kind: None where no score is mapped.
    exposed_only: no candidate but the shown ones was logged.
    has_history: responses have a user and a time.
    """

    has_score: bool
    has_rank: bool
    ranks_sampled: bool
    has_feedback: bool
    has_exposure: bool
    score_kind: ScoreKind | None = None
    feedback: tuple[str, ...] = ()
    exposed_only: bool = False
    has_history: bool = True

    @classmethod
    def of_build(cls, log: Mapping[str, Any]) -> LogFacts:
        """As far as a build says of its log (`log` in the counts of a day)."""
        return cls(
            has_score=log["score_kind"] is not None,
            has_rank=True,
            ranks_sampled=log["ranks"] == "sampled",
            has_feedback=bool(log["feedback"]),
            has_exposure=True,
            score_kind=log["score_kind"],
            feedback=tuple(log["feedback"]),
        )


def allows_exposed(student: Student, chosen: bool | None) -> bool:
    """`allow_exposed` as it was chosen, else the student's default.

    Recall: an exposed item passed every ranker and was perhaps only not the one the user
    took, so it is no negative. Pre-rank: allowed, and marked by its source.
    """
    return student == "prerank" if chosen is None else chosen
