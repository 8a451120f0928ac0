"""Pair settings: what cannot work is refused with the reason, and the student decides."""

import pytest
from pydantic import ValidationError

from rankdistill.samples.facts import LogFacts
from rankdistill.samples.pairwise import PairwiseOptions


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"strategy": {"kind": "delta_ndcg"}, "weight": {"kind": "delta_ndcg"}}, "twice"),
        ({"strategy": {"kind": "stage"}, "weight": {"kind": "rank_gap"}}, "neither rank nor"),
        ({"strategy": {"kind": "stage"}, "weight": {"kind": "delta_ndcg"}}, "neither rank nor"),
        ({"strategy": {"kind": "topk"}, "top_k": None}, "set top_k"),
        ({"strategy": {"kind": "all", "max_length": 17}}, "set max_pairs_per_request"),
        ({"strategy": {"kind": "margin", "delta": 0}}, "greater than 0"),
        ({"strategy": {"kind": "delta_ndcg"}, "max_pairs_per_request": 5}, "lower num_pairs"),
        ({"strategy": {"kind": "closest"}}, "random"),
        ({"min_margn": 1}, "min_margn"),
    ],
)
def test_combinations_that_cannot_work_are_refused_with_the_reason(bad, reason):
    with pytest.raises(ValidationError, match=reason):
        PairwiseOptions(**bad)


@pytest.mark.parametrize(
    ("chosen", "lacks", "reason"),
    [
        ({"strategy": {"kind": "adjacent"}}, {"ranks_sampled": True}, "complete ranks"),
        ({"strategy": {"kind": "margin", "delta": 1}}, {"has_score": False}, "use random"),
        ({"weight": {"kind": "score_gap"}}, {"has_score": False}, "use rank_gap"),
        ({}, {"has_rank": False}, "teacher order"),
        (
            {"strategy": {"kind": "delta_ndcg", "grade": {"kind": "score_quantile"}}},
            {"has_score": False},
            "score_quantile",
        ),
    ],
)
def test_options_say_why_a_log_does_not_serve_them(chosen, lacks, reason):
    good = {"has_score": True, "has_rank": True, "ranks_sampled": False}
    good |= {"has_feedback": True, "has_exposure": True}
    asked = PairwiseOptions(**chosen).for_student("recall")
    assert asked.refuse(LogFacts(**good)) == []
    assert any(reason in found for found in asked.refuse(LogFacts(**(good | lacks))))


@pytest.mark.parametrize(("student", "expected"), [("recall", False), ("prerank", True)])
def test_the_student_decides_on_exposed_negatives_unless_told(student, expected):
    assert PairwiseOptions().for_student(student).allow_exposed is expected
    assert PairwiseOptions(allow_exposed=True).for_student(student).allow_exposed is True


def test_a_log_of_exposed_items_only_is_built_and_gets_advice():
    facts = LogFacts(
        has_score=False,
        has_rank=True,
        ranks_sampled=False,
        has_feedback=True,
        has_exposure=True,
        exposed_only=True,
    )
    recall, prerank = (PairwiseOptions().for_student(s) for s in ("recall", "prerank"))
    assert recall.refuse(facts) == []
    assert "no pair" in recall.advise(facts)[0]
    assert prerank.advise(facts) == []
