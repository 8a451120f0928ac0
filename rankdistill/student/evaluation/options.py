"""What to measure of a student, and how: the block `evaluate` of the configuration. No torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from rankdistill.config import Options
from rankdistill.samples.gains import GradedOptions
from rankdistill.samples.grade_rules import Grade, RankBucket, ascending
from rankdistill.student.evaluation.conventions import Conventions

Place = Annotated[int, Field(ge=1, le=1_000_000)]
Places = Annotated[tuple[Place, ...], Field(min_length=1, max_length=10)]
# Lower edges of the bins that values fall into: the first bin is what is below the first edge.
EDGES: dict[str, tuple[float, ...]] = {
    "length": (11, 51, 201, 1001),
    "user_activity": (1, 2, 6, 21, 101),
    "item_popularity": (1, 11, 101, 1001, 10_001),
    "item_age": (1, 7, 30),
    "position": (2, 4, 11, 31),
}


class BootstrapOptions(Options):
    """Intervals by drawing requests anew, `replicates` times; confidence: of an interval."""

    replicates: int = Field(1000, ge=100, le=100_000)
    confidence: float = Field(0.95, gt=0.5, lt=1)


class SegmentsOptions(Options):
    """columns: of the request, each value a segment; None: teacher_version, scene and bucket
    where there are such. edges: of length, user_activity (requests in training),
    item_popularity (times a candidate in training), item_age (days since first seen there) and
    position; lower edges."""

    columns: tuple[str, ...] | None = None
    edges: dict[str, tuple[float, ...]] = {}
    max_labels: int = Field(20, ge=2, le=1000, description="of a column: the most frequent ones")

    @field_validator("edges")
    @classmethod
    def _known(cls, edges: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        if unknown := sorted(set(edges) - set(EDGES)):
            raise ValueError(f"unknown segments {unknown}; known are {list(EDGES)}")
        return {name: ascending(own) for name, own in edges.items()}

    def edges_of(self, name: str) -> tuple[float, ...]:
        return self.edges.get(name, EDGES[name])


class KeepTop(Options):
    """The m highest scores of each request."""

    kind: Literal["top"] = "top"
    m: Place = 50


class CutBelow(Options):
    """What scores at least `score`; or at least what the share `keep` of all candidates does."""

    kind: Literal["cut"] = "cut"
    score: float | None = None
    keep: float | None = Field(None, gt=0, le=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.score is None) == (self.keep is None):
            raise ValueError("give score or keep, one of them")
        return self


class Tiers(Options):
    """Scores in tiers, of equal shares of all candidates or at the edges (of the score); inside
    a tier the higher `inner` first, a column of the candidates; the first m are kept."""

    kind: Literal["tiers"] = "tiers"
    levels: int = Field(5, ge=2, le=1000)
    edges: tuple[float, ...] | None = None
    inner: str = "prerank_score"
    m: Place = 50

    @field_validator("edges")
    @classmethod
    def _ascend(cls, edges: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return None if edges is None else ascending(edges)


Policy = Annotated[KeepTop | CutBelow | Tiers, Field(discriminator="kind")]
POLICIES = (*(KeepTop(m=m) for m in (10, 20, 50, 100)), *(CutBelow(keep=s) for s in (0.1, 0.25)))


class EvaluateOptions(Options):
    """k: the teacher's top k, and of NDCG and responses; m: the student's top m; recall_m: how
    many a recall student passes on to it; rbo: p in percent. grade: the teacher's grades of
    NDCG. catalogue: also rank the responses among all items of the lists, of at most so many
    requests (0: not at all). own_channel: the recall channel that the student stands for, where
    the log maps them. policies: of a pre-ranker; None: a few, and tiers where the log has a
    prerank_score.
    """

    k: Places = (10,)
    m: Places = (50,)
    recall_m: Place = 500
    rbo: int = Field(90, ge=1, le=99)
    grade: Grade = RankBucket()
    conventions: Conventions = Conventions()
    bootstrap: BootstrapOptions = BootstrapOptions()
    segments: SegmentsOptions = SegmentsOptions()
    catalogue: int = Field(10_000, ge=0)
    own_channel: str | None = None
    policies: tuple[Policy, ...] | None = None

    @property
    def gain(self) -> str:
        return self.conventions.gain or self.grade.default_gain

    @model_validator(mode="after")
    def _gain_fits(self) -> Self:
        gain = self.conventions.gain
        GradedOptions(grade=self.grade, gain=gain, max_grade=30)
        return self
