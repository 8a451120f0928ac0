"""Graded lists: what is kept, in which order, with which probability."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.samples.facts import LogFacts
from rankdistill.samples.listwise import ListwiseOptions, listwise
from tests.builders import make_lists, ranked_list
from tests.explored import explored
from tests.samples.logs import by_request, logs


def drawn(rows, seed=1, **settings):
    """{request: [(item, grade, probability), ...]}, and the counts."""
    lists = make_lists(rows)
    graded = listwise(lists, ListwiseOptions(**settings), seed)
    request = lists.requests.column("request_id").to_pylist()
    item = lists.candidates.column("item_id").to_pylist()
    members = [
        (item[i], g, p)
        for i, g, p in zip(graded.item, graded.grade, graded.item_probability, strict=True)
    ]
    return {
        request[r]: members[graded.offsets[n] : graded.offsets[n + 1]]
        for n, r in enumerate(graded.request)
    }, graded.counts


@pytest.mark.fault("20", "lists: the rows of an oracle", times=10)
@explored(logs(), st.integers(2, 6))
def test_a_list_holds_the_first_candidates_in_the_teachers_order(rows, length):
    found, counts = drawn(rows, max_length=length)
    expected = {
        request: [c["item_id"] for c in members[:length]]
        for request, members in by_request(rows).items()
        if len(members) >= 2
    }
    assert {request: [m[0] for m in members] for request, members in found.items()} == expected
    assert all(p == 1 for members in found.values() for *_, p in members)
    assert counts["requests_without_row"] == len(by_request(rows)) - len(expected)


@given(logs(), st.integers(2, 6))
def test_lists_of_one_grade_are_counted(rows, length):
    found, counts = drawn(rows, max_length=length, grade={"kind": "rank_bucket", "width": 2})
    flat = [members for members in found.values() if len({g for _, g, _ in members}) == 1]
    assert counts["lists_of_one_grade"] == len(flat)


@pytest.mark.fault("20", "lists, a tail: as many as an oracle, of its rows", times=10)
@explored(logs(), st.integers(2, 4), st.integers(1, 4))
def test_a_tail_sample_is_appended_in_order_with_its_probability(rows, length, num):
    found, _ = drawn(rows, max_length=length, tail={"num": num})
    for request, members in by_request(rows).items():
        if len(members) < 2:
            assert request not in found
            continue
        head, rest = members[:length], members[length:]
        tail = found[request][len(head) :]
        places = [c["item_id"] for c in rest]
        assert [m[0] for m in found[request][: len(head)]] == [c["item_id"] for c in head]
        assert len(tail) == min(num, len(rest))
        assert [places.index(m[0]) for m in tail] == sorted(places.index(m[0]) for m in tail)
        assert all(p == min(1.0, num / len(rest)) for *_, p in tail)


def test_grades_come_from_the_whole_list_not_from_what_is_kept():
    scores = [5.0, 4.0, 3.0, 2.0]
    found, _ = drawn(
        ranked_list(1, scores), max_length=2, grade={"kind": "score_quantile", "levels": 4}
    )
    assert [grade for _, grade, _ in found[1]] == [4, 3]


def test_thousands_of_candidates_are_cut_and_counted():
    found, counts = drawn(ranked_list("a", [None] * 5000), tail={"num": 100})
    assert len(found["a"]) == 150 and counts["items_cut"] == 4850


@pytest.mark.parametrize("num", [0, 1])
def test_a_list_of_fewer_than_two_gives_no_row(num):
    rows = ranked_list(1, [None] * num) or [{"request_id": 1}]
    found, counts = drawn(rows)
    assert found == {} and counts["requests_without_row"] == 1


def test_a_log_without_teacher_order_is_refused_once():
    facts = LogFacts(
        has_score=False, has_rank=False, ranks_sampled=False, has_feedback=True, has_exposure=True
    )
    reasons = ListwiseOptions().for_student("recall").refuse(facts)
    assert len(reasons) == 2 and "teacher order" in reasons[0]
