"""Pairs of a request are counted exactly, however long it is."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.quality.pairs_within import rising_pairs, sorted_down, tied_pairs
from rankdistill.quality.scaled import SIZE, scaled, unscaled

SCORES = st.lists(st.sampled_from([-1e308, -2.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0, 1e308]))
REQUESTS = st.lists(SCORES, max_size=6)


def flat(requests: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in requests])]).astype(np.int64)
    return np.array([*chain.from_iterable(requests)], dtype=np.float64), offsets


@given(REQUESTS, st.sampled_from([0.0, 0.25, 0.5, 3.0]))
def test_ties_are_the_pairs_within_eps(requests: list[list[float]], eps: float) -> None:
    score, offsets = flat(requests)
    expected = [sum(abs(a - b) <= eps for a, b in combinations(r, 2)) for r in requests]
    assert tied_pairs(sorted_down(score, offsets), offsets, eps).tolist() == expected


@given(REQUESTS)
def test_rising_pairs_are_those_whose_later_score_is_higher(requests: list[list[float]]) -> None:
    score, offsets = flat(requests)
    expected = [sum(a < b for a, b in combinations(r, 2)) for r in requests]
    assert rising_pairs(score, offsets).tolist() == expected


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 128, 300, 1000])
def test_long_requests_are_counted_as_short_ones(length: int) -> None:
    random = np.random.default_rng(length)
    requests = [random.integers(0, length, length).astype(float), random.normal(size=length)]
    score, offsets = np.concatenate(requests), np.array([0, length, 2 * length])
    later = np.triu(np.ones((length, length), dtype=bool), 1)
    rising = [int((later & (r[:, None] < r[None, :])).sum()) for r in requests]
    tied = [int((later & (np.abs(r[:, None] - r[None, :]) <= 0.5)).sum()) for r in requests]
    falling = sorted_down(score, offsets)
    assert rising_pairs(score, offsets).tolist() == rising
    assert tied_pairs(falling, offsets, 0.5).tolist() == tied
    assert falling.tolist() == [x for r in requests for x in sorted(r, reverse=True)]


def test_ten_thousand_equal_scores_are_no_work() -> None:
    assert tied_pairs(np.zeros(10_000), np.array([0, 10_000]), 0.0) == [10_000 * 9_999 // 2]


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9, 1e30])
def test_sums_keep_nine_digits_at_any_scale(scale: float) -> None:
    values = np.random.default_rng(1).normal(size=10_000) * scale + scale
    group, weight = scaled(values)
    sums = [int(weight[group == g].sum()) for g in range(SIZE)]
    assert unscaled(sums) == pytest.approx(values.sum(), rel=1e-9)


def test_values_beyond_every_scale_count_as_the_largest() -> None:
    group, weight = scaled(np.array([np.inf, 1e308, -np.inf, np.nan, 0.0]))
    assert group.tolist()[:3] == [SIZE - 1] * 3
    assert weight.tolist() == [2**45, 2**45, -(2**45), 0, 0]
