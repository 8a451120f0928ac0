"""The pair strategies: which (positive, negative) pairs of a list become rows.

A positive is a candidate with a teacher rank of at most top_k; a negative has a later rank
(`stage`: stopped at an earlier stage) and is eligible. No pair comes out of a tied score.
Shapes: P positives, E eligible negatives, T pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from rankdistill.config import Options
from rankdistill.lists.batch import PRERANKED, RECALLED
from rankdistill.samples.facts import SOURCE_CODE
from rankdistill.samples.gains import GradedOptions, delta_ndcg, normalised_gain
from rankdistill.samples.lots import MAX_SYSTEMATIC, Lots, draw_systematic, draw_uniform
from rankdistill.samples.pair_field import Drawn, PairField, gap, joined, ordered
from rankdistill.samples.pool import Pool, Span

NumPairs = Annotated[int, Field(ge=1, le=10_000)]


class RandomPairs(Options):
    """m later candidates per positive, uniform."""

    kind: Literal["random"] = "random"
    num_pair_per_sample: NumPairs = 4


class AdjacentPairs(Options):
    """Neighbours in the teacher's order."""

    kind: Literal["adjacent"] = "adjacent"


class TopkPairs(Options):
    """Every pair whose positive has a teacher rank of at most top_k (XGBoost's `topk` means
    the top k of the model in training instead)."""

    kind: Literal["topk"] = "topk"


class MeanPairs(Options):
    """m partners per candidate, uniform from all that form a valid pair with it (XGBoost)."""

    kind: Literal["mean"] = "mean"
    num_pair_per_sample: NumPairs = 1


class AllPairs(Options):
    """Every pair within the first max_length candidates."""

    kind: Literal["all"] = "all"
    max_length: int = Field(default=16, ge=2, le=10_000)


class StagePairs(Options):
    """m candidates per positive, uniform from all that stopped at an earlier stage."""

    kind: Literal["stage"] = "stage"
    num_pair_per_sample: NumPairs = 4


class MarginPairs(Options):
    """m later candidates per positive, uniform from those at least `delta` below its score."""

    kind: Literal["margin"] = "margin"
    num_pair_per_sample: NumPairs = 4
    delta: float = Field(gt=0)


class DeltaNdcgPairs(GradedOptions):
    """num_pairs draws per request, proportional to |delta NDCG| at teacher ranks.

    From pairs with the positive in top_k and the negative in the first max_length places.
    floor: least size of a pair; above 0 it keeps the pairs inside one grade bucket.
    """

    kind: Literal["delta_ndcg"] = "delta_ndcg"
    num_pairs: int = Field(default=20, ge=1, le=MAX_SYSTEMATIC)
    max_length: int = Field(default=50, ge=2, le=10_000)
    floor: float = Field(default=0.0, ge=0)


Strategy = Annotated[
    RandomPairs
    | AdjacentPairs
    | TopkPairs
    | MeanPairs
    | AllPairs
    | StagePairs
    | MarginPairs
    | DeltaNdcgPairs,
    Field(discriminator="kind"),
]


def _uniform(
    field: PairField, span: Span, pool: Pool, num_draw: int, lots: Lots, name: str
) -> Drawn:
    """num_draw of each positive's urn."""
    request, num_available = field.request, span.num_available
    place = field.place(span.who, request)
    row, index = draw_uniform(lots, f"pairs.{name}", request, place, num_available, num_draw)
    probability = np.minimum(1.0, num_draw / np.maximum(num_available, 1))
    return Drawn(
        request[row],
        span.who[row],
        pool.pick(span, row, index),
        probability[row],
        num_tied=int(span.num_tied.sum()),
    )


def random_pairs(field: PairField, options: RandomPairs, lots: Lots) -> Drawn:
    span = field.later()
    return _uniform(field, span, field.negatives, options.num_pair_per_sample, lots, "random")


def _complete(field: PairField, span: Span) -> Drawn:
    """Every pair of the urns, with certainty."""
    row, neg = field.every(span, np.arange(len(span.who)))
    num_tied = int(span.num_tied.sum())
    return Drawn(field.request[row], span.who[row], neg, np.ones(len(row)), num_tied=num_tied)


def topk_pairs(field: PairField, options: TopkPairs, lots: Lots) -> Drawn:
    return _complete(field, field.later())


def adjacent_pairs(field: PairField, options: AdjacentPairs, lots: Lots) -> Drawn:
    span, items = field.later(), field.negatives.items
    has_next = span.first < span.last
    has_next[has_next] = items[span.first[has_next]] == span.who[has_next] + 1
    last = np.where(has_next, span.first + 1, span.first)
    return _complete(field, field.negatives.span(span.who, span.first, last))


def all_pairs(field: PairField, options: AllPairs, lots: Lots) -> Drawn:
    return _complete(field, field.later(options.max_length))


def stage_pairs(field: PairField, options: StagePairs, lots: Lots) -> Drawn:
    lists, who = field.lists, field.positives.items
    items = np.flatnonzero(field.is_eligible)
    # By request, then stage: what stopped before a stage is then one span.
    stage_key = lists.request[items] * 8 + lists.stage[items]
    order = np.argsort(stage_key, kind="stable")
    pool = Pool(items[order], field.groups)
    first = np.searchsorted(stage_key[order], field.request * 8)
    last = np.searchsorted(stage_key[order], field.request * 8 + lists.stage[who])
    span = pool.span(who, first, last)
    drawn = _uniform(field, span, pool, options.num_pair_per_sample, lots, "stage")
    return ordered(drawn, np.lexsort((drawn.neg, drawn.pos)))


def mean_pairs(field: PairField, options: MeanPairs, lots: Lots) -> Drawn:
    """Both sides draw; a pair reached from both is one row: 1 - (1 - p_i)(1 - p_j)."""
    lists = field.lists
    who = np.flatnonzero(lists.teacher_rank > 0)
    request = field.request_of(who)
    after = _later_of(field, who, request)
    before = _earlier_of(field, who, request)
    num_before, num_partners = before.num_available, before.num_available + after.num_available
    place = field.place(who, request)
    row, index = draw_uniform(
        lots, "pairs.mean", request, place, num_partners, options.num_pair_per_sample
    )

    is_before = index < num_before[row]
    back, forth = row[is_before], row[~is_before]
    pos = np.concatenate([field.positives.pick(before, back, index[is_before]), who[forth]])
    index_after = (index - num_before[row])[~is_before]
    neg = np.concatenate([who[back], field.negatives.pick(after, forth, index_after)])
    num_items = lists.candidates.num_rows
    keys = np.sort(pos * num_items + neg)
    keys = keys[np.diff(keys, prepend=-1) > 0]
    pos, neg = np.divmod(keys, max(num_items, 1))

    missed = np.ones(num_items)
    share = options.num_pair_per_sample / np.maximum(num_partners, 1)
    missed[who] = 1.0 - np.minimum(1.0, share)
    num_tied = int(after.num_tied.sum())
    probability = 1.0 - missed[pos] * missed[neg]
    return Drawn(field.request_of(pos), pos, neg, probability, num_tied=num_tied)


def _later_of(field: PairField, who: np.ndarray, request: np.ndarray) -> Span:
    """The negatives of each ranked candidate as a positive; none where it is no positive."""
    items = field.negatives.items
    first = np.searchsorted(items, field.next_rank(who))
    last = np.searchsorted(items, field.lists.offsets[1:])[request]
    rank = field.lists.teacher_rank[who]
    is_positive = True if field.top_k is None else rank <= field.top_k
    return field.negatives.span(who, first, np.where(is_positive, last, first))


def _earlier_of(field: PairField, who: np.ndarray, request: np.ndarray) -> Span:
    """The positives of each ranked candidate as a negative; none where it is not eligible."""
    items = field.positives.items
    first = np.searchsorted(items, field.lists.offsets[:-1])[request]
    last = np.searchsorted(items, field.same_rank(who))
    return field.positives.span(who, first, np.where(field.is_eligible[who], last, first))


def margin_pairs(field: PairField, options: MarginPairs, lots: Lots) -> Drawn:
    span, score = field.later(), field.lists.score
    parts = [
        _margin_block(field, *field.every(span, rows), score, options, lots)
        for rows in field.blocks(span)
    ]
    return joined(parts)


def _margin_block(
    field: PairField,
    row: np.ndarray,
    neg: np.ndarray,
    score: np.ndarray,
    options: MarginPairs,
    lots: Lots,
) -> Drawn:
    pos = field.positives.items[row]
    is_wide = gap(score, pos, neg) >= options.delta
    row, pos, neg = row[is_wide], pos[is_wide], neg[is_wide]
    rows, starts, num = np.unique(row, return_index=True, return_counts=True)
    request = field.request[rows]
    place = field.place(field.positives.items[rows], request)
    num_draw = options.num_pair_per_sample
    of, index = draw_uniform(lots, "pairs.margin", request, place, num, num_draw)
    at = starts[of] + index
    return Drawn(request[of], pos[at], neg[at], np.minimum(1.0, num_draw / num)[of])


def delta_ndcg_pairs(field: PairField, options: DeltaNdcgPairs, lots: Lots) -> Drawn:
    span = field.later(options.max_length)
    gain = normalised_gain(field.lists, options)
    parts = [
        _delta_block(field, *field.every(span, rows), gain, options, lots)
        for rows in field.blocks(span)
    ]
    return joined(parts, int(span.num_tied.sum()))


def _delta_block(
    field: PairField,
    row: np.ndarray,
    neg: np.ndarray,
    gain: np.ndarray,
    options: DeltaNdcgPairs,
    lots: Lots,
) -> Drawn:
    """Several hits of a pair are one row: importance hits * Z / m, probability m * size / Z."""
    pos, request = field.positives.items[row], field.request[row]
    size = np.maximum(delta_ndcg(field.lists, gain, pos, neg), options.floor)
    is_drawable = size > 0
    pos, neg, request, size = (x[is_drawable] for x in (pos, neg, request, size))
    offsets = np.append(np.flatnonzero(np.diff(request, prepend=-1)), len(request))
    offsets = offsets if len(request) else np.zeros(1, dtype=np.int64)
    i, j = field.place(pos, request), field.place(neg, request)
    num = options.num_pairs
    hits = draw_systematic(lots, "pairs.delta_ndcg", offsets, request, i, j, size, num)
    total = np.repeat(np.add.reduceat(size, offsets[:-1]), np.diff(offsets)) if len(size) else size
    at = np.flatnonzero(hits)
    importance = hits[at] * total[at] / num
    return Drawn(request[at], pos[at], neg[at], num * size[at] / total[at], importance)


def pair_source(field: PairField, options: Options, neg: np.ndarray) -> np.ndarray:
    """The source code of each pair, int8 [T]: `stage` pairs by where the negative stopped."""
    if not isinstance(options, StagePairs):
        return np.full(len(neg), SOURCE_CODE["order"], dtype=np.int8)
    by_stage = np.full(8, SOURCE_CODE["stage"], dtype=np.int8)
    by_stage[PRERANKED] = SOURCE_CODE["prerank_dropped"]
    by_stage[RECALLED] = SOURCE_CODE["recall_dropped"]
    return by_stage[field.lists.stage[neg]]


STRATEGIES: dict[str, Callable[[PairField, Any, Lots], Drawn]] = {
    "random": random_pairs,
    "adjacent": adjacent_pairs,
    "topk": topk_pairs,
    "mean": mean_pairs,
    "all": all_pairs,
    "stage": stage_pairs,
    "margin": margin_pairs,
    "delta_ndcg": delta_ndcg_pairs,
}
