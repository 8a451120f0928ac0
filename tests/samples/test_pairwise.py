"""Pairs of every strategy and weight against ten-line oracles."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.lists.batch import STAGES
from rankdistill.samples.facts import SOURCES
from rankdistill.samples.pairwise import PairwiseOptions, pairwise
from tests.builders import make_lists, ranked_list
from tests.explored import explored
from tests.samples.logs import by_request, logs

TOP_K = st.sampled_from([1, 3, 100])
FLAG = st.booleans()


def options(kind="random", *, weight="none", exposed=False, **values):
    fields = {k: values.pop(k) for k in ("top_k", "max_pairs_per_request") if k in values}
    return PairwiseOptions(
        strategy={"kind": kind, **values}, weight={"kind": weight}, allow_exposed=exposed, **fields
    )


def drawn(rows, chosen, seed=1):
    """The kernel's pairs as {(request, positive, negative): (weight, probability)}."""
    lists = make_lists(rows)
    pairs = pairwise(lists, chosen, seed)
    request = lists.requests.column("request_id").to_pylist()
    item = lists.candidates.column("item_id").to_pylist()
    values = zip(pairs.request, pairs.pos, pairs.neg, pairs.weight, pairs.probability, strict=True)
    return {(request[r], item[i], item[j]): (w, p) for r, i, j, w, p in values}, pairs.counts


def may_pair(i, j, top_k, exposed, *, by_stage=False):
    is_positive = i["rank"] is not None and i["rank"] <= top_k
    is_eligible = not j["responded"] and (exposed or not j["exposed"])
    if by_stage:
        return is_positive and is_eligible and j["stage"] < i["stage"]
    return is_positive and is_eligible and j["rank"] is not None and i["rank"] < j["rank"]


def is_tied(i, j):
    return i["teacher_score"] is not None and i["teacher_score"] == j["teacher_score"]


def valid_pairs(rows, top_k, exposed, **how):
    """{(request, positive, negative): (i, j)} of all that may be drawn, and the tied number."""
    pairs = {
        (request, i["item_id"], j["item_id"]): (i, j)
        for request, members in by_request(rows).items()
        for i in members
        for j in members
        if may_pair(i, j, top_k, exposed, **how)
    }
    valid = {key: pair for key, pair in pairs.items() if not is_tied(*pair)}
    return valid, len(pairs) - len(valid)


@pytest.mark.fault("20", "pairs, topk: the rows of an oracle", times=10)
@explored(logs(), TOP_K, FLAG)
def test_topk_takes_every_valid_pair(rows, top_k, exposed):
    found, counts = drawn(rows, options("topk", top_k=top_k, exposed=exposed))
    valid, num_tied = valid_pairs(rows, top_k, exposed)
    assert set(found) == set(valid) and counts["pairs_tied_skipped"] == num_tied
    assert all(value == (1.0, 1.0) for value in found.values())


@given(logs(), TOP_K, FLAG)
def test_adjacent_takes_neighbours_alone(rows, top_k, exposed):
    found, _ = drawn(rows, options("adjacent", top_k=top_k, exposed=exposed))
    valid, _ = valid_pairs(rows, top_k, exposed)
    assert set(found) == {k for k, (i, j) in valid.items() if j["place"] == i["place"] + 1}


@given(logs(), TOP_K, FLAG, st.integers(2, 6))
def test_all_takes_every_valid_pair_within_the_length(rows, top_k, exposed, length):
    chosen = options("all", top_k=top_k, exposed=exposed, max_length=length)
    valid, _ = valid_pairs(rows, top_k, exposed)
    assert set(drawn(rows, chosen)[0]) == {k for k, (_, j) in valid.items() if j["place"] < length}


def assert_drawn_per_positive(found, valid, num):
    """num of each positive's valid pairs, with probability num / how many there are."""
    assert set(found) <= set(valid)
    for positive in {key[:2] for key in valid}:
        of_it = [key for key in valid if key[:2] == positive]
        taken = [found[key] for key in of_it if key in found]
        assert len(taken) == min(num, len(of_it))
        assert all(value == (1.0, min(1.0, num / len(of_it))) for value in taken)


@pytest.mark.fault("20", "pairs, random: as many as an oracle, of its rows", times=10)
@explored(logs(), TOP_K, FLAG, st.integers(1, 4))
def test_random_draws_m_of_each_positives_valid_pairs(rows, top_k, exposed, num):
    chosen = options("random", top_k=top_k, exposed=exposed, num_pair_per_sample=num)
    found, counts = drawn(rows, chosen)
    valid, num_tied = valid_pairs(rows, top_k, exposed)
    assert_drawn_per_positive(found, valid, num)
    assert counts["pairs_tied_skipped"] == num_tied


@given(logs(), TOP_K, FLAG, st.integers(1, 4))
def test_stage_draws_m_of_those_that_stopped_earlier(rows, top_k, exposed, num):
    chosen = options("stage", top_k=top_k, exposed=exposed, num_pair_per_sample=num)
    found, counts = drawn(rows, chosen)
    valid, num_tied = valid_pairs(rows, top_k, exposed, by_stage=True)
    assert_drawn_per_positive(found, valid, num)
    assert counts["pairs_tied_skipped"] == num_tied


@given(logs(), TOP_K, FLAG, st.integers(1, 4), st.sampled_from([0.5, 1.0, 4.0]))
def test_margin_draws_m_of_those_far_enough_below(rows, top_k, exposed, num, delta):
    chosen = options("margin", top_k=top_k, exposed=exposed, num_pair_per_sample=num, delta=delta)
    valid, _ = valid_pairs(rows, top_k, exposed)
    wide = {
        key: (i, j)
        for key, (i, j) in valid.items()
        if None not in (i["teacher_score"], j["teacher_score"])
        and i["teacher_score"] - j["teacher_score"] >= delta
    }
    assert_drawn_per_positive(drawn(rows, chosen)[0], wide, num)


@pytest.mark.fault("20", "pairs, mean: the probabilities of an oracle", times=10)
@explored(logs(), st.sampled_from([1, 3, None]), FLAG, st.integers(1, 4))
def test_mean_lets_both_sides_draw_and_stores_the_union_probability(rows, top_k, exposed, num):
    chosen = options("mean", top_k=top_k, exposed=exposed, num_pair_per_sample=num)
    found, _ = drawn(rows, chosen)
    valid, _ = valid_pairs(rows, top_k or 100, exposed)
    assert set(found) <= set(valid)

    def share(request, item):
        partners = sum(key[0] == request and item in key[1:] for key in valid)
        return min(1.0, num / partners)

    for request, pos, neg in valid:
        union = 1 - (1 - share(request, pos)) * (1 - share(request, neg))
        assert found.get((request, pos, neg), (1.0, union)) == (1.0, pytest.approx(union))
        assert union < 1 or (request, pos, neg) in found


def deltas(rows, valid, gain=lambda r: 2 ** max(0, 3 - (r - 1) // 2) - 1):
    """|delta NDCG| of each valid pair, grades by rank buckets of 2, levels 3."""
    sizes = {}
    for request, members in by_request(rows).items():
        gains = sorted((gain(c["rank"]) for c in members if c["rank"]), reverse=True)
        ideal = sum(g / math.log2(2 + place) for place, g in enumerate(gains)) or 1.0
        for key, (i, j) in valid.items():
            if key[0] == request:
                a, b = (abs(gain(c["rank"]) / ideal) for c in (i, j))
                places = abs(1 / math.log2(1 + i["rank"]) - 1 / math.log2(1 + j["rank"]))
                sizes[key] = abs(a - b) * places
    return sizes


GRADE = {"kind": "rank_bucket", "width": 2, "levels": 3}


@pytest.mark.fault("20", "pairs, delta_ndcg: the sizes of an oracle", times=10)
@explored(logs(), TOP_K, st.integers(1, 9), st.sampled_from([0.0, 0.05]), st.integers(1, 50))
def test_delta_ndcg_draws_by_size_and_weighs_by_hits(rows, top_k, num, floor, seed):
    chosen = options("delta_ndcg", top_k=top_k, num_pairs=num, grade=GRADE, floor=floor)
    found, _ = drawn(rows, chosen, seed)
    valid, _ = valid_pairs(rows, top_k, False)
    sizes = {key: max(size, floor) for key, size in deltas(rows, valid).items()}
    for request in {key[0] for key in valid}:
        total = sum(size for key, size in sizes.items() if key[0] == request)
        hits = {}
        for key, (weight, probability) in found.items():
            if key[0] == request:
                hits[key] = weight * num / total
                assert probability == pytest.approx(num * sizes[key] / total)
                assert abs(hits[key] - probability) < 1 + 1e-6
        assert sum(hits.values()) == pytest.approx(num if total else 0)
        assert all(abs(h - round(h)) < 1e-6 for h in hits.values())


@pytest.mark.fault("20", "pairs: the weights of an oracle", times=10)
@explored(logs(), st.sampled_from(["rank_gap", "score_gap", "delta_ndcg"]))
def test_a_weight_is_its_gap_and_what_has_none_is_skipped_and_counted(rows, kind):
    chosen = PairwiseOptions(
        strategy={"kind": "topk"},
        weight={"kind": kind} | ({"grade": GRADE} if kind == "delta_ndcg" else {}),
        allow_exposed=True,
    )
    found, counts = drawn(rows, chosen)
    valid, _ = valid_pairs(rows, 10, True)
    sizes = deltas(rows, valid)

    def weight(key, i, j):
        if kind == "score_gap":
            scores = i["teacher_score"], j["teacher_score"]
            return 0.0 if None in scores else scores[0] - scores[1]
        return sizes[key] if kind == "delta_ndcg" else j["rank"] - i["rank"]

    expected = {key: weight(key, *pair) for key, pair in valid.items()}
    kept = {key: w for key, w in expected.items() if w > 0}
    assert {key: w for key, (w, _) in found.items()} == pytest.approx(kept)
    assert counts["pairs_gap_not_positive"] == len(expected) - len(kept)


def test_the_ideal_order_is_by_gain_where_grades_rise_against_the_teacher():
    rows = ranked_list(1, [0.0, 1.0, 2.0])
    weight = {"kind": "delta_ndcg", "grade": {"kind": "score_thresholds", "edges": [0.5, 1.5]}}
    chosen = PairwiseOptions(strategy={"kind": "topk"}, weight=weight, allow_exposed=False)
    found, _ = drawn(rows, chosen)
    d = [1.0, 1 / math.log2(3), 1 / 2]
    ideal = 7 * d[0] + 3 * d[1] + 1 * d[2]
    assert found[1, 1, 3][0] == pytest.approx((7 - 1) / ideal * (d[0] - d[2]))
    assert found[1, 1, 2][0] == pytest.approx((3 - 1) / ideal * (d[0] - d[1]))


@given(logs(), st.integers(1, 5))
def test_a_cap_bounds_every_request_and_scales_the_probability(rows, cap):
    free, _ = drawn(rows, options("topk"))
    found, counts = drawn(rows, options("topk", max_pairs_per_request=cap))
    assert set(found) <= set(free) and counts["rows_capped"] == len(free) - len(found)
    for request in {key[0] for key in free}:
        num = sum(key[0] == request for key in free)
        of_it = [value for key, value in found.items() if key[0] == request]
        assert of_it == [(1.0, min(1.0, cap / num))] * min(cap, num)


def test_a_long_list_with_ties_and_inversions_draws_valid_pairs_of_every_positive():
    num = 3000
    scores = np.round(np.random.default_rng(4).normal(size=num), 1)
    pairs = pairwise(
        make_lists(ranked_list(1, scores.tolist())), options(top_k=None, num_pair_per_sample=70), 1
    )
    assert (pairs.pos < pairs.neg).all() and (scores[pairs.pos] != scores[pairs.neg]).all()
    valid = np.array([(scores[i + 1 :] != scores[i]).sum() for i in range(num)])
    assert np.bincount(pairs.pos, minlength=num).tolist() == np.minimum(valid, 70).tolist()
    assert pairs.probability == pytest.approx((np.minimum(valid, 70) / valid.clip(1))[pairs.pos])
    assert pairs.counts["pairs_tied_skipped"] == sum(range(num)) - valid.sum()


def test_an_all_tied_list_gives_no_pair_and_no_square_of_work():
    lists = make_lists(ranked_list(1, [0.5] * 4000))
    pairs = pairwise(lists, options("mean", top_k=None), 1)
    assert len(pairs.pos) == 0
    assert pairs.counts["pairs_tied_skipped"] == 4000 * 3999 // 2
    assert pairs.counts["requests_without_row"] == 1


def test_stage_pairs_say_where_the_negative_stopped():
    stages = ["reranked", "ranked", "preranked", "recalled"]
    rows = [
        {"request_id": 1, "item_id": n, "rank": n if n < 3 else None, "stage": s}
        for n, s in enumerate(stages, start=1)
    ]
    pairs = pairwise(make_lists(rows), options("stage", top_k=1), 1)
    assert [SOURCES[code] for code in pairs.source] == [
        "stage",
        "prerank_dropped",
        "recall_dropped",
    ]
    assert STAGES["recalled"] < STAGES["preranked"] < STAGES["ranked"]


def test_extreme_scores_keep_margin_and_weight_finite():
    lists = make_lists(ranked_list(1, [1e308, -1e308]))
    pairs = pairwise(lists, options(weight="score_gap"), 1)
    assert np.isfinite(pairs.margin).all() and np.isfinite(pairs.weight).all()
