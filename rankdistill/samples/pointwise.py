"""Pointwise samples: one candidate, label 1 (positive) or 0 (negative).

Lists in; indices, weights and probabilities out, ordered by request, then place.
`gather.points_table` makes the table of it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from rankdistill.config import Options
from rankdistill.lists.batch import PRERANKED, RECALLED, Lists
from rankdistill.samples.debias import DebiasOptions, debiased
from rankdistill.samples.facts import SOURCE_CODE, LogFacts, Student, allows_exposed
from rankdistill.samples.lots import Lots, draw_uniform
from rankdistill.samples.options import Need
from rankdistill.samples.positives import PositiveOptions, positive_mask, tail_mask
from rankdistill.samples.rows import Points
from rankdistill.samples.side import Side
from rankdistill.samples.weights import InverseWeight, Weight, normalised, position_weight


class NoNegatives(Options):
    kind: Literal["none"] = "none"


class AllNegatives(Options):
    """Every eligible candidate."""

    kind: Literal["all"] = "all"


class RatioNegatives(Options):
    """`ratio` per positive of the request, uniform (1 : 2 to 1 : 3 is usual)."""

    kind: Literal["ratio"] = "ratio"
    ratio: int = Field(default=3, ge=1, le=10_000)


class Band(Options):
    """`num` candidates with teacher rank from_rank .. to_rank (None = to the last), uniform."""

    from_rank: int = Field(ge=1)
    to_rank: int | None = Field(default=None, ge=1)
    num: int = Field(ge=1, le=10_000)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.to_rank is not None and self.to_rank < self.from_rank:
            raise ValueError(f"band {self.from_rank} .. {self.to_rank} is empty")
        return self


class BandNegatives(Options):
    """A number from each band; a band is explicit, so `gap` does not apply to it."""

    kind: Literal["bands"] = "bands"
    bands: tuple[Band, ...] = Field(min_length=1)

    @field_validator("bands")
    @classmethod
    def _apart(cls, bands: tuple[Band, ...]) -> tuple[Band, ...]:
        by_rank = sorted(bands, key=lambda band: band.from_rank)
        for one, other in pairwise(by_rank):
            if one.to_rank is None or one.to_rank >= other.from_rank:
                raise ValueError(
                    f"bands overlap at rank {other.from_rank}: a candidate would be drawn twice"
                )
        return bands


Negatives = Annotated[
    NoNegatives | AllNegatives | RatioNegatives | BandNegatives, Field(discriminator="kind")
]


class PointwiseOptions(PositiveOptions):
    """positives: one rule or several (union). gap drop leaves out the ranked candidates between
    top_k and the tail; tail: share of the ranked list, from its end. allow_exposed: may an
    exposed item be a negative; None = by the student (recall: no)."""

    negatives: Negatives = RatioNegatives()
    gap: Literal["keep", "drop"] = "drop"
    tail: float = Field(default=0.75, gt=0, le=1)
    allow_exposed: bool | None = None
    weight: Weight = InverseWeight()
    debias: DebiasOptions | None = None

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset() if self.debias is None else frozenset({"catalogue"})

    @property
    def counts(self) -> frozenset[str]:
        return frozenset() if self.debias is None else frozenset({self.debias.count_of})

    @model_validator(mode="after")
    def _combination_works(self) -> Self:
        if isinstance(self.negatives, BandNegatives) and "rank" in self.rules:
            for band in self.negatives.bands:
                if band.to_rank is not None and band.to_rank <= self.top_k:
                    raise ValueError(
                        f"band {band.from_rank} .. {band.to_rank} lies within top_k "
                        f"({self.top_k}), whose candidates are the positives"
                    )
        return self

    def for_student(self, student: Student) -> Self:
        """These options with the student's defaults filled in."""
        chosen = {"allow_exposed": allows_exposed(student, self.allow_exposed)}
        return self.model_copy(update=chosen)

    def for_log(self, facts: LogFacts) -> Self:
        return self

    def refuse(self, facts: LogFacts) -> list[str]:
        """Why these options cannot work on such a log; empty where they can."""
        reasons = self.refuse_positives(facts)
        if isinstance(self.negatives, BandNegatives) and not facts.has_rank:
            reasons.append("negatives bands needs a teacher rank or score; none is mapped")
        return reasons + (self.debias.refuse(facts) if self.debias else [])

    def advise(self, facts: LogFacts) -> list[str]:
        """What works on such a log but may not be what is meant; the rows are built."""
        wants_negatives = not isinstance(self.negatives, NoNegatives)
        if wants_negatives and facts.exposed_only and not self.allow_exposed:
            return [
                "the log holds exposed items only, which are no negatives for student: recall, "
                "so all rows are positives; take negatives from the catalogue, or set "
                "allow_exposed: true, or student: prerank"
            ]
        return []

    def most_rows(self, lengths: np.ndarray) -> np.ndarray:
        """Rows of each request at most, by its number of candidates (int64 [R]); with tied
        teacher ranks top_k may hold more."""
        positives = self.most_positives(lengths)
        if isinstance(self.negatives, NoNegatives):
            return positives
        if isinstance(self.negatives, RatioNegatives):
            return np.minimum(lengths, positives * (1 + self.negatives.ratio))
        if isinstance(self.negatives, BandNegatives):
            num = sum(band.num for band in self.negatives.bands)
            return np.minimum(lengths, positives + num)
        return lengths


def pointwise(
    lists: Lists, options: PointwiseOptions, seed: int, epoch: int = 0, side: Side | None = None
) -> Points:
    """The positives and drawn negatives of every request; key is the candidate."""
    assert options.allow_exposed is not None, "resolve with for_student first"
    is_positive, positive_source = positive_mask(lists, options)
    positives = np.flatnonzero(is_positive)
    bounds = np.searchsorted(positives, lists.offsets)
    rank = lists.teacher_rank[positives]
    weight = position_weight(options.weight, rank, options.top_k)
    weight = normalised(weight, bounds, options.weight.normalise)

    lots = Lots(seed, epoch, lists.request_key)
    in_tail = tail_mask(lists, options.tail, options.top_k)
    negatives, probability, num_missing = _negatives(
        lists, options, is_positive, in_tail, np.diff(bounds), lots
    )
    item = np.concatenate([positives, negatives])
    order = np.argsort(item, kind="stable")
    source = np.concatenate(
        [positive_source[positives], _negative_source(lists, negatives, in_tail[negatives])]
    )
    ones = np.ones(len(positives))
    item = item[order]
    num_rows = np.diff(np.searchsorted(item, lists.offsets))
    counts = {
        "requests": lists.num_requests,
        "rows": len(item),
        "positives": len(positives),
        "requests_without_row": int((num_rows == 0).sum()),
        "requests_without_positive": int((np.diff(bounds) == 0).sum()),
        "negatives_missing": num_missing,
    }
    label = (order < len(positives)).astype(np.float32)
    points = Points(
        np.repeat(np.arange(lists.num_requests), num_rows),
        item,
        label,
        np.concatenate([weight, np.ones(len(negatives))])[order],
        np.concatenate([ones, probability])[order],
        source[order],
        counts,
    )
    if options.debias is None:
        return points
    assert side is not None
    return debiased(points, np.where(label > 0, item, -1), lists, options.debias, side, lots)


def eligible_items(
    lists: Lists, options: PointwiseOptions, is_positive: np.ndarray, in_tail: np.ndarray
) -> np.ndarray:
    """The candidates that may be negatives, ascending (int64 [E]).

    Never a positive, never responded to, exposed only where allowed. By place: dropped before
    the ranker or beyond top_k (and in the tail, for gap: drop); where `rank` is no rule for
    positives, what was exposed may stand anywhere, as it is judged by feedback, not by place.
    """
    rank = lists.teacher_rank
    keeps_gap = options.gap == "keep" or isinstance(options.negatives, BandNegatives)
    in_place = (rank > options.top_k) if keeps_gap else in_tail.copy()
    in_place |= rank == 0
    if "rank" not in options.rules:
        in_place |= lists.exposed
    if not options.allow_exposed:
        in_place &= ~lists.exposed
    return np.flatnonzero(in_place & ~(is_positive | lists.responded))


def _negatives(
    lists: Lists,
    options: PointwiseOptions,
    is_positive: np.ndarray,
    in_tail: np.ndarray,
    num_positives: np.ndarray,
    lots: Lots,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Drawn negatives [D], their probability [D], and how many were wanted but not there."""
    kinds = options.negatives
    if isinstance(kinds, NoNegatives):
        return np.zeros(0, dtype=np.int64), np.zeros(0), 0
    eligible = eligible_items(lists, options, is_positive, in_tail)
    if isinstance(kinds, AllNegatives):
        return eligible, np.ones(len(eligible)), 0
    if isinstance(kinds, RatioNegatives):
        return _drawn(lists, eligible, num_positives * kinds.ratio, lots, 0)

    rank, parts = lists.teacher_rank[eligible], []
    for band in kinds.bands:
        within = (rank >= band.from_rank) & (rank <= (band.to_rank or np.iinfo(np.int32).max))
        num = np.full(lists.num_requests, band.num)
        parts.append(_drawn(lists, eligible[within], num, lots, band.from_rank))
    items, probability, missing = zip(*parts, strict=True)
    return np.concatenate(items), np.concatenate(probability), sum(missing)


def _drawn(
    lists: Lists, eligible: np.ndarray, num_draw: np.ndarray, lots: Lots, stratum: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """num_draw [R] of each request's `eligible`, uniform without replacement."""
    bounds = np.searchsorted(eligible, lists.offsets)
    num_available = np.diff(bounds)
    requests = np.arange(lists.num_requests)
    row, index = draw_uniform(lots, "points.negatives", requests, stratum, num_available, num_draw)
    probability = np.minimum(1.0, num_draw / np.maximum(num_available, 1))
    num_missing = int(np.maximum(num_draw - num_available, 0).sum())
    return eligible[bounds[row] + index], probability[row], num_missing


def _negative_source(lists: Lists, items: np.ndarray, is_tail: np.ndarray) -> np.ndarray:
    """The source of each negative, int8 [D]; is_tail: bool [D]."""
    stage = lists.stage[items]
    source = np.where(is_tail, SOURCE_CODE["tail"], SOURCE_CODE["after_k"]).astype(np.int8)
    source[stage == PRERANKED] = SOURCE_CODE["prerank_dropped"]
    source[stage == RECALLED] = SOURCE_CODE["recall_dropped"]
    if lists.response:
        source[lists.exposed[items]] = SOURCE_CODE["exposed_unclicked"]
    return source
