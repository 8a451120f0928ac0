"""Intervals are those of requests drawn anew, the same in any order and for any student."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rankdistill.student.evaluation.feedback import auc_terms
from rankdistill.student.evaluation.intervals import (
    Quantity,
    Summed,
    goodness,
    interval,
    replicated,
    sums_of,
    value,
    verdict,
    weights,
)
from rankdistill.student.evaluation.options import BootstrapOptions

OPTIONS = BootstrapOptions(replicates=1000)
KEY = np.random.default_rng(1).integers(0, 2**63, 400).astype(np.uint64)
KEYS = {"request": KEY}


def drawn(key=KEY, num=1000, seed=3) -> np.ndarray:
    return weights(key, num, seed)


def test_weights_are_poisson_with_mean_one():
    found = drawn(num=998)
    assert found.shape == (998, 400)
    shares = np.bincount(found.astype(int).ravel(), minlength=4)[:4] / found.size
    np.testing.assert_allclose(shares, np.exp(-1) / np.array([1, 1, 2, 6]), atol=0.005)
    correlation = np.corrcoef(found[:200])
    assert abs(correlation[~np.eye(200, dtype=bool)]).max() < 0.35


def test_a_request_has_its_weights_in_any_order_and_number_of_replicates():
    np.testing.assert_array_equal(drawn()[:, ::-1], drawn(KEY[::-1]))
    np.testing.assert_array_equal(drawn()[:10], drawn(num=10))
    assert (drawn(seed=4) != drawn()).any()


def test_the_spread_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(2).normal(size=400)
    quantity = Quantity(np.stack([values, np.ones(400)], axis=1))
    (found,) = replicated([quantity], KEYS, OPTIONS, 3)
    assert found.std() == pytest.approx(values.std() / 20, rel=0.1)
    low, high = interval(found, 0.95)
    assert low is not None
    assert high is not None
    assert low < quantity.value < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)


def test_a_ratio_is_that_of_the_requests_that_were_drawn():
    random = np.random.default_rng(4)
    columns = random.random((400, 2))
    some = np.flatnonzero(random.random(400) < 0.3)
    found = replicated(
        [Quantity(columns), Quantity(columns[some], some)],
        KEYS,
        BootstrapOptions(replicates=100),
        5,
    )
    for at, weight in enumerate(drawn(num=100, seed=5).astype(int)):
        again = np.repeat(columns, weight, axis=0).sum(axis=0)
        assert found[0][at] == pytest.approx(again[0] / again[1])
        part = np.repeat(columns[some], weight[some], axis=0).sum(axis=0)
        assert found[1][at] == pytest.approx(part[0] / part[1])


def test_sums_of_batches_add_up_to_those_of_all(monkeypatch):
    columns = np.random.default_rng(8).random((400, 4))
    (whole,) = sums_of([Quantity(columns)], KEY, OPTIONS, 3)
    monkeypatch.setattr("rankdistill.student.evaluation.intervals.STEP", 37)
    cuts = (0, 1, 90, 90, 400)
    parts = [sums_of([Quantity(columns[a:b])], KEY[a:b], OPTIONS, 3)[0] for a, b in pairwise(cuts)]
    np.testing.assert_allclose(sum(parts), whole)
    (kept,) = replicated([Summed(whole)], KEYS, OPTIONS, 3)
    (again,) = replicated([Quantity(columns)], KEYS, OPTIONS, 3)
    np.testing.assert_allclose(kept, again)


def test_users_are_drawn_where_they_are_what_is_counted():
    random = np.random.default_rng(9)
    columns, users = random.random((30, 2)), KEY[:40]
    some = np.sort(random.permutation(40)[:30])
    (found,) = replicated(
        [Quantity(columns, some, "user")], KEYS | {"user": users}, BootstrapOptions(), 5
    )
    for at, weight in enumerate(drawn(users, 20, 5).astype(int)):
        again = np.repeat(columns, weight[some], axis=0).sum(axis=0)
        assert found[at] == pytest.approx(again[0] / again[1])


def test_the_spread_of_an_auc_is_that_of_whole_ones_computed_anew():
    random = np.random.default_rng(6)
    request = np.repeat(np.arange(400), 5)
    taste = np.repeat(random.normal(size=400), 5)
    score = (taste + random.normal(size=2000)).astype(np.float32)
    label = random.random(2000) < 1 / (1 + np.exp(-score - taste))
    (found,) = replicated([Quantity(auc_terms(request, score, label, 400))], KEYS, OPTIONS, 3)
    anew = []
    for weight in drawn(num=300).astype(int):
        slots = np.repeat(np.arange(2000), weight[request])
        anew.append(float(value(auc_terms(slots, score[slots], label[slots], 2000).sum(axis=0))))
    assert np.corrcoef(found[:300], anew)[0, 1] > 0.99
    assert found[:300].std() == pytest.approx(np.std(anew), rel=0.05)


def test_paired_students_are_told_apart_where_each_alone_is_not():
    random = np.random.default_rng(7)
    hard = random.normal(size=400)  # what requests differ by, for both alike
    one, other = (
        np.stack([hard + bonus + random.normal(size=400) / 20, np.ones(400)], axis=1)
        for bonus in (0.03, 0.0)
    )
    a, b = replicated([Quantity(one), Quantity(other)], KEYS, OPTIONS, 3)
    assert interval(a, 0.95)[0] < interval(b, 0.95)[1]
    assert verdict(*interval(a - b, 0.95)) == "better"
    assert verdict(*interval(b - a, 0.95)) == "worse"
    assert verdict(*interval(a - a, 0.95)) == "not told apart"


def test_what_is_better_depends_on_the_measure():
    np.testing.assert_array_equal(goodness(np.array([0.2, 0.3]), -1), [-0.2, -0.3])
    near, far, below = goodness(np.array([1.1, 3.0, 0.5]), 0)
    assert near > below > far


def test_a_measure_of_hardly_any_request_has_no_interval():
    columns = np.zeros((400, 2))
    columns[0] = 1.0
    (found,) = replicated([Quantity(columns)], KEYS, OPTIONS, 3)
    assert interval(found, 0.95) == (1.0, 1.0)
    (none,) = replicated([Quantity(columns[1:2], np.array([1]))], KEYS, OPTIONS, 3)
    assert interval(none, 0.95) == (None, None)
