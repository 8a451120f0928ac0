"""What is drawn for an order: the interesting of the teacher's top, and others of the rest."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.samples.order_sample import OrderSampleOptions, order_sample
from tests.builders import make_lists, ranked_list
from tests.samples.logs import by_request, copies, logs


def drawn(rows, seed=1, epoch=0, **settings):
    """{request: [(item, place), ...]}."""
    lists = make_lists(rows)
    found = order_sample(lists, OrderSampleOptions(**settings), seed, epoch)
    request = lists.requests.column("request_id").to_pylist()
    item = lists.candidates.column("item_id").to_pylist()
    held = {key: [] for key in request}
    for r, i, place in zip(found.request, found.item, found.place, strict=True):
        held[request[r]].append((item[i], int(place)))
    return held


@given(logs(), st.integers(1, 3), st.integers(1, 5), st.integers(1, 4))
def test_some_of_the_top_in_their_order_then_some_of_the_rest(rows, num, top, others):
    found = drawn(rows, num=num, top=top, others=others)
    for request, members in by_request(rows).items():
        ranks = [m.get("rank") or 0 for m in members]
        best = [m["item_id"] for m, r in zip(members, ranks, strict=True) if 0 < r <= top]
        rest = [m["item_id"] for m in members if m["item_id"] not in best]
        interesting = [item for item, place in found[request] if place]
        places = [place for _, place in found[request]]
        num_drawn, num_others = min(num, len(best)), min(others, len(rest))
        assert places == [*range(1, num_drawn + 1), *[0] * num_others]
        assert interesting == [item for item in best if item in interesting]
        behind = [item for item, place in found[request] if not place]
        assert set(behind) <= set(rest) and len(set(behind)) == num_others


@given(logs(), st.integers(0, 3))
def test_a_request_draws_the_same_beside_any_others(rows, epoch):
    found = drawn(rows, num=2, top=5, others=2, epoch=epoch)
    for request in by_request(rows):
        members = [row for row in rows if row["request_id"] == request]
        assert drawn(members, num=2, top=5, others=2, epoch=epoch)[request] == found[request]


def test_ranks_are_drawn_by_how_far_down_they_stand_and_others_alike():
    lists = copies(ranked_list("r", [None] * 8), 4000)
    found = order_sample(lists, OrderSampleOptions(num=1, top=4, decay=2.0, others=1), 3)
    rank = lists.teacher_rank[found.item]
    weight = np.exp(-np.arange(1, 5) / 2)
    for ranks, share in (((1, 2, 3, 4), weight / weight.sum()), ((5, 6, 7, 8), np.full(4, 0.25))):
        seen = np.array([(rank == r).sum() for r in ranks])
        assert (np.abs(seen - 4000 * share) / np.sqrt(4000 * share * (1 - share)) < 4.5).all()


def test_every_epoch_draws_anew():
    rows = ranked_list("r", [None] * 40)
    found = [drawn(rows, num=3, top=20, others=3, epoch=epoch)["r"] for epoch in range(4)]
    assert len({str(each) for each in found}) == 4
