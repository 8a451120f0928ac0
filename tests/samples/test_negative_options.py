"""What the negatives' options choose, refuse and advise, by student and by log."""

import numpy as np
import pytest
from pydantic import ValidationError

from rankdistill.samples.facts import LogFacts
from rankdistill.samples.mix import ask, targets
from rankdistill.samples.negative_options import NegativesOptions

GOOD = {
    "has_score": True,
    "has_rank": True,
    "ranks_sampled": False,
    "has_feedback": True,
    "has_exposure": True,
    "feedback": ("like", "click"),
}


def resolved(student="recall", facts=None, **settings):
    return NegativesOptions(**settings).for_student(student).for_log(LogFacts(**(facts or GOOD)))


def test_the_student_chooses_the_mix_and_whether_exposed_items_may_be_drawn():
    recall, prerank = resolved("recall"), resolved("prerank")
    assert recall.mix == {"popular": 0.5, "prerank_dropped": 0.25, "tail": 0.25}
    assert prerank.mix == {"prerank_dropped": 0.5, "tail": 0.5}
    assert (recall.allow_exposed, prerank.allow_exposed) == (False, True)
    mine = resolved("recall", mix={"uniform": 1}, allow_exposed=True)
    assert (mine.mix, mine.allow_exposed) == ({"uniform": 1.0}, True)


@pytest.mark.parametrize(
    ("settings", "needs"),
    [
        ({}, {"catalogue", "history"}),
        ({"mix": {"tail": 1}, "history_window": None}, set()),
        ({"mix": {"mined": 1}, "future_window": "1d"}, {"mined", "history", "future"}),
        (
            {"mix": {"tail": 1}, "curriculum": [{"from_epoch": 1, "mix": {"uniform": 1}}]},
            {"catalogue", "history"},
        ),
    ],
)
def test_the_options_say_what_they_need_beside_the_lists(settings, needs):
    assert resolved(**settings).needs == needs


@pytest.mark.parametrize(
    ("feedback", "chosen", "expected"),
    [
        (("like", "click"), None, "click"),
        (("like",), None, "like"),
        ((), None, "positive"),
        (("click",), "ranked", "ranked"),
    ],
)
def test_popularity_counts_clicks_where_the_log_has_them(feedback, chosen, expected):
    facts = {**GOOD, "feedback": feedback, "has_feedback": bool(feedback)}
    assert resolved(facts=facts, popular={"count_of": chosen}).popular.count_of == expected


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"mix": {"tail": 0.5}}, "sum to 1"),
        ({"mix": {"tail": 1.5, "popular": -0.5}}, "less than or equal to 1"),
        ({"mix": {"tale": 1.0}}, "prerank_dropped"),
        ({"mix": {}}, "sum to 1"),
        ({"num": 0}, "greater than or equal to 1"),
        ({"positives": ()}, "positives is empty"),
        ({"tail": {"kind": "ranks", "from_rank": 9, "to_rank": 5}}, "is empty"),
        ({"tail": {"kind": "ranks", "from_rank": 2, "to_rank": 10}}, "lies within top_k"),
        ({"tail": {"kind": "quantile", "low": 0.5, "high": 0.5}}, "is empty"),
        ({"history_window": "a month"}, "no duration"),
        ({"history_window": "9999999999d"}, "longer than"),
        ({"margin": {"kind": "relative", "share": -0.1}}, "greater than or equal to 0"),
        ({"curriculum": [{"from_epoch": 0, "mix": {"tail": 1}}]}, "greater than or equal to 1"),
        ({"curriculum": [{"from_epoch": e, "mix": {"tail": 1}} for e in (3, 2)]}, "must ascend"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_reason(bad, reason):
    with pytest.raises(ValidationError, match=reason):
        NegativesOptions(**bad)


@pytest.mark.parametrize(
    ("chosen", "lacks", "reason"),
    [
        ({"positives": "feedback"}, {"has_feedback": False}, "positives feedback needs"),
        ({}, {"has_rank": False}, "source tail needs a teacher rank"),
        ({"tail": {"kind": "quantile"}}, {"has_score": False}, "tail by quantile needs"),
        ({"margin": {"kind": "quantile"}}, {"has_score": False}, "margin quantile needs"),
        ({"popular": {"count_of": "buy"}}, {"feedback": ("click",)}, "count_of buy is neither"),
        (
            {"mix": {"exposed_unclicked": 1}, "allow_exposed": True},
            {"has_exposure": False},
            "needs the exposure",
        ),
        (
            {"mix": {"exposed_unclicked": 1}, "allow_exposed": True},
            {"has_feedback": False},
            "needs a feedback",
        ),
    ],
)
def test_options_say_why_a_log_does_not_serve_them(chosen, lacks, reason):
    if chosen != {"popular": {"count_of": "buy"}}:
        assert resolved(**chosen).refuse(LogFacts(**GOOD)) == []
    found = resolved(**chosen).refuse(LogFacts(**(GOOD | lacks)))
    assert any(reason in text for text in found)


def test_exposed_unclicked_is_refused_for_recall_with_the_reason_and_not_for_prerank():
    mix = {"exposed_unclicked": 0.5, "tail": 0.5}
    (reason,) = resolved("recall", mix=mix).refuse(LogFacts(**GOOD))
    assert "passed every ranker" in reason and "allow_exposed: true" in reason
    assert resolved("recall", mix=mix, allow_exposed=True).refuse(LogFacts(**GOOD)) == []
    assert resolved("prerank", mix=mix).refuse(LogFacts(**GOOD)) == []


def test_a_log_of_exposed_items_only_gives_advice_or_is_refused_where_nothing_is_left():
    facts = LogFacts(**GOOD, exposed_only=True)
    recall, prerank = resolved("recall"), resolved("prerank")
    assert recall.refuse(facts) == prerank.refuse(facts) == []
    (advice,) = recall.advise(facts)
    assert "cannot supply hard negatives for recall: prerank_dropped, tail" in advice
    assert "order pairs, lists or catalogue negatives" in advice
    assert "prerank_dropped will be empty" in prerank.advise(facts)[0]
    (reason,) = resolved("recall", mix={"tail": 1}).refuse(facts)
    assert "no source of this mix has anything to draw" in reason
    assert recall.advise(LogFacts(**GOOD)) == []


def test_no_request_gets_more_rows_than_told_beforehand():
    lengths = np.array([0, 1, 4, 30])
    assert resolved().most_rows(lengths).tolist() == [0, 20, 20, 20]
    assert resolved(per="positive", num=3, top_k=10).most_rows(lengths).tolist() == [0, 3, 12, 30]
    logged = resolved(mix={"tail": 1})
    assert logged.most_rows(lengths).tolist() == [0, 1, 4, 20]


@pytest.mark.parametrize(
    ("total", "shares", "expected"),
    [
        (20, (0.5, 0.25, 0.25), [10, 5, 5]),
        (5, (0.5, 0.25, 0.25), [3, 1, 1]),  # 2.5, 1.25, 1.25
        (1, (0.5, 0.5), [1, 0]),
        (10, (0.3, 0.7), [3, 7]),
        (100, (0.29, 0.71), [29, 71]),
        (3, (0.333333, 0.333333, 0.333334), [1, 1, 1]),
        (7, (0.0, 1.0), [0, 7]),
        (0, (0.5, 0.5), [0, 0]),
        (10**8, (1 / 3, 1 / 3, 1 / 3), [33333334, 33333333, 33333333]),
    ],
)
def test_targets_are_shared_by_largest_remainder(total, shares, expected):
    assert targets(np.array([total]), shares).tolist() == [expected]


def test_a_shortage_is_filled_by_the_others_in_their_order():
    asked = ask(np.array([[5, 5, 10]]), np.array([[1, 7, 40]]))
    assert asked.num.tolist() == [[1, 7, 12]]
    assert asked.short.tolist() == [[4, 0, 0]] and asked.filled.tolist() == [[0, 2, 2]]
    assert asked.unfilled.tolist() == [0]


def test_what_nobody_holds_is_left_unfilled():
    asked = ask(np.array([[5, 5]]), np.array([[2, 6]]))
    assert (asked.num.tolist(), asked.unfilled.tolist()) == ([[2, 6]], [2])
