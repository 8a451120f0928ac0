"""Stored probabilities by Monte Carlo: many copies of one awkward list, each drawn anew.

Fixed seeds, so a failure is no bad luck; the bound of 4.5 standard errors is left with
probability 7e-6 per row by a right kernel.
"""

import numpy as np
import pytest

from rankdistill.samples.gains import delta_ndcg, normalised_gain
from rankdistill.samples.listwise import ListwiseOptions, listwise
from rankdistill.samples.pairwise import PairwiseOptions, pairwise
from rankdistill.samples.pointwise import PointwiseOptions, pointwise
from tests.builders import ranked_list
from tests.samples.logs import copies

NUM = 8000
SEEDS = (1, 20261121)
# Ties side by side and apart, an inversion, nulls; a click, an exposure, two dropped.
SCORES = [3.0, 2.0, 2.0, None, 1.0, 2.5, 1.0, 0.5, None]
STAGES = ["exposed", "reranked", "ranked", "ranked", "ranked", "ranked", "exposed"]
ROWS = ranked_list(0, SCORES, stage=[*STAGES, "preranked", "recalled"])
for row in ROWS[-2:]:
    row["rank"] = row["teacher_score"] = None
LISTS = copies(ROWS, NUM)
LENGTH = len(ROWS)


def assert_mean(cell, values, expected, variance):
    """The mean of `values` per cell over NUM copies, within 4.5 standard errors; exact where
    the variance is 0."""
    error = np.bincount(cell, values, len(expected)) / NUM - expected
    assert (np.abs(error) <= 4.5 * np.sqrt(variance / NUM) + 1e-9).all()


def assert_drawn_as_stored(cell, probability, num_cells):
    """Every cell holds one probability, and is drawn that often; what never is has none."""
    stored = np.zeros(num_cells)
    stored[cell] = probability
    assert (stored[cell] == probability).all()
    assert_mean(cell, np.ones(len(cell)), stored, stored * (1 - stored))


def pair_cells(pairs):
    start = LISTS.offsets[pairs.request]
    return (pairs.pos - start) * LENGTH + pairs.neg - start


PAIR_CONFIGS = {
    "random": {"strategy": {"kind": "random", "num_pair_per_sample": 2}},
    "random, capped": {
        "strategy": {"kind": "random", "num_pair_per_sample": 2},
        "max_pairs_per_request": 3,
    },
    "adjacent": {"strategy": {"kind": "adjacent"}},
    "topk": {"strategy": {"kind": "topk"}},
    "topk, capped": {"strategy": {"kind": "topk"}, "max_pairs_per_request": 4},
    "mean": {"strategy": {"kind": "mean"}, "top_k": None},
    "all": {"strategy": {"kind": "all"}},
    "all, capped": {"strategy": {"kind": "all", "max_length": 5}, "max_pairs_per_request": 2},
    "stage": {"strategy": {"kind": "stage", "num_pair_per_sample": 2}},
    "stage, capped": {
        "strategy": {"kind": "stage", "num_pair_per_sample": 2},
        "max_pairs_per_request": 3,
    },
    "margin": {"strategy": {"kind": "margin", "delta": 0.5, "num_pair_per_sample": 1}},
    "margin, capped": {
        "strategy": {"kind": "margin", "delta": 0.5, "num_pair_per_sample": 2},
        "max_pairs_per_request": 3,
    },
    "random, score gap": {
        "strategy": {"kind": "random", "num_pair_per_sample": 2},
        "weight": {"kind": "score_gap"},
        "max_pairs_per_request": 5,
    },
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", list(PAIR_CONFIGS))
def test_pairs_are_drawn_as_often_as_their_probability_says(name, seed):
    pairs = pairwise(LISTS, PairwiseOptions(**PAIR_CONFIGS[name], allow_exposed=False), seed)
    assert len(pairs.pos) > NUM
    assert_drawn_as_stored(pair_cells(pairs), pairs.probability, LENGTH**2)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cap_on_mean_pairs_keeps_one_over_probability_unbiased(seed):
    options = PairwiseOptions(
        strategy={"kind": "mean", "num_pair_per_sample": 2},
        max_pairs_per_request=3,
        allow_exposed=False,
    )
    pairs = pairwise(LISTS, options, seed)
    cell = pair_cells(pairs)
    assert pairs.counts["rows_capped"] > 0
    value = 1 / pairs.probability
    variance = np.bincount(cell, value**2, LENGTH**2) / NUM - 1
    is_possible = np.bincount(cell, minlength=LENGTH**2) > 0
    assert_mean(cell, value, is_possible.astype(float), np.where(is_possible, variance, 0))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num_pairs", [1, 3, 40])
def test_delta_ndcg_weights_add_up_to_the_sizes_in_expectation(num_pairs, seed):
    grade = {"kind": "rank_bucket", "width": 1, "levels": 5}
    strategy = {"kind": "delta_ndcg", "num_pairs": num_pairs, "grade": grade}
    options = PairwiseOptions(strategy=strategy, allow_exposed=False)
    pairs = pairwise(LISTS, options, seed)
    cell = pair_cells(pairs)

    topk = pairwise(LISTS, PairwiseOptions(strategy={"kind": "topk"}, allow_exposed=False), seed)
    gain = normalised_gain(LISTS, options.strategy)
    sizes = np.zeros(LENGTH**2)
    sizes[pair_cells(topk)] = delta_ndcg(LISTS, gain, topk.pos, topk.neg)
    total = sizes.sum()
    stored = num_pairs * sizes / total
    part = stored % 1.0  # of a systematic draw only the last hit of a pair is left to chance
    assert pairs.probability == pytest.approx(stored[cell])
    assert_mean(cell, pairs.weight * num_pairs / total, stored, part * (1 - part))
    assert_mean(cell, pairs.weight, sizes, part * (1 - part) * (total / num_pairs) ** 2)


POINT_CONFIGS = {
    "ratio": {"negatives": {"kind": "ratio", "ratio": 1}, "top_k": 2, "gap": "keep"},
    "ratio, gap dropped": {"negatives": {"kind": "ratio", "ratio": 1}, "top_k": 1, "tail": 0.5},
    "ratio, by feedback": {"negatives": {"kind": "ratio", "ratio": 1}, "positives": "exposed"},
    "bands": {
        "top_k": 1,
        "negatives": {"kind": "bands", "bands": [{"from_rank": 3, "to_rank": 6, "num": 3}]},
    },
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", list(POINT_CONFIGS))
def test_points_are_drawn_as_often_as_their_probability_says(name, seed):
    points = pointwise(LISTS, PointwiseOptions(**POINT_CONFIGS[name], allow_exposed=False), seed)
    cell = points.item - LISTS.offsets[points.request]
    assert (points.label == 0).any()
    assert_drawn_as_stored(cell, points.probability, LENGTH)


@pytest.mark.parametrize("seed", SEEDS)
def test_tail_items_are_drawn_as_often_as_their_probability_says(seed):
    graded = listwise(LISTS, ListwiseOptions(max_length=3, tail={"num": 2}), seed)
    assert graded.item_probability[:5].tolist() == [1, 1, 1, 2 / 6, 2 / 6]
    assert_drawn_as_stored(graded.item % LENGTH, graded.item_probability, LENGTH)
