"""Drift and history against plain Python, and against SciPy-free oracles."""

from __future__ import annotations

import math
import random
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.quality.measure import PastDay, Reading
from rankdistill.quality.measures.drift import (
    MAX_BINS,
    NUM_SCORES,
    compared,
    js_distance,
    magnitude_bin,
    merged,
    noise,
    psi,
)
from rankdistill.quality.measures.history import anomalies, robust_z

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=60)
# 0.999 quantiles of chi-square as printed in statistical tables.
CHI_SQUARE = {1: 10.828, 4: 18.467, 9: 27.877, 19: 43.820}


def plain_psi(one, other):
    a = [n + 0.5 for n in one]
    b = [n + 0.5 for n in other]
    shares = [(x / sum(a), y / sum(b)) for x, y in zip(a, b, strict=True)]
    return sum((x - y) * math.log(x / y) for x, y in shares)


@given(COUNTS)
def test_equal_histograms_have_no_distance(counts):
    assert psi(counts, counts) == 0
    if sum(counts):
        assert js_distance(counts, counts) == 0


def test_psi_is_the_sum_over_bins():
    rng = random.Random(1)
    for _ in range(50):
        one, other = ([rng.randrange(40) for _ in range(12)] for _ in range(2))
        assert psi(one, other) == pytest.approx(plain_psi(one, other))


def test_histograms_apart_have_js_distance_1():
    assert js_distance([3, 0], [0, 9]) == 1


@pytest.mark.parametrize("freedom", CHI_SQUARE)
def test_the_noise_is_the_tables_chi_square(freedom):
    assert noise(1, 1, freedom + 1) == pytest.approx(2 * CHI_SQUARE[freedom], rel=0.04)


@given(COUNTS, st.randoms())
def test_merging_keeps_all_rows_in_few_bins(counts, rng):
    other = [rng.randrange(9) for _ in counts]
    a, b = merged(counts, other)
    assert sum(a) == sum(counts) and sum(b) == sum(other)
    assert len(a) == len(b) <= MAX_BINS


def test_days_without_drift_seldom_pass_their_noise():
    rng = np.random.default_rng(7)
    shares = rng.dirichlet(np.ones(15))
    alarms = 0
    for _ in range(400):
        one, other = rng.multinomial(200, shares), rng.multinomial(300, shares)
        told = compared(one.tolist(), other.tolist())
        alarms += told["psi"] > told["noise"]
    assert alarms <= 8  # 0.4 expected; psi's tails are a little longer than chi-square's


def test_a_shifted_score_passes_the_gate():
    rng = np.random.default_rng(3)
    bins = [
        np.bincount(magnitude_bin(rng.normal(mean, 1, 20_000)), minlength=NUM_SCORES).tolist()
        for mean in (0.0, 0.0, 1.0)
    ]
    same, shifted = compared(bins[0], bins[1]), compared(bins[0], bins[2])
    assert same["psi"] < 0.01 and same["js"] < 0.1
    assert shifted["psi"] > 0.25 and shifted["js"] > 0.2


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_bins_rise_with_the_value_and_mirror_its_sign(values):
    values = np.sort(np.array(values))
    code = magnitude_bin(values)
    assert (np.diff(code) >= 0).all() and code.min() >= 0 and code.max() < NUM_SCORES
    assert (magnitude_bin(-values) == NUM_SCORES - 1 - code).all()


def test_z_is_the_distance_in_robust_spreads():
    past = [10.0, 12.0, 14.0, 11.0, 13.0, 12.0, 12.0]
    assert robust_z(30.0, past) == pytest.approx(18 / (1.4826 * 1.0))
    assert robust_z(14.9, past) == 0  # less than a quarter of the median


def days(num, value):
    start = date(2026, 1, 5)
    return [
        PastDay((start + timedelta(d)).isoformat(), {"Q07": Reading(value(d), 100)})
        for d in range(num)
    ]


def test_weekdays_are_compared_with_themselves():
    week = days(70, lambda d: 0.5 if d % 7 >= 5 else 0.1)  # weekends differ
    today = (date(2026, 1, 5) + timedelta(70)).isoformat()  # a Monday
    assert anomalies(today, {"Q07": Reading(0.1, 9)}, week) == {"Q07": 0.0}
    assert anomalies(today, {"Q07": Reading(0.5, 9)}, week)["Q07"] > 8


def test_six_weeks_are_too_few():
    today = (date(2026, 1, 5) + timedelta(42)).isoformat()
    assert anomalies(today, {"Q07": Reading(0.1, 9)}, days(42, lambda d: 0.1)) is None
    assert anomalies("undated", {"Q07": Reading(0.1, 9)}, days(70, lambda d: 0.1)) is None


def test_a_bin_is_a_quarter_of_an_octave_of_either_sign():
    rng = np.random.default_rng(5)
    values = rng.normal(size=50_000) * 2.0 ** rng.integers(-14, 24, 50_000)
    values[:6] = [0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308]
    mantissa, exponent = np.frexp(np.abs(values))
    step = (exponent + 9) * 4 + np.floor(mantissa * 8) - 3
    expected = 120 + np.sign(values) * np.clip(step, 0, 120)
    assert (magnitude_bin(values) == expected).all()
