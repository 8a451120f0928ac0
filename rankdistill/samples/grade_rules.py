"""The grade rules as settings: what each says of itself, and what it needs of a log.

`grades` holds the code of each rule, under the same kinds.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from rankdistill.config import Options
from rankdistill.samples.facts import LogFacts, ScoreKind

Levels = Annotated[int, Field(ge=1, le=1000)]
Edge = Annotated[int, Field(ge=1)]
PRIORITY = {
    "responded": 6.0,
    "exposed": 5.0,
    "reranked": 4.0,
    "ranked": 3.0,
    "coarse_dropped": 2.0,
    "preranked": 1.0,
    "recalled": 0.0,
}


class GradeOptions(Options):
    """What a rule says of itself: its highest grade, whole numbers or not, what it needs."""

    @property
    def highest(self) -> float:
        raise NotImplementedError

    @property
    def is_integer(self) -> bool:
        return True

    @property
    def default_gain(self) -> Literal["exponential", "linear"]:
        return "exponential" if self.is_integer else "linear"

    def refuse(self, facts: LogFacts) -> list[str]:
        return []

    def for_log(self, facts: LogFacts) -> GradeOptions:
        return self


class RankGrade(GradeOptions):
    def refuse(self, facts: LogFacts) -> list[str]:
        kind = self.kind  # type: ignore[attr-defined]
        return [] if facts.has_rank else [f"grade {kind} needs a teacher rank; none is mapped"]


class ScoreGrade(GradeOptions):
    def refuse(self, facts: LogFacts) -> list[str]:
        kind = self.kind  # type: ignore[attr-defined]
        return [] if facts.has_score else [f"grade {kind} needs teacher_score; none is mapped"]


class RankBucket(RankGrade):
    """max(0, levels - floor((r - 1) / width)): with 5 and 5, the top 5 get 5, 6-10 get 4."""

    kind: Literal["rank_bucket"] = "rank_bucket"
    width: Edge = 5
    levels: Levels = 5

    @property
    def highest(self) -> float:
        return self.levels


class RankEdges(RankGrade):
    """One grade per edge: r <= the first edge gets len(edges), beyond the last gets 0."""

    kind: Literal["rank_edges"] = "rank_edges"
    edges: tuple[Edge, ...] = Field(default=(5, 10, 20), min_length=1)

    @field_validator("edges")
    @classmethod
    def _ascend(cls, edges: tuple[int, ...]) -> tuple[int, ...]:
        return ascending(edges)

    @property
    def highest(self) -> float:
        return len(self.edges)


class ScoreThresholds(ScoreGrade):
    """1 + the number of edges at or below the score."""

    kind: Literal["score_thresholds"] = "score_thresholds"
    edges: tuple[float, ...] = Field(min_length=1)

    @field_validator("edges")
    @classmethod
    def _ascend(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        return ascending(edges)

    @property
    def highest(self) -> float:
        return len(self.edges) + 1


class ScoreQuantile(ScoreGrade):
    """levels - floor(levels * better / n), with `better` of the request's n scored candidates
    above this score: the best always gets `levels`, equal scores get equal grades."""

    kind: Literal["score_quantile"] = "score_quantile"
    levels: Levels = 5

    @property
    def highest(self) -> float:
        return self.levels


class ScoreSigmoid(ScoreGrade):
    """1 + floor(levels * p), p = sigmoid(logit) or the probability itself, p = 1 in the top bin.

    score_kind: of the log where None (a logit where the log does not say).
    """

    kind: Literal["score_sigmoid"] = "score_sigmoid"
    levels: Levels = 5
    score_kind: ScoreKind | None = None

    @property
    def highest(self) -> float:
        return self.levels

    def for_log(self, facts: LogFacts) -> ScoreSigmoid:
        return self.model_copy(update={"score_kind": self.score_kind or facts.score_kind})


class LogRank(RankGrade):
    """ln(1 + cap) - ln min(r, cap): real, strictly falling up to the cap."""

    kind: Literal["log_rank"] = "log_rank"
    cap: int = Field(default=100, ge=1, le=1_000_000)

    @property
    def highest(self) -> float:
        return math.log(1 + self.cap)

    @property
    def is_integer(self) -> bool:
        return False


class StagePriority(GradeOptions):
    """A grade per furthest stage; `coarse_dropped` is substage 2 of preranked, `responded`
    goes before any stage. Keys left out keep their default."""

    kind: Literal["stage"] = "stage"
    priority: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)

    @field_validator("priority")
    @classmethod
    def _complete(cls, priority: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(priority) - set(PRIORITY)):
            raise ValueError(f"unknown stages {unknown}; known are {list(PRIORITY)}")
        return PRIORITY | priority

    @property
    def priorities(self) -> dict[str, float]:
        return PRIORITY | self.priority

    @property
    def highest(self) -> float:
        return max(self.priorities.values())

    @property
    def is_integer(self) -> bool:
        return all(value.is_integer() for value in self.priorities.values())

    @property
    def default_gain(self) -> Literal["exponential", "linear"]:
        return "linear"


BaseGrade = Annotated[
    RankBucket
    | RankEdges
    | ScoreThresholds
    | ScoreQuantile
    | ScoreSigmoid
    | LogRank
    | StagePriority,
    Field(discriminator="kind"),
]


class Blend(GradeOptions):
    """The base grade plus a bonus for each feedback that happened, at most `max`.

    Feedback happened where its value reaches the log's response threshold; where the log sets
    none for that column, where it is above 0.
    """

    kind: Literal["blend"] = "blend"
    base: BaseGrade
    feedback: dict[str, Annotated[float, Field(ge=0)]] = Field(min_length=1)
    max: float = Field(default=5.0, gt=0)

    @property
    def highest(self) -> float:
        return min(self.max, self.base.highest + sum(self.feedback.values()))

    @property
    def is_integer(self) -> bool:
        parts = (self.max, *self.feedback.values())
        return self.base.is_integer and all(float(part).is_integer() for part in parts)

    @property
    def default_gain(self) -> Literal["exponential", "linear"]:
        return self.base.default_gain if self.is_integer else "linear"

    def refuse(self, facts: LogFacts) -> list[str]:
        unknown = sorted(set(self.feedback) - set(facts.feedback))
        known = sorted(facts.feedback)
        reason = f"grade blend needs the feedback columns {unknown}; mapped are {known}"
        return self.base.refuse(facts) + ([reason] if unknown else [])

    def for_log(self, facts: LogFacts) -> Blend:
        return self.model_copy(update={"base": self.base.for_log(facts)})


Grade = Annotated[BaseGrade | Blend, Field(discriminator="kind")]


def ascending(edges: tuple[Any, ...]) -> tuple[Any, ...]:
    if any(later <= earlier for earlier, later in pairwise(edges)):
        raise ValueError(f"edges must ascend strictly, or a bucket is empty; found {list(edges)}")
    return edges
