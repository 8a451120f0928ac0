"""Grade rules against pure-Python oracles."""

import math

import numpy as np
import pytest
from hypothesis import given
from pydantic import TypeAdapter, ValidationError

from rankdistill.lists.batch import STAGES
from rankdistill.samples.facts import LogFacts
from rankdistill.samples.gains import GradedOptions
from rankdistill.samples.grade_rules import PRIORITY, Grade
from rankdistill.samples.grades import GRADES, grade
from rankdistill.samples.listwise import ListwiseOptions
from tests.builders import make_lists, ranked_list
from tests.samples.logs import by_request, logs


def rule(kind, **values):
    return TypeAdapter(Grade).validate_python({"kind": kind, **values})


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def of_rank(formula):
    return lambda c, members: 0 if c["rank"] is None else formula(c["rank"])


def of_score(formula):
    def graded(c, members):
        scores = [m["teacher_score"] for m in members if m["teacher_score"] is not None]
        return 0 if c["teacher_score"] is None else formula(c["teacher_score"], scores)

    return graded


def of_stage(c, members):
    if c["responded"]:
        return 6
    if c["stage"] == STAGES["preranked"] and c["substage"] == 2:
        return 2
    return {1: 0, 2: 1, 3: 3, 4: 4, 5: 5}[c["stage"]]


ORACLES = {
    "rank_bucket": ({"width": 2, "levels": 3}, of_rank(lambda r: max(0, 3 - (r - 1) // 2))),
    "rank_edges": ({"edges": [1, 3, 8]}, of_rank(lambda r: sum(r <= e for e in (1, 3, 8)))),
    "score_thresholds": (
        {"edges": [-1.0, 0.0]},
        of_score(lambda s, _: 1 + (s >= -1) + (s >= 0)),
    ),
    "score_quantile": (
        {"levels": 4},
        of_score(lambda s, all_: 4 - 4 * sum(a > s for a in all_) // len(all_)),
    ),
    "score_sigmoid": (
        {"levels": 5},
        of_score(lambda s, _: 1 + min(4, math.floor(5 * sigmoid(s)))),
    ),
    "log_rank": ({"cap": 6}, of_rank(lambda r: math.log(7) - math.log(min(r, 6)))),
    "stage": ({}, of_stage),
    "blend": (
        {"base": {"kind": "rank_bucket", "width": 2, "levels": 3}, "feedback": {"click": 2.0}},
        lambda c, _: min(
            5, (0 if c["rank"] is None else max(0, 3 - (c["rank"] - 1) // 2)) + 2 * c["responded"]
        ),
    ),
}


@pytest.mark.parametrize("kind", list(GRADES))
@given(rows=logs())
def test_a_grade_is_what_its_formula_says(kind, rows):
    values, oracle = ORACLES[kind]
    lists = make_lists(rows)
    found = grade(lists, rule(kind, **values), np.arange(lists.candidates.num_rows))
    expected = [oracle(c, members) for members in by_request(rows).values() for c in members]
    assert found.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("kind", list(GRADES))
@given(rows=logs())
def test_a_grade_stays_within_0_and_the_highest_and_whole_where_it_says_so(kind, rows):
    graded_by = rule(kind, **ORACLES[kind][0])
    lists = make_lists(rows)
    found = grade(lists, graded_by, np.arange(lists.candidates.num_rows))
    assert ((found >= 0) & (found <= graded_by.highest)).all()
    assert not graded_by.is_integer or (found == np.floor(found)).all()


@pytest.mark.parametrize("kind", list(GRADES))
def test_an_item_has_its_grade_whichever_others_are_asked_for(kind):
    graded_by = rule(kind, **ORACLES[kind][0])
    lists = make_lists(ranked_list(1, [3.0, 1.0, -1.0, -1.0], click=[1, 0, None, 1]))
    whole = grade(lists, graded_by, np.arange(4))
    assert grade(lists, graded_by, np.array([2, 0])).tolist() == whole[[2, 0]].tolist()


def test_a_probability_is_binned_as_it_is():
    graded_by = rule("score_sigmoid", levels=5, score_kind="probability")
    lists = make_lists(ranked_list(1, [1.0, 0.8, 0.79, 0.2, 0.19, 0.0]))
    assert grade(lists, graded_by, np.arange(6)).tolist() == [5, 5, 4, 2, 1, 1]


def test_priorities_left_out_keep_their_default():
    graded_by = rule("stage", priority={"exposed": 9})
    assert graded_by.priorities == PRIORITY | {"exposed": 9}


def test_feedback_counts_from_the_response_threshold():
    rows = ranked_list(1, [None] * 3, click=[0.5, 3.0, None])
    base = {"kind": "rank_bucket", "levels": 1, "width": 1}
    blended = rule("blend", base=base, feedback={"click": 1.0})
    for response, expected in (({"click": 2.0}, [1, 1, 0]), ({}, [2, 1, 0])):
        found = grade(make_lists(rows, response=response), blended, np.arange(3))
        assert found.tolist() == expected


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"grade": {"kind": "rank_bucket", "levels": 8}}, "set max_grade"),
        ({"grade": {"kind": "log_rank"}, "gain": "exponential"}, "use gain: linear"),
        ({"grade": {"kind": "stage"}, "gain": "exponential"}, "set max_grade"),
        ({"grade": {"kind": "rank_edges", "edges": [5, 5]}}, "ascend strictly"),
        ({"grade": {"kind": "stage", "priority": {"shown": 1}}}, "known are"),
        ({"max_grade": 31}, "less than or equal to 30"),
    ],
)
def test_gains_that_overflow_and_rules_without_sense_are_refused_with_a_reason(bad, reason):
    with pytest.raises(ValidationError, match=reason):
        GradedOptions(**bad)


@pytest.mark.parametrize(
    ("kind", "gain"),
    [("rank_bucket", "exponential"), ("stage", "linear"), ("log_rank", "linear")],
)
def test_the_gain_goes_by_the_rule_unless_it_is_set(kind, gain):
    assert GradedOptions(grade={"kind": kind}).resolved_gain == gain


def test_rules_say_what_the_log_lacks():
    facts = LogFacts(
        has_score=False, has_rank=True, ranks_sampled=False, has_feedback=False, has_exposure=False
    )
    blend = {"kind": "blend", "base": {"kind": "score_quantile"}, "feedback": {"like": 1}}
    reasons = ListwiseOptions(grade=blend).refuse(facts)
    assert len(reasons) == 2 and "teacher_score" in reasons[0] and "like" in reasons[1]


def test_the_logs_score_kind_reaches_a_rule_inside_a_blend():
    facts = LogFacts(
        has_score=True,
        has_rank=True,
        ranks_sampled=False,
        has_feedback=True,
        has_exposure=True,
        score_kind="probability",
        feedback=("click",),
    )
    blend = {"kind": "blend", "base": {"kind": "score_sigmoid"}, "feedback": {"click": 1}}
    assert ListwiseOptions(grade=blend).for_log(facts).grade.base.score_kind == "probability"
