"""Pairwise samples: this candidate before that one, in the teacher's order.

Lists in; indices, weights and probabilities out, ordered by request, then place of the
positive, then of the negative. `gather.pairs_table` makes the table of it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from rankdistill.config import Options
from rankdistill.lists.batch import Lists
from rankdistill.samples.bounds import MOST_PAIRS
from rankdistill.samples.debias import DebiasOptions, debiased
from rankdistill.samples.facts import LogFacts, Student, allows_exposed
from rankdistill.samples.gains import GradedOptions, delta_ndcg, normalised_gain
from rankdistill.samples.lots import Lots, draw_uniform
from rankdistill.samples.options import Need, SampleOptions
from rankdistill.samples.pair_field import Drawn, PairField, gap, ordered
from rankdistill.samples.rows import Pairs
from rankdistill.samples.side import Side
from rankdistill.samples.strategies import (
    STRATEGIES,
    AllPairs,
    DeltaNdcgPairs,
    MarginPairs,
    RandomPairs,
    StagePairs,
    Strategy,
    TopkPairs,
    pair_source,
)


class NoPairWeight(Options):
    """1."""

    kind: Literal["none"] = "none"


class RankGapWeight(Options):
    """Teacher rank of the negative less that of the positive."""

    kind: Literal["rank_gap"] = "rank_gap"


class ScoreGapWeight(Options):
    """Teacher score of the positive less that of the negative."""

    kind: Literal["score_gap"] = "score_gap"


class DeltaNdcgWeight(GradedOptions):
    """|delta NDCG| of the pair at teacher ranks."""

    kind: Literal["delta_ndcg"] = "delta_ndcg"


PairWeight = Annotated[
    NoPairWeight | RankGapWeight | ScoreGapWeight | DeltaNdcgWeight, Field(discriminator="kind")
]


class PairwiseOptions(SampleOptions):
    """top_k: highest teacher rank of a positive, None = any. allow_exposed: may an exposed item
    be a negative; None = by the student (recall: no). max_pairs_per_request: a hashed, uniform
    subsample of the drawn rows beyond it.

    A pair whose weight is not positive is skipped and counted. Stored probabilities are exact
    where the number of drawn rows is fixed, which it is for all but `mean`: there a cap scales
    by the rows really drawn, and 1 / probability stays an unbiased importance weight.
    """

    strategy: Strategy = RandomPairs()
    top_k: int | None = Field(default=10, ge=1)
    allow_exposed: bool | None = None
    weight: PairWeight = NoPairWeight()
    max_pairs_per_request: int | None = Field(default=None, ge=1)
    debias: DebiasOptions | None = None

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset() if self.debias is None else frozenset({"catalogue"})

    @property
    def counts(self) -> frozenset[str]:
        return frozenset() if self.debias is None else frozenset({self.debias.count_of})

    @model_validator(mode="after")
    def _combination_works(self) -> Self:
        strategy, weight, cap = self.strategy, self.weight, self.max_pairs_per_request
        if isinstance(strategy, DeltaNdcgPairs) and isinstance(weight, DeltaNdcgWeight):
            raise ValueError(
                "strategy delta_ndcg with weight delta_ndcg counts |delta NDCG| twice: the draw "
                "is already proportional to it; use weight none"
            )
        if isinstance(strategy, StagePairs) and not isinstance(weight, NoPairWeight):
            raise ValueError(
                f"strategy stage with weight {weight.kind}: negatives dropped before the ranker "
                "have neither rank nor score; use weight none"
            )
        if isinstance(strategy, TopkPairs | MarginPairs | DeltaNdcgPairs) and self.top_k is None:
            raise ValueError(
                f"strategy {strategy.kind} looks at every pair of a positive: without top_k that "
                "is the square of the list; set top_k"
            )
        if isinstance(strategy, AllPairs) and strategy.max_length > 16 and cap is None:
            raise ValueError(
                f"strategy all with max_length {strategy.max_length} makes up to "
                f"{strategy.max_length * (strategy.max_length - 1) // 2} pairs per request; set "
                "max_pairs_per_request, or max_length of at most 16"
            )
        if isinstance(strategy, DeltaNdcgPairs) and cap is not None and cap < strategy.num_pairs:
            raise ValueError(
                f"strategy delta_ndcg draws num_pairs ({strategy.num_pairs}) by size; a "
                f"max_pairs_per_request of {cap} would thin them uniformly; lower num_pairs instead"
            )
        return self

    def for_student(self, student: Student) -> Self:
        """These options with the student's defaults filled in."""
        chosen = {"allow_exposed": allows_exposed(student, self.allow_exposed)}
        return self.model_copy(update=chosen)

    def for_log(self, facts: LogFacts) -> Self:
        """These options with the log's score kind filled in."""
        graded = {
            name: part.for_log(facts)
            for name, part in (("strategy", self.strategy), ("weight", self.weight))
            if isinstance(part, GradedOptions)
        }
        return self.model_copy(update=graded)

    def refuse(self, facts: LogFacts) -> list[str]:
        """Why these options cannot work on such a log; empty where they can."""
        strategy, weight = self.strategy.kind, self.weight.kind
        reasons = []
        if not facts.has_rank:
            reasons.append("pairs need a teacher order; neither rank nor teacher_score is mapped")
        if strategy == "adjacent" and facts.ranks_sampled:
            reasons.append(
                "strategy adjacent needs complete ranks; this log keeps a sample of them, so "
                "neighbours are not adjacent; use random or margin"
            )
        if strategy == "margin" and not facts.has_score:
            reasons.append("strategy margin needs teacher_score; none is mapped; use random")
        if weight == "score_gap" and not facts.has_score:
            reasons.append("weight score_gap needs teacher_score; none is mapped; use rank_gap")
        for part in (self.strategy, self.weight):
            if isinstance(part, GradedOptions):
                reasons += part.refuse(facts)
        return reasons + (self.debias.refuse(facts) if self.debias else [])

    def advise(self, facts: LogFacts) -> list[str]:
        """What works on such a log but may not be what is meant; the rows are built."""
        advice = []
        if facts.exposed_only and not self.allow_exposed:
            advice.append(
                "the log holds exposed items only, which are no negatives for student: recall, "
                "so there will be no pair; set allow_exposed: true, or student: prerank"
            )
        if isinstance(self.weight, DeltaNdcgWeight):
            advice.append(
                "weight delta_ndcg is 0 for two items of one grade: such pairs are skipped"
            )
        return advice

    def most_rows(self, lengths: np.ndarray) -> np.ndarray:
        """Rows of each request at most, by its number of candidates (int64 [R])."""
        most = MOST_PAIRS[self.strategy.kind](lengths, self.top_k, self.strategy)
        cap = self.max_pairs_per_request
        return most if cap is None else np.minimum(most, cap)


def pairwise(
    lists: Lists, options: PairwiseOptions, seed: int, epoch: int = 0, side: Side | None = None
) -> Pairs:
    """The pairs of every request, ordered by request, pos, neg; key (pos, neg)."""
    assert options.allow_exposed is not None, "resolve with for_student first"
    is_eligible = ~lists.responded
    if not options.allow_exposed:
        is_eligible &= ~lists.exposed
    field = PairField(lists, options.top_k, is_eligible)
    lots = Lots(seed, epoch, lists.request_key)

    drawn = STRATEGIES[options.strategy.kind](field, options.strategy, lots)
    kept = _capped(drawn, field, options, lots)
    num_capped = len(drawn.pos) - len(kept.pos)
    weight = _weight(kept, lists, options.weight)
    is_positive = weight > 0
    num_flat = len(weight) - int(is_positive.sum())
    if num_flat:
        kept, weight = ordered(kept, is_positive), weight[is_positive]

    counts = {
        "requests": lists.num_requests,
        "rows": len(weight),
        "requests_without_row": lists.num_requests - num_distinct(kept.request),
        "pairs_tied_skipped": drawn.num_tied,
        "pairs_gap_not_positive": num_flat,
        "rows_capped": num_capped,
    }
    source = pair_source(field, options.strategy, kept.neg)
    margin = gap(lists.score, kept.pos, kept.neg)
    pairs = Pairs(
        kept.request, kept.pos, kept.neg, weight, kept.probability, source, margin, counts
    )
    if options.debias is None:
        return pairs
    assert side is not None
    return debiased(pairs, pairs.pos, lists, options.debias, side, lots)


def num_distinct(ascending: np.ndarray) -> int:
    """How many different values an ascending array holds."""
    return int(np.count_nonzero(np.diff(ascending))) + 1 if len(ascending) else 0


def _capped(drawn: Drawn, field: PairField, options: PairwiseOptions, lots: Lots) -> Drawn:
    """At most max_pairs_per_request rows of each request, their probability scaled."""
    cap = options.max_pairs_per_request
    starts = np.searchsorted(drawn.request, np.arange(field.lists.num_requests + 1))
    num = np.diff(starts)
    if cap is None or not len(num) or num.max() <= cap:
        return drawn
    over = np.flatnonzero(num > cap)
    row, index = draw_uniform(lots, "pairs.cap", over, 0, num[over], cap)
    is_kept = (num <= cap)[drawn.request]
    is_kept[starts[over[row]] + index] = True
    kept = ordered(drawn, is_kept)
    share = np.minimum(1.0, cap / np.maximum(num, 1))
    return Drawn(
        kept.request, kept.pos, kept.neg, kept.probability * share[kept.request], kept.importance
    )


def _weight(drawn: Drawn, lists: Lists, options: Options) -> np.ndarray:
    """The weight of each pair, float64 [T]; NaN or <= 0 where it has none."""
    pos, neg = drawn.pos, drawn.neg
    if isinstance(options, RankGapWeight):
        rank = lists.teacher_rank
        weight = (rank[neg].astype(np.int64) - rank[pos]).astype(np.float64)
    elif isinstance(options, ScoreGapWeight):
        weight = gap(lists.score, pos, neg)
    elif isinstance(options, DeltaNdcgWeight):
        weight = delta_ndcg(lists, normalised_gain(lists, options), pos, neg)
    else:
        weight = np.ones(len(pos))
    return weight if drawn.importance is None else weight * drawn.importance
