"""Measures against feedback equal their definitions, written out for one list at a time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.student.evaluation.collected import Collected
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
    told = collected.quantity("auc", chosen).value
    table = rows(found)
    expected = auc([r for at in chosen for r in exposed(table[at])])
    assert told == pytest.approx(expected, nan_ok=True)


@given(REQUESTS, st.lists(st.integers(0, 2), min_size=6, max_size=6), st.sets(st.integers(0, 5)))
def test_gauc_by_user_compares_all_that_a_user_was_shown(requests, users, some):
    """A user's requests lie in different batches."""
    for chosen in (None, np.array(sorted(at for at in some if at < len(requests)), np.int64)):
        held = range(len(requests)) if chosen is None else chosen.tolist()
        table = rows(judged(requests))
        shown = [[r for at in held if users[at] == u for r in exposed(table[at])] for u in range(3)]
        of = [(auc(row), len(row)) for row in shown if not math.isnan(auc(row))]
        for weight, sizes in (("exposed", [n for _, n in of]), ("one", [1] * len(of))):
            told = by_user(requests, users, gauc_weight=weight).quantity("gauc", chosen).value
            top = sum(a * n for (a, _), n in zip(of, sizes, strict=True))
            assert told == pytest.approx(ratio(top, sum(sizes)), nan_ok=True)


def by_user(requests, users, **conventions):
    found = judged(requests, gauc_by="user", **conventions)
    found = replace(found, user=np.array(users[: len(requests)], np.uint64))
    collected = Collected(["gauc"], found.conventions)
    for at in range(len(requests)):
        collected.add(found.take(np.array([at])))
    return collected


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
