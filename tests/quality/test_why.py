"""The reasons that `preview --why` gives: the true one for each candidate, and one for all."""

import pytest

from rankdistill.quality.why import why_listwise, why_pairwise, why_pointwise
from rankdistill.samples.listwise import ListwiseOptions, listwise
from rankdistill.samples.pairwise import PairwiseOptions, pairwise
from rankdistill.samples.pointwise import PointwiseOptions, pointwise
from tests.builders import make_lists, ranked_list

STAGES = ["exposed", "ranked", "exposed", "exposed", "ranked", "ranked", "ranked", "ranked"]
CLICKS = [0, None, 1, 0, None, None, None, None]


def one_request():
    """Eight ranked candidates, two tied at the end, and one that the pre-ranker dropped."""
    rows = ranked_list(1, [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 1.0, 1.0], stage=STAGES, click=CLICKS)
    return make_lists([*rows, {"request_id": 1, "item_id": 99}])


def pairs_why(**chosen):
    lists, options = one_request(), PairwiseOptions(**chosen).for_student("recall")
    pairs = pairwise(lists, options, 7)
    return pairs, why_pairwise(lists, pairs, options, 7).tolist()


def test_pointwise_reasons_name_the_rule_that_applies():
    options = PointwiseOptions(top_k=2, tail=0.5, negatives={"kind": "all"}).for_student("recall")
    lists = one_request()
    assert why_pointwise(lists, pointwise(lists, options, 7), options).tolist() == [
        "positive (top_k), weight 2",
        "positive (top_k), weight 1.5",
        "responded to: never a negative",
        "exposed: no negative (allow_exposed: false)",
        *["negative (tail), weight 1"] * 4,
        "negative (prerank_dropped), weight 1",
    ]
    options = options.model_copy(update={"tail": 0.3})
    why = why_pointwise(lists, pointwise(lists, options, 7), options)
    assert why[4] == "gap: between top_k 2 and the tail from rank 7 (gap: drop)"


def test_a_negative_that_was_not_drawn_is_told_its_chance():
    options = PointwiseOptions(top_k=1, negatives={"kind": "ratio", "ratio": 2}, gap="keep")
    lists, options = one_request(), options.for_student("recall")
    why = why_pointwise(lists, pointwise(lists, options, 7), options).tolist()
    # Eligible: ranks 2 and 5 to 8, and the dropped one.
    assert why.count(f"not drawn, by chance (p={2 / 6:.3g})") == 4


@pytest.mark.parametrize(
    ("chosen", "item", "reason"),
    [
        ({"strategy": {"kind": "topk"}, "top_k": 1}, 8, "no teacher rank"),
        ({"strategy": {"kind": "topk"}, "top_k": 1}, 3, "exposed: no negative"),
        ({"strategy": {"kind": "topk"}, "top_k": 1}, 2, "responded to"),
        ({"strategy": {"kind": "adjacent"}, "top_k": 1}, 5, "not next to a positive"),
        ({"strategy": {"kind": "all", "max_length": 5}}, 6, "beyond max_length 5"),
        ({"strategy": {"kind": "margin", "delta": 4.5}, "top_k": 1}, 4, "no positive is 4.5"),
        ({"strategy": {"kind": "stage"}, "top_k": 2}, 2, "responded to"),
        ({"strategy": {"kind": "random", "num_pair_per_sample": 1}, "top_k": 1}, 5, None),
    ],
)
def test_pairwise_reasons_name_the_rule_that_applies(chosen, item, reason):
    _, why = pairs_why(**chosen)
    assert why[item].startswith(reason or ("not drawn, by chance", "negative in 1"))


@pytest.mark.parametrize(
    "strategy",
    [
        *({"kind": kind} for kind in ("random", "adjacent", "topk", "mean", "all", "stage")),
        {"kind": "margin", "delta": 1.0},
        {"kind": "delta_ndcg"},
    ],
    ids=lambda strategy: strategy["kind"],
)
def test_a_candidate_is_told_that_it_is_in_a_pair_exactly_if_it_is(strategy):
    pairs, why = pairs_why(strategy=strategy, top_k=3)
    told = {i for i, text in enumerate(why) if text.startswith(("positive in", "negative in"))}
    assert told == {*pairs.pos.tolist(), *pairs.neg.tolist()}
    assert all(why)


def test_listwise_reasons_tell_the_grade_or_the_cap():
    lists = one_request()
    options = ListwiseOptions(max_length=7, tail={"num": 1})
    why = why_listwise(lists, listwise(lists, options, 7), options).tolist()
    assert why[0] == "grade 5"
    rest = ["beyond max_length 7, not drawn by chance (p=0.5)", "grade 4, drawn (p=0.5)"]
    assert sorted(text.replace("grade 0", "grade 4") for text in why[7:]) == rest
