"""What a segment or a policy holds is what one would pick out by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rankdistill.student.evaluation import whole_catalogue
from rankdistill.student.evaluation.gathered import alone, drawn_requests
from rankdistill.student.evaluation.known import DAY, Tally
from rankdistill.student.evaluation.options import CutBelow, EvaluateOptions, KeepTop, Tiers
from rankdistill.student.evaluation.policies import Logged
from rankdistill.student.evaluation.segments import OTHER, Named, binned
from tests.student.judged_kit import REQUESTS, judged, rows


def test_bins_begin_at_their_edges():
    found = binned("x", np.array([0.0, 1, 5, 6, 100, np.nan]), (1, 2, 6))
    assert found.labels == ("0", "1", "2 to 5", "6 and more")
    assert found.code.tolist() == [0, 1, 2, 3, 3, -1]


def test_names_are_told_by_number_and_the_rare_ones_together():
    named = Named("scene")
    named.add(pa.array(["b", "a", "b"]))
    named.add(pa.array(["c", "b", None, "a"]))
    found = named.segment(2)
    assert found.labels == ("b", "a", OTHER)
    assert found.code.tolist() == [0, 1, 0, 2, 0, 2, 1]
    assert named.segment(4).labels == ("b", "a", "(none)", "c")


def test_items_are_known_by_how_often_and_since_when():
    tally = Tally()
    assert tally.count_of(np.array([7], np.uint64)).tolist() == [0]
    tally.add(np.array([7, 5, 7], np.uint64), np.array([int(3 * DAY), 0, int(2 * DAY)]))
    tally.add(np.array([7], np.uint64), np.array([int(4 * DAY)]))
    keys = np.array([5, 6, 7], np.uint64)
    assert tally.count_of(keys).tolist() == [1, 0, 3]
    days = tally.days_since(keys, np.full(3, int(5 * DAY)))
    assert days.tolist() == [5.0, 0.0, 3.0]


@pytest.mark.parametrize(
    "channels",
    [
        pa.array([["cf"], ["cf", "hot"], [], None, ["hot"], ["cf", "cf"]]),
        pa.array([["x"], ["cf"], ["cf", "hot"], [], None, ["hot"], ["cf", "cf"]]).slice(1),
    ],
)
def test_an_item_is_found_alone_where_no_other_channel_brought_it(channels):
    assert alone(channels, "cf").tolist() == [True, False, False, False, False, True]
    assert alone(pa.array(["cf", None, "hot"]), "cf").tolist() == [True, False, False]


def logged(requests, k):
    found = judged(requests)
    found.columns["prerank_score"] = np.where(found.list_place % 3 == 0, np.nan, found.list_place)
    made = Logged(("prerank_score",), k)
    for at in range(len(requests)):
        made.add(found.take(np.array([at])))
    return found, made


@given(REQUESTS.filter(len), st.integers(1, 4), st.integers(1, 4))
def test_the_top_and_a_cut_keep_what_they_say(requests, m, k):
    found, whole = logged(requests, k)
    table = rows(found)
    for policy, is_kept in (
        (KeepTop(m=m), lambda r: r["place"] <= m),
        (CutBelow(score=0.5), lambda r: r["score"] >= 0.5),
    ):
        told = whole.kept(policy)
        for at, row in enumerate(table):
            passed = [r for r in row if is_kept(r)]
            top = [r for r in row if r["teacher_rank"]][:k]
            assert told["kept"][at].tolist() == [len(passed), len(row)]
            assert told["top"][at].tolist() == [sum(r in passed for r in top), len(top)]
            for name in ("exposed", "responded"):
                held = [sum(r[name] for r in part) for part in (passed, row)]
                assert told[name][at].tolist() == held


@given(REQUESTS.filter(len), st.integers(1, 4))
def test_tiers_sort_by_the_inner_score_alone_within_a_tier(requests, m):
    found, whole = logged(requests, 2)
    told = whole.kept(Tiers(edges=(0.5,), m=m))
    inner = np.nan_to_num(found.columns["prerank_score"], nan=-1.0)
    for at, row in enumerate(rows(found, inner=inner)):
        order = sorted(row, key=lambda r: (r["score"] < 0.5, -r["inner"], r["place"]))
        assert told["responded"][at, 0] == sum(r["responded"] for r in order[:m])


def test_a_cut_by_share_keeps_about_that_share_and_all_at_its_edge():
    requests = [[(s, True, True, False, 0, 1)] for s in (0.0, 0.0, 0.5, 3.0)]
    _, whole = logged(requests, 1)
    assert whole.kept(CutBelow(keep=0.5))["kept"][:, 0].sum() == 2
    assert whole.kept(CutBelow(keep=0.75))["kept"][:, 0].sum() == 4
    assert whole.kept(CutBelow(keep=1.0))["kept"][:, 0].sum() == 4


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 100), st.sampled_from([1, 2**23]))
def test_places_in_the_catalogue_are_those_of_a_whole_sort(num_users, num_items, seed, cells):
    random = np.random.default_rng(seed)
    users, items = (
        random.integers(-1, 2, (n, 3)).astype(np.float32) for n in (num_users, num_items)
    )
    key = random.permutation(num_items).astype(np.uint64)
    request = np.repeat(np.arange(num_users), num_items)
    item = np.tile(np.arange(num_items), num_users)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole_catalogue, "CELLS", cells)
        place = whole_catalogue.places(users, items, key, request, item)
    scores = users @ items.T
    for user in range(num_users):
        found = place[request == user]
        assert sorted(found.tolist()) == list(range(1, num_items + 1))
        in_order = scores[user][np.argsort(found)].tolist()
        assert in_order == sorted(in_order, reverse=True)


@given(st.lists(st.sets(st.integers(1, 12), max_size=4), max_size=5), st.integers(1, 8))
def test_measures_of_the_catalogue_are_those_of_a_list_as_long(responses, k):
    """A list of twelve in which the responses stand at these places."""
    requests = [
        [(float(-place), True, True, place in own, 0, 1) for place in range(1, 13)]
        for own in responses
    ]
    found = judged(requests)
    offsets = np.concatenate([[0], np.cumsum([len(own) for own in responses])]).astype(int)
    place = np.array([p for own in responses for p in sorted(own)], dtype=int)
    columns = whole_catalogue.columns(place, offsets, k, "all")
    from rankdistill.student.evaluation.measures import terms

    for name in ("ndcg", "recall", "mrr"):
        expected = np.stack(terms(found, f"response_{name}@{k}"), axis=1)
        np.testing.assert_allclose(columns[f"catalogue_{name}"], expected)


def test_requests_of_the_catalogue_are_drawn_by_their_keys():
    key = np.arange(100, dtype=np.uint64)
    some = drawn_requests(key, 10)
    assert len(some) == 10
    assert sorted(key[::-1][drawn_requests(key[::-1], 10)]) == some.tolist()
    assert drawn_requests(key, 100).tolist() == list(range(100))


@pytest.mark.parametrize(
    "options",
    [
        {"policies": [{"kind": "cut"}]},
        {"segments": {"edges": {"lenght": [1]}}},
        {"segments": {"edges": {"length": [2, 1]}}},
        {"grade": {"kind": "log_rank"}, "conventions": {"gain": "exponential"}},
        {"k": []},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options):
    with pytest.raises(ValidationError):
        EvaluateOptions.model_validate(options)
