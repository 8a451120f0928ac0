"""Measures against feedback equal their definitions, written out for one list at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.student.evaluation.collected import Collected, value
from rankdistill.student.evaluation.feedback import probability
from tests.student.judged_kit import REQUESTS, judged, rows
from tests.student.test_teacher_measures import mean, of_requests, ratio
from tests.student.test_teacher_measures import value as value_of


def auc(shown):
    pairs = [
        1.0 if a["score"] > b["score"] else 0.5 * (a["score"] == b["score"])
        for a in shown
        for b in shown
        if a["responded"] and not b["responded"]
    ]
    return mean(pairs)


def exposed(row):
    return [r for r in row if r["exposed"]]


@given(REQUESTS)
def test_auc_is_the_share_of_pairs_won(requests):
    found = judged(requests)
    expected = auc([r for row in rows(found) for r in exposed(row)])
    assert value_of(found, "auc") == of_requests([expected])


@given(REQUESTS, st.sets(st.integers(0, 5)))
def test_auc_of_some_requests_is_among_them(requests, some):
    found = judged(requests)
    chosen = np.array(sorted(at for at in some if at < len(requests)), dtype=np.int64)
    collected = Collected(["auc"])
    for at in range(len(requests)):
        collected.add(found.take(np.array([at])))
    told = float(value(collected.columns("auc", chosen).sum(axis=0)))
    table = rows(found)
    expected = auc([r for at in chosen for r in exposed(table[at])])
    assert told == pytest.approx(expected, nan_ok=True)


@given(REQUESTS)
def test_gauc_weighs_the_requests_that_have_one(requests):
    shown = [exposed(row) for row in rows(judged(requests))]
    of = [(auc(row), len(row)) for row in shown]
    held = [(a, n) for a, n in of if not math.isnan(a)]
    by_size = ratio(sum(a * n for a, n in held), sum(n for _, n in held))
    assert value_of(judged(requests), "gauc") == of_requests([by_size])
    equal = judged(requests, gauc_weight="one")
    assert value_of(equal, "gauc") == of_requests([a for a, _ in held])


@given(REQUESTS)
def test_logloss_and_calibration_take_scores_for_logits(requests):
    found = judged(requests)
    shown = [r for row in rows(found) for r in exposed(row)]
    chance = [1 / (1 + math.exp(-r["score"])) for r in shown]
    label = [r["responded"] for r in shown]
    loss = [-math.log(p if y else 1 - p) for p, y in zip(chance, label, strict=True)]
    assert value_of(found, "logloss") == of_requests([mean(loss)])
    assert value_of(found, "calibration") == of_requests([ratio(sum(chance), sum(label))])


def test_far_logits_neither_overflow_nor_vanish():
    assert probability(np.array([-800.0, 0.0, 800.0])).tolist() == [0.0, 0.5, 1.0]


@given(REQUESTS, st.integers(1, 8))
def test_responses_are_looked_for_in_the_student_s_top(requests, k):
    found = judged(requests)
    ndcgs, recalls, firsts, survived = [], [], [], []
    for row in rows(found):
        places = sorted(r["place"] for r in row if r["responded"])
        within = [place for place in places if place <= k]
        ideal = sum(1 / math.log2(1 + p) for p in range(1, min(k, len(places)) + 1))
        ndcgs.append(ratio(sum(1 / math.log2(1 + place) for place in within), ideal))
        recalls.append(ratio(len(within), len(places)))
        firsts.append((1 / within[0] if within else 0.0) if places else math.nan)
        shown = exposed(row)
        survived.append(ratio(sum(r["place"] <= k for r in shown), len(shown)))
    assert value_of(found, f"response_ndcg@{k}") == of_requests(ndcgs)
    assert value_of(found, f"response_recall@{k}") == of_requests(recalls)
    assert value_of(found, f"response_mrr@{k}") == of_requests(firsts)
    assert value_of(found, f"survival@{k}") == of_requests(survived)


def test_a_list_without_a_response_counts_as_the_conventions_say():
    lists = [[(1.0, True, True, True, 0, 1)], [(1.0, True, True, False, 0, 1)], []]
    for choice, expected in (("skip", 1.0), ("zero", 1 / 2), ("one", 1.0)):
        found = judged(lists, no_relevant=choice)
        assert value_of(found, "response_recall@3") == pytest.approx(expected)
    found = judged(lists, no_relevant="zero", empty="zero")
    assert value_of(found, "response_recall@3") == pytest.approx(1 / 3)
