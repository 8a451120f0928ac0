"""Hash draws: exact laws, one row at a time, whatever stands beside it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.samples.lots import (
    Lots,
    below,
    by_hash,
    draw_systematic,
    draw_uniform,
    draw_weighted,
)


def lots(num_requests, seed=5, epoch=0):
    keys = np.arange(num_requests, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return Lots(seed, epoch, keys)


def urns(num_available, num_draw, seed=5):
    num_available = np.array(num_available, dtype=np.int64)
    requests = np.arange(len(num_available))
    row, index = draw_uniform(lots(len(requests), seed), "t", requests, 0, num_available, num_draw)
    cuts = np.searchsorted(row, np.arange(len(requests) + 1))
    return [index[start:stop].tolist() for start, stop in pairwise(cuts)]


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 90)), max_size=6))
def test_each_urn_gives_that_many_different_indices_in_order(sizes):
    available, wanted = [a for a, _ in sizes], np.array([w for _, w in sizes], dtype=np.int64)
    for drawn, a, w in zip(urns(available, wanted), available, wanted, strict=True):
        assert drawn == sorted(set(drawn)) and len(drawn) == min(a, w)
        assert all(0 <= index < a for index in drawn)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 90)), min_size=1, max_size=6))
def test_an_urn_draws_the_same_beside_any_others(sizes):
    available, wanted = [a for a, _ in sizes], np.array([w for _, w in sizes], dtype=np.int64)
    together = urns(available, wanted)
    assert together[:1] == urns(available[:1], wanted[:1])


@pytest.mark.parametrize(("available", "num_draw"), [(7, 1), (7, 3), (7, 6), (90, 70)])
def test_every_index_is_drawn_with_probability_n_of_available(available, num_draw):
    num = 20_000
    drawn = urns(np.full(num, available), num_draw)
    seen = np.bincount(np.concatenate(drawn), minlength=available)
    share = num_draw / available
    z = (seen - num * share) / np.sqrt(num * share * (1 - share))
    assert np.abs(z).max() < 4.5


def test_every_subset_is_as_likely_as_any_other():
    num = 20_000
    drawn = [tuple(d) for d in urns(np.full(num, 5), 2)]
    seen = np.array([drawn.count(pair) for pair in sorted(set(drawn))])
    assert len(seen) == 10
    assert ((seen - num / 10) ** 2 / (num / 10)).sum() < 27.9  # chi2(9) at 1e-3


def test_other_seed_epoch_purpose_and_place_draw_otherwise():
    num = np.full(100, 50)
    requests = np.arange(100)

    def draw(seed=1, epoch=0, purpose="a", place=0):
        drawn = draw_uniform(lots(100, seed, epoch), purpose, requests, place, num, 3)
        return drawn[1].tolist()

    others = [draw(seed=2), draw(epoch=1), draw(purpose="b"), draw(place=1)]
    assert draw() == draw() and all(draw() != other for other in others)


def test_below_spreads_the_high_bits_over_the_bound():
    bits = np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)
    assert below(bits, np.array(10)).tolist() == [0, 5, 9]


def test_order_by_hash_survives_equal_high_bits():
    bits = np.array([5, 2**40, 4, 3, 9], dtype=np.uint64)
    segment = np.array([0, 0, 0, 1, 1])
    assert by_hash(bits, segment).tolist() == [2, 0, 1, 3, 4]


def systematic(sizes, num_draw, num_segments, seed=5):
    num = len(sizes)
    request = np.repeat(np.arange(num_segments), num)
    offsets = np.arange(num_segments + 1) * num
    size = np.tile(np.array(sizes, dtype=np.float64), num_segments)
    item = np.tile(np.arange(num), num_segments)
    drawing = lots(num_segments, seed)
    hits = draw_systematic(drawing, "t", offsets, request, item, 0, size, num_draw)
    return hits.reshape(num_segments, num)


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8), st.integers(1, 30), st.integers(1, 4)
)
def test_systematic_hits_add_up_and_stay_next_to_their_expectation(sizes, num_draw, num_segments):
    hits = systematic(sizes, num_draw, num_segments)
    expected = num_draw * np.array(sizes) / sum(sizes)
    assert (hits.sum(axis=1) == num_draw).all()
    assert (np.abs(hits - expected) < 1 + 1e-6).all()


def test_systematic_hits_have_the_stated_expectation():
    sizes, num_draw, num = [0.0, 0.1, 1.0, 2.0, 5.0, 0.3], 4, 20_000
    hits = systematic(sizes, num_draw, num)
    expected = num_draw * np.array(sizes) / sum(sizes)
    spread = hits.std(axis=0)
    z = (hits.mean(axis=0) - expected)[spread > 0] / spread[spread > 0] * np.sqrt(num)
    assert np.abs(z).max() < 4.5
    assert (hits[:, 0] == 0).all()


def test_a_systematic_draw_ignores_the_other_segments():
    assert (systematic([1, 2, 3.5], 2, 5)[:2] == systematic([1, 2, 3.5], 2, 2)).all()


def weighted(log_weights, num_draw, seed=5, purpose="t"):
    """What is drawn of each urn, whose items weigh as much as exp of these."""
    lengths = np.array([len(each) for each in log_weights], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    request = np.repeat(np.arange(len(lengths)), lengths)
    i = np.arange(offsets[-1]) - offsets[:-1][request]
    flat = np.concatenate([np.zeros(0), *(np.asarray(each, dtype=float) for each in log_weights)])
    drawing = lots(len(lengths), seed)
    drawn = draw_weighted(drawing, purpose, offsets, request, i, flat, num_draw)
    cuts = np.searchsorted(drawn, offsets)
    own = pairwise(cuts.tolist())
    return [(drawn[a:b] - at).tolist() for at, (a, b) in zip(offsets[:-1], own, strict=True)]


@given(st.lists(st.lists(st.floats(-800, 800), max_size=9), max_size=6), st.integers(1, 6))
def test_weighted_draws_are_different_items_in_order_whatever_stands_beside(urns, num_draw):
    found = weighted(urns, num_draw)
    for drawn, urn in zip(found, urns, strict=True):
        assert drawn == sorted(set(drawn)) and len(drawn) == min(num_draw, len(urn))
        assert all(0 <= item < len(urn) for item in drawn)
    assert weighted(urns[:1], num_draw) == found[:1]


def test_items_are_drawn_one_after_the_other_by_their_weight_among_those_left():
    num, weight = 20_000, np.array([4.0, 2.0, 1.0, 1.0])
    share = weight / weight.sum()
    found = weighted([np.log(weight)] * num, 2)
    for a in range(4):
        for b in range(a + 1, 4):
            wanted = share[a] * share[b] * (1 / (1 - share[a]) + 1 / (1 - share[b]))
            z = (found.count([a, b]) - num * wanted) / np.sqrt(num * wanted * (1 - wanted))
            assert abs(z) < 4.5, (a, b)
    assert found != weighted([np.log(weight)] * num, 2, seed=6)
    assert found != weighted([np.log(weight)] * num, 2, purpose="u")
