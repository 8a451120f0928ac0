"""Margins against the weakest positive, whatever the sign of the scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from rankdistill.samples.margins import Margin, half_ranks, too_close
from tests.builders import make_lists, ranked_list

SCORES = st.lists(st.sampled_from([None, -3.0, -2.0, -1.0, 0.0, 1.0, 2.5]), min_size=1, max_size=8)


def close_items(scores, margin, num_positives=1):
    """The items (1, 2, ...) that are too close, of one request ranked in this order."""
    lists = make_lists(ranked_list(1, scores))
    is_positive = np.arange(len(scores)) < num_positives
    close, unmeasured = too_close(lists, is_positive, TypeAdapter(Margin).validate_python(margin))
    assert not (close & unmeasured).any()
    items = np.arange(1, len(scores) + 1)
    return items[close & ~is_positive].tolist(), items[unmeasured & ~is_positive].tolist()


def test_an_absolute_margin_is_measured_from_the_weakest_positive():
    scores = [3.0, 2.0, 1.9, 1.5, 1.0, None]
    assert close_items(scores, {"kind": "absolute", "gap": 0.5}, 2) == ([3], [6])
    assert close_items(scores, {"kind": "absolute", "gap": 0.5}, 1) == ([], [6])


@pytest.mark.parametrize(("top", "far", "near"), [(2.0, 1.0, 1.01), (-2.0, -3.0, -2.99)])
def test_a_relative_margin_keeps_its_width_below_negative_logits(top, far, near):
    assert close_items([top, near, far], {"kind": "relative", "share": 0.5}) == ([2], [])


def test_the_naive_relative_margin_turns_lenient_for_negative_logits():
    def naive_lets_pass(s_neg, s_pos, share):
        return s_neg < (1 - share) * s_pos

    # A positive of -2: an item that the teacher even prefers would pass as its negative.
    assert naive_lets_pass(-1.2, -2.0, share=0.5)
    assert not naive_lets_pass(1.2, 2.0, share=0.5)
    assert close_items([-2.0, -1.2], {"kind": "relative", "share": 0.5}) == ([2], [])


def test_a_quantile_margin_counts_candidates_whatever_the_scale():
    scores = [9.0, 8.0, 3.0, 2.0, 1.0]
    for scaled in (scores, [s * 1e-3 - 7 for s in scores], [-np.exp(-s) for s in scores]):
        assert close_items(scaled, {"kind": "quantile", "least": 0.4}, 2) == ([3], [])
        assert close_items(scaled, {"kind": "quantile", "least": 0.0}, 2) == ([], [])


@pytest.mark.parametrize("kind", ["absolute", "relative", "quantile"])
def test_without_a_scored_positive_nothing_can_be_measured(kind):
    margin = {"kind": kind, **({"gap": 1.0} if kind == "absolute" else {})}
    assert close_items([None, 2.0, 1.0], margin) == ([], [2, 3])
    assert close_items([1.0], margin) == ([], [])


@given(st.lists(SCORES, min_size=1, max_size=3))
def test_half_ranks_are_twice_the_quantile_in_whole_numbers(requests):
    rows = [row for r, scores in enumerate(requests) for row in ranked_list(r, scores)]
    half, num_scored = half_ranks(make_lists(rows))
    expected = []
    for scores in requests:
        known = [s for s in scores if s is not None]
        expected += [
            -1 if s is None else 2 * sum(k < s for k in known) + known.count(s) for s in scores
        ]
    assert half.tolist() == expected
    assert num_scored.tolist() == [sum(s is not None for s in scores) for scores in requests]


@given(SCORES, st.integers(0, 3), st.sampled_from([0.1, 0.5, 1.5]))
def test_what_passes_an_absolute_margin_is_below_every_positive_by_it(scores, positives, gap):
    close, unmeasured = close_items(scores, {"kind": "absolute", "gap": gap}, positives)
    of_positives = [s for s in scores[:positives] if s is not None]
    for item, score in enumerate(scores[positives:], start=positives + 1):
        if item in unmeasured:
            assert score is None or not of_positives
        else:
            assert (item in close) == (min(of_positives) - score < gap)
