"""Why each candidate of one request was kept, weighted, drawn or left out, by sample kind.

Read by `preview --why`. Every function takes the lists of exactly one request (N candidates)
and what the kernel made of them, and gives a text for each candidate: object [N].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rankdistill.lists.batch import Lists
from rankdistill.samples.facts import SOURCES
from rankdistill.samples.gains import delta_ndcg, normalised_gain
from rankdistill.samples.listwise import GradedLists, ListwiseOptions
from rankdistill.samples.pairwise import Pairs, PairwiseOptions, pairwise
from rankdistill.samples.pointwise import (
    AllNegatives,
    BandNegatives,
    NoNegatives,
    Points,
    PointwiseOptions,
    eligible_items,
)
from rankdistill.samples.positives import positive_mask, tail_mask
from rankdistill.samples.strategies import (
    AdjacentPairs,
    AllPairs,
    DeltaNdcgPairs,
    MarginPairs,
    StagePairs,
)

REDRAWS = 200  # epochs from which the chance of standing in a pair is told
RESPONDED = "responded to: never a negative"
POSSIBLE = f"possible, but in none of {REDRAWS} redraws (rare, or no positive weight)"
EXPOSED = "exposed: no negative (allow_exposed: false)"


def why_pointwise(lists: Lists, points: Points, options: PointwiseOptions) -> np.ndarray:
    why = np.full(len(lists.teacher_rank), None, dtype=object)
    for item, label, source, weight, probability in zip(
        points.item, points.label, points.source, points.weight, points.probability, strict=True
    ):
        role = "positive" if label else "negative"
        why[item] = f"{role} ({SOURCES[source]}), weight {weight:.3g}{_chance(probability)}"
    is_positive, _ = positive_mask(lists, options)
    in_tail = tail_mask(lists, options.tail, options.top_k)
    eligible = set(eligible_items(lists, options, is_positive, in_tail).tolist())
    for item in np.flatnonzero(why == None):  # noqa: E711 (elementwise)
        rank = int(lists.teacher_rank[item])
        if lists.responded[item]:
            why[item] = RESPONDED
        elif isinstance(options.negatives, NoNegatives):
            why[item] = "no positive, and negatives: none"
        elif lists.exposed[item] and not options.allow_exposed:
            why[item] = EXPOSED
        elif item in eligible:
            why[item] = _not_drawn(lists, options, list(eligible), int(is_positive.sum()), rank)
        elif 0 < rank <= options.top_k:
            why[item] = (
                f"within top_k {options.top_k}, but no positive by {', '.join(options.rules)}"
            )
        else:
            tail = lists.teacher_rank[in_tail].min(initial=np.iinfo(np.int32).max)
            where = f"the tail from rank {tail}" if in_tail.any() else "a tail that is empty"
            why[item] = f"gap: between top_k {options.top_k} and {where} (gap: drop)"
    return why


def _not_drawn(
    lists: Lists, options: PointwiseOptions, eligible: list[int], num_positives: int, rank: int
) -> str:
    """Of an eligible candidate that the draw left out."""
    chosen = options.negatives
    assert not isinstance(chosen, NoNegatives | AllNegatives), "every eligible one is a row"
    if not isinstance(chosen, BandNegatives):
        if not num_positives:
            return "no positive in this request, so no negative is drawn"
        chance = min(1.0, num_positives * chosen.ratio / len(eligible))
        return f"not drawn, by chance (p={chance:.3g})"
    ranks = lists.teacher_rank[eligible]
    for band in chosen.bands:
        last = band.to_rank or np.iinfo(np.int32).max
        if band.from_rank <= rank <= last:
            num = int(((ranks >= band.from_rank) & (ranks <= last)).sum())
            return f"not drawn, by chance (p={min(1.0, band.num / num):.3g})"
    return "in no band" if rank else "no teacher rank: in no band"


def why_debiased(lists: Lists, why: np.ndarray, rows: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """`why` of a kind without debias, with what its stored rows say of the positives."""
    of_rows: dict[Any, list[float]] = {}
    for row in rows:
        if row.get("label", 1):
            item = row["pos_item_id"] if "pos_item_id" in row else row["item_id"]
            of_rows.setdefault(item, []).append(row["weight"])
    told = why.copy()
    for place, item in enumerate(lists.candidates.column("item_id").to_pylist()):
        if not str(why[place]).startswith("positive"):
            continue
        weights = ", ".join(f"{weight:.3g}" for weight in of_rows.get(item, ()))
        after = f"weight {weights} in the table" if weights else "left out as popular"
        told[place] = f"{why[place]}; debias: {after}"
    return told


def why_pairwise(lists: Lists, pairs: Pairs, options: PairwiseOptions, seed: int) -> np.ndarray:
    size = len(lists.teacher_rank)
    as_pos, as_neg = (np.bincount(of, minlength=size) for of in (pairs.pos, pairs.neg))
    why = np.full(size, None, dtype=object)
    for item in np.flatnonzero(as_pos + as_neg):
        roles = (("positive", as_pos[item]), ("negative", as_neg[item]))
        why[item] = ", ".join(f"{role} in {n}" for role, n in roles if n)
    left = np.flatnonzero(why == None)  # noqa: E711 (elementwise)
    redrawn = np.zeros(size, dtype=np.int64)
    if len(left):
        for epoch in range(1, REDRAWS + 1):
            again = pairwise(lists, options, seed, epoch)
            redrawn[np.union1d(again.pos, again.neg)] += 1
    for item in left:
        if redrawn[item]:
            why[item] = f"not drawn, by chance (in {redrawn[item] / REDRAWS:.0%} of redraws)"
        else:
            why[item] = _no_pair(lists, options, int(item))
    return why


def _no_pair(lists: Lists, options: PairwiseOptions, item: int) -> str:
    """The rule that keeps a candidate out of every pair."""
    rank, strategy = lists.teacher_rank, options.strategy
    is_positive = rank > 0 if options.top_k is None else (rank > 0) & (rank <= options.top_k)
    positives = np.flatnonzero(is_positive)
    if is_positive[item] and rank[item] == rank[positives].min():
        return "positive, but no eligible candidate stands after it"
    if lists.responded[item]:
        return RESPONDED
    if lists.exposed[item] and not options.allow_exposed:
        return EXPOSED
    if isinstance(strategy, StagePairs):
        earlier = lists.stage[item] < lists.stage[positives]
        return _left(earlier, "no positive stopped at a later stage")
    if not rank[item]:
        return "no teacher rank"
    before = positives[rank[positives] < rank[item]]
    if not len(before):
        return "no positive stands before it"
    apart = before[lists.score[before] != lists.score[item]]
    if not len(apart):
        return "its score ties with every positive before it"
    if isinstance(strategy, AdjacentPairs):
        return "not next to a positive"
    if isinstance(strategy, AllPairs | DeltaNdcgPairs) and item >= strategy.max_length:
        return f"beyond max_length {strategy.max_length}"
    if isinstance(strategy, MarginPairs):
        wide = lists.score[apart] - lists.score[item] >= strategy.delta
        return _left(wide, f"no positive is {strategy.delta:g} or more above its score")
    if isinstance(strategy, DeltaNdcgPairs) and not strategy.floor:
        size = delta_ndcg(lists, normalised_gain(lists, strategy), apart, np.full(len(apart), item))
        return _left(size > 0, "in one grade with every positive before it")
    return POSSIBLE


def _left(is_possible: np.ndarray, reason: str) -> str:
    return POSSIBLE if is_possible.any() else reason


def why_listwise(lists: Lists, graded: GradedLists, options: ListwiseOptions) -> np.ndarray:
    size = len(lists.teacher_rank)
    if size < 2:
        return np.full(size, "one candidate is no list", dtype=object)
    why = np.full(size, f"beyond max_length {options.max_length}", dtype=object)
    if options.tail is not None:
        chance = min(1.0, options.tail.num / max(size - options.max_length, 1))
        why[:] = f"beyond max_length {options.max_length}, not drawn by chance (p={chance:.3g})"
    for item, grade, probability in zip(
        graded.item, graded.grade, graded.item_probability, strict=True
    ):
        why[item] = f"grade {grade:g}{_chance(probability)}"
    return why


def _chance(probability: float) -> str:
    return "" if probability == 1 else f", drawn (p={probability:.3g})"
