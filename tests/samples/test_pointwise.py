"""Points of every rule of positives and negatives against a literal oracle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rankdistill.samples.facts import SOURCES, LogFacts
from rankdistill.samples.pointwise import PointwiseOptions, pointwise
from tests.builders import make_lists, ranked_list
from tests.explored import explored
from tests.samples.logs import by_request, logs

RULES = ["rank", "feedback", "exposed", ("rank", "feedback"), ("feedback", "exposed", "rank")]
SETTINGS = st.fixed_dictionaries(
    {
        "positives": st.sampled_from(RULES),
        "top_k": st.sampled_from([1, 3]),
        "gap": st.sampled_from(["keep", "drop"]),
        "tail": st.sampled_from([0.25, 0.75, 1.0]),
        "allow_exposed": st.booleans(),
    }
)


def drawn(rows, options, seed=1):
    """{(request, item): (label, weight, source, probability)}, and the counts."""
    lists = make_lists(rows)
    points = pointwise(lists, options, seed)
    request = lists.requests.column("request_id").to_pylist()
    item = lists.candidates.column("item_id").to_pylist()
    values = zip(
        points.request,
        points.item,
        points.label,
        points.weight,
        [SOURCES[code] for code in points.source],
        points.probability,
        strict=True,
    )
    return {(request[r], item[i]): tuple(rest) for r, i, *rest in values}, points.counts


def positive_source(c, options):
    is_top = c["rank"] is not None and c["rank"] <= options.top_k
    applies = {"rank": is_top, "feedback": c["responded"], "exposed": c["exposed"]}
    names = {"rank": "top_k", "feedback": "feedback", "exposed": "exposed"}
    return next((names[rule] for rule in options.rules if applies[rule]), None)


def in_tail(c, members, options):
    num_ranked = sum(m["rank"] is not None for m in members)
    num_tail = int(options.tail * num_ranked)  # exact for the shares above
    return (
        c["rank"] is not None and c["rank"] > options.top_k and c["place"] >= num_ranked - num_tail
    )


def negative_source(c, members, options):
    """None where the candidate may not be a negative."""
    if positive_source(c, options) or c["responded"]:
        return None
    if c["exposed"] and not options.allow_exposed:
        return None
    by_place = c["rank"] is not None and not (c["exposed"] and "rank" not in options.rules)
    tail = in_tail(c, members, options)
    if by_place and (c["rank"] <= options.top_k or (options.gap == "drop" and not tail)):
        return None
    by_stage = {1: "recall_dropped", 2: "prerank_dropped", 5: "exposed_unclicked"}
    return by_stage.get(c["stage"], "tail" if tail else "after_k")


@pytest.mark.fault("20", "points, all negatives: the rows of an oracle", times=10)
@explored(logs(), SETTINGS)
def test_all_negatives_are_every_candidate_that_may_be_one(rows, settings):
    options = PointwiseOptions(**settings, negatives={"kind": "all"}, weight={"kind": "const"})
    expected = {}
    for request, members in by_request(rows).items():
        for c in members:
            if source := positive_source(c, options):
                expected[request, c["item_id"]] = (1.0, 1.0, source, 1.0)
            elif source := negative_source(c, members, options):
                expected[request, c["item_id"]] = (0.0, 1.0, source, 1.0)
    assert drawn(rows, options)[0] == expected


@pytest.mark.fault("20", "points, a ratio: as many as an oracle, of its rows", times=10)
@explored(logs(), SETTINGS, st.integers(1, 3))
def test_a_ratio_draws_that_many_per_positive(rows, settings, ratio):
    every, _ = drawn(rows, PointwiseOptions(**settings, negatives={"kind": "all"}))
    options = PointwiseOptions(**settings, negatives={"kind": "ratio", "ratio": ratio})
    found, counts = drawn(rows, options)
    missing = 0
    for request in by_request(rows):
        eligible = {k for k, v in every.items() if k[0] == request and v[0] == 0}
        taken = {k: v for k, v in found.items() if k[0] == request and v[0] == 0}
        wanted = ratio * sum(k[0] == request and v[0] == 1 for k, v in every.items())
        missing += max(0, wanted - len(eligible))
        assert set(taken) <= eligible and len(taken) == min(wanted, len(eligible))
        assert all(v[3] == min(1.0, wanted / len(eligible)) for v in taken.values())
    assert counts["negatives_missing"] == missing


@given(logs(), st.integers(1, 3))
def test_bands_draw_a_number_from_each_stretch_of_ranks(rows, num):
    bands = [{"from_rank": 2, "to_rank": 3, "num": num}, {"from_rank": 5, "num": 1}]
    options = PointwiseOptions(
        top_k=1, negatives={"kind": "bands", "bands": bands}, allow_exposed=False
    )
    found, _ = drawn(rows, options)
    for request, members in by_request(rows).items():
        eligible = [c for c in members if c["rank"] and not c["exposed"] and not c["responded"]]
        for low, high, wanted in ((2, 3, num), (5, 10**9, 1)):
            within = [c["item_id"] for c in eligible if low <= c["rank"] <= high]
            taken = [v for k, v in found.items() if k[0] == request and k[1] in within]
            assert len(taken) == min(wanted, len(within))
            assert all(v[3] == min(1.0, wanted / len(within)) for v in taken)


@pytest.mark.fault("20", "points: the weights of an oracle", times=10)
@explored(logs(), st.sampled_from(["none", "mean", "max"]))
def test_positives_weigh_by_rank_and_negatives_1(rows, normalise):
    weight = {"kind": "inverse", "a": 2.0, "normalise": normalise}
    options = PointwiseOptions(positives=("rank", "feedback"), weight=weight, allow_exposed=True)
    found, _ = drawn(rows, options)
    for request, members in by_request(rows).items():
        raw = {
            (request, c["item_id"]): 1 + 2.0 / c["rank"] if c["rank"] else 1.0
            for c in members
            if positive_source(c, options)
        }
        mean, most = sum(raw.values()) / max(len(raw), 1), max(raw.values(), default=1)
        scale = {"none": 1.0, "mean": mean, "max": most}[normalise]
        for key, (label, value, *_) in found.items():
            if key[0] == request:
                assert value == pytest.approx(raw[key] / scale if label else 1.0)


def test_one_candidate_gives_one_positive_and_the_shortage_is_counted():
    found, counts = drawn(
        ranked_list(1, [0.3]), PointwiseOptions(allow_exposed=False, negatives={"kind": "ratio"})
    )
    assert found == {(1, 1): (1.0, 2.0, "top_k", 1.0)}
    assert counts["negatives_missing"] == 3 and counts["requests_without_row"] == 0


def test_a_request_without_candidates_gives_nothing_and_is_counted():
    found, counts = drawn([{"request_id": 1}], PointwiseOptions(allow_exposed=False))
    assert found == {} and counts["requests_without_row"] == 1


def test_the_tail_of_29_percent_of_100_is_29():
    options = PointwiseOptions(
        top_k=1, tail=0.29, negatives={"kind": "all"}, allow_exposed=False, gap="drop"
    )
    found, _ = drawn(ranked_list(1, [None] * 100), options)
    assert sum(source == "tail" for _, _, source, _ in found.values()) == 29


def test_draws_beyond_the_loop_limit_keep_their_law():
    options = PointwiseOptions(
        negatives={"kind": "ratio", "ratio": 200}, gap="keep", allow_exposed=False
    )
    found, _ = drawn(ranked_list(1, [None] * 4000), options)
    negatives = [value for value in found.values() if value[0] == 0]
    assert len(negatives) == 2000
    assert {probability for *_, probability in negatives} == {2000 / 3990}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"positives": ()}, "positives is empty"),
        ({"positives": "click"}, "exposed"),
        ({"negatives": {"kind": "bands", "bands": []}}, "at least 1"),
        ({"negatives": {"kind": "bands", "bands": [{"from_rank": 3, "to_rank": 9, "num": 1}]}},
         "lies within top_k"),
        ({"negatives": {"kind": "bands", "bands": [{"from_rank": 30, "to_rank": 20, "num": 1}]}},
         "is empty"),
        ({"negatives": {"kind": "bands", "bands": [{"from_rank": 20, "num": 1},
                                                   {"from_rank": 30, "num": 1}]}}, "overlap"),
        ({"negatives": {"kind": "ratio", "ratio": 0}}, "greater than or equal to 1"),
        ({"tail": 0}, "greater than 0"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused_with_the_reason(bad, reason):
    with pytest.raises(ValidationError, match=reason):
        PointwiseOptions(**bad)


@pytest.mark.parametrize(
    ("chosen", "lacks", "reason"),
    [
        ({"positives": "feedback"}, {"has_feedback": False}, "feedback column"),
        ({"positives": ("rank", "exposed")}, {"has_exposure": False}, "exposure"),
        ({}, {"has_rank": False}, "teacher rank"),
    ],
)
def test_options_say_why_a_log_does_not_serve_them(chosen, lacks, reason):
    good = {"has_score": True, "has_rank": True, "ranks_sampled": False}
    good |= {"has_feedback": True, "has_exposure": True}
    asked = PointwiseOptions(**chosen).for_student("recall")
    assert asked.refuse(LogFacts(**good)) == []
    assert any(reason in found for found in asked.refuse(LogFacts(**(good | lacks))))


def test_a_log_of_exposed_items_only_is_built_and_gets_advice():
    facts = LogFacts(
        has_score=False,
        has_rank=True,
        ranks_sampled=False,
        has_feedback=True,
        has_exposure=True,
        exposed_only=True,
    )
    recall, prerank = (PointwiseOptions().for_student(s) for s in ("recall", "prerank"))
    assert recall.refuse(facts) == []
    assert "all rows are positives" in recall.advise(facts)[0]
    assert prerank.advise(facts) == []
