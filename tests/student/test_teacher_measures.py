"""Measures against the teacher equal their definitions, written out for one list at a time."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from rankdistill.student.evaluation.collected import Collected
from rankdistill.student.evaluation.judged import falling_bits
from rankdistill.student.evaluation.measures import MEASURES, terms
from tests.student.judged_kit import REQUESTS, judged, rows

List = list[dict[str, Any]]


def ranked(row: List) -> List:
    return [r for r in row if r["teacher_rank"]]


def opa(row: List) -> tuple[float, int]:
    agreed, num = 0.0, 0
    for a, b in combinations(ranked(row), 2):
        if a["teacher_rank"] != b["teacher_rank"]:
            agreed += 1.0 if a["score"] > b["score"] else 0.5 * (a["score"] == b["score"])
            num += 1
    return agreed, num


def opa_stage(row: List) -> float:
    pairs = [
        1.0 if a["score"] > b["score"] else 0.5 * (a["score"] == b["score"])
        for a in ranked(row)
        for b in row
        if not b["teacher_rank"]
    ]
    return mean(pairs)


def ndcg(row: List, k: int) -> float:
    gains = {r["place"]: 2 ** r["grade"] - 1 for r in row}
    dcg = sum(gain / math.log2(1 + place) for place, gain in gains.items() if place <= k)
    ideal = sorted(gains.values(), reverse=True)[:k]
    return ratio(dcg, sum(gain / math.log2(2 + at) for at, gain in enumerate(ideal)))


def recall(row: List, m: int, k: int) -> float:
    top = ranked(row)[:k]
    return ratio(sum(r["place"] <= m for r in top), min(k, len(ranked(row))))


def rbo(row: List, p: float) -> float:
    """RBO_EXT of Webber, Moffat & Zobel 2010, as its equation 32 stands."""
    student = sorted(range(len(row)), key=lambda at: row[at]["place"])
    teacher = [at for at, r in enumerate(row) if r["teacher_rank"]]
    s, long = len(teacher), len(student)
    if not s:
        return math.nan
    x = [len({*student[:d]} & {*teacher[:d]}) for d in range(long + 1)]
    first = sum(x[d] / d * p**d for d in range(1, long + 1))
    second = sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, long + 1))
    return (1 - p) / p * (first + second) + ((x[long] - x[s]) / long + x[s] / s) * p**long


def ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom else math.nan


def mean(values: list[float]) -> float:
    return ratio(sum(values), len(values))


def of_requests(values: list[float]) -> float | None:
    held = [value for value in values if not math.isnan(value)]
    return pytest.approx(mean(held), abs=1e-9) if held else None


def value(found, name: str) -> float | None:
    collected = Collected([name])
    collected.add(found)
    return collected.value(name)


@given(REQUESTS)
def test_opa_counts_the_pairs_that_stand_as_the_teacher_has_them(requests):
    found = judged(requests)
    pairs = [opa(row) for row in rows(found)]
    assert value(found, "opa") == of_requests([ratio(*pair) for pair in pairs])
    agreed, num = (sum(side) for side in zip(*pairs, strict=True)) if pairs else (0, 0)
    assert value(found, "opa_micro") == (pytest.approx(agreed / num) if num else None)


@given(REQUESTS)
def test_opa_stage_counts_the_pairs_of_a_ranked_and_a_dropped_one(requests):
    found = judged(requests)
    assert value(found, "opa_stage") == of_requests([opa_stage(row) for row in rows(found)])


@given(REQUESTS)
def test_tau_b_is_scipy_s(requests):
    found = judged(requests)
    taus = []
    for row in map(ranked, rows(found)):
        rank, score = [-r["teacher_rank"] for r in row], [r["score"] for r in row]
        taus.append(float(kendalltau(rank, score).statistic) if len(row) > 1 else math.nan)
    assert value(found, "tau_b") == of_requests(taus)


@given(REQUESTS, st.integers(1, 8))
def test_ndcg_is_dcg_over_the_best_there_can_be(requests, k):
    found = judged(requests)
    assert value(found, f"ndcg@{k}") == of_requests([ndcg(row, k) for row in rows(found)])


@given(REQUESTS, st.integers(1, 8), st.integers(1, 8))
def test_recall_is_the_share_of_the_teacher_s_top_in_the_student_s(requests, m, k):
    found = judged(requests)
    assert value(found, f"recall@{m}@{k}") == of_requests([recall(r, m, k) for r in rows(found)])


@given(REQUESTS, st.sampled_from([50, 90, 99]))
def test_rbo_is_the_extrapolated_one_of_its_paper(requests, percent):
    found = judged(requests)
    expected = [rbo(row, percent / 100) for row in rows(found)]
    assert value(found, f"rbo@{percent}") == of_requests(expected)


def test_rbo_of_one_order_is_one():
    found = judged([[(float(-i), True, False, False, 0, 1) for i in range(5)]])
    assert value(found, "rbo@90") == pytest.approx(1.0)


@given(REQUESTS, st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
def test_joint_recall_is_of_what_recall_passed_on(requests, first, m, k):
    found = judged(requests)
    recall_place = found.lengths[found.request] + 1 - found.list_place
    found.columns["recall_place"] = recall_place
    shares = []
    for row in rows(found):
        passed = [r for r in row if r["recall_place"] <= first]
        kept = sorted(passed, key=lambda r: -r["score"])[:m]
        least = min((r["score"] for r in kept), default=math.inf)
        # ties of scores at the cut go by a hash: told apart only where there are none
        top = ranked(row)[:k]
        if len({r["score"] for r in passed}) == len(passed):
            shares.append(ratio(sum(r in passed and r["score"] >= least for r in top), len(top)))
        else:
            return
    assert value(found, f"joint_recall@{first}@{m}@{k}") == of_requests(shares)


@given(REQUESTS, st.integers(1, 5), st.integers(1, 5))
def test_marginal_recall_counts_what_no_other_channel_brought(requests, m, k):
    found = judged(requests)
    found.columns["alone"] = found.list_place % 2 == 0
    shares = []
    for row in rows(found):
        top = ranked(row)[:k]
        shares.append(ratio(sum(r["alone"] and r["place"] <= m for r in top), len(top)))
    assert value(found, f"marginal_recall@{m}@{k}") == of_requests(shares)


@given(REQUESTS)
def test_the_student_s_order_falls_with_its_score(requests):
    for ties in ("hash", "worst", "place", "id"):
        for row in rows(judged(requests, ties=ties)):
            assert sorted(r["place"] for r in row) == list(range(1, len(row) + 1))
            scores = [r["score"] for r in sorted(row, key=lambda r: r["place"])]
            assert scores == sorted(scores, reverse=True)


def test_ties_by_hash_flatter_no_place_of_the_list():
    """A student without an opinion finds k of n, not the teacher's own top."""
    row = [(0.0, True, False, False, 0, 1)] * 10
    found = judged([row] * 2000)
    assert value(found, "recall@3@3") == pytest.approx(0.3, abs=0.02)
    assert value(judged([row] * 5, ties="place"), "recall@3@3") == 1.0
    assert value(judged([row] * 5, ties="worst"), "recall@3@3") == 0.0
    assert value(judged([row] * 5, ties="mean"), "recall@3@3") == pytest.approx(0.3)


@given(REQUESTS, st.integers(1, 8))
def test_mean_ties_are_the_mean_over_draws(requests, k):
    """Of every measure that is linear in places: by a list's own shuffles."""
    found = judged(requests, ties="mean")
    top, bottom = terms(found, f"ndcg@{k}")
    for at, row in enumerate(rows(found)):
        by_score: dict[float, list[float]] = {}
        for r in row:
            by_score.setdefault(r["score"], []).append(2 ** r["grade"] - 1)
        dcg, place = 0.0, 0
        for score in sorted(by_score, reverse=True):
            level = by_score[score]
            for _ in level:
                place += 1
                dcg += sum(level) / len(level) / math.log2(1 + place) * (place <= k)
        ideal = sorted((2 ** r["grade"] - 1 for r in row), reverse=True)[:k]
        best = sum(gain / math.log2(2 + i) for i, gain in enumerate(ideal))
        assert top[at] == pytest.approx(dcg / best if best else 0.0)
        assert bottom[at] == bool(best)


@given(REQUESTS)
def test_what_a_request_adds_does_not_depend_on_its_batch(requests):
    found = judged(requests)
    alone = [found.take(np.array([at])) for at in range(len(requests))]
    for name in ("opa", "tau_b", "ndcg@3", "recall@2@3", "rbo@90", "gauc", "response_mrr@3"):
        whole = np.stack(terms(found, name), axis=1)
        parts = [np.stack(terms(each, name), axis=1) for each in alone]
        np.testing.assert_array_equal(whole, np.concatenate([np.zeros((0, 2)), *parts]))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2))
def test_bits_of_scores_rise_as_scores_fall(scores):
    score = np.array(scores, np.float32)
    bits = falling_bits(score)
    np.testing.assert_array_equal(bits[:1] < bits[1:], score[:1] > score[1:])
    np.testing.assert_array_equal(bits[:1] == bits[1:], score[:1] == score[1:])


@pytest.mark.parametrize("name", ["nonsense", "ndcg", "ndcg@0", "ndcg@x", "recall@5", "rbo@100"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=r"unknown|is written"):
        terms(judged([[]]), name)


def test_every_measure_is_told_of_no_requests_at_all():
    for name, measure in MEASURES.items():
        found = judged([])
        found.columns.update(alone=np.zeros(0, bool), recall_place=np.zeros(0, int))
        assert value(found, "@".join([name, *(["3"] * len(measure.numbers))])) is None
