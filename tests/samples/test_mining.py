"""Which candidates become negatives: each rule, the draw, the rows."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rankdistill.contract import TYPES, table_contract
from rankdistill.hashing import xxh64
from rankdistill.samples.mining import (
    RULES,
    Anchors,
    Candidates,
    MiningOptions,
    conform,
    draw,
    eligible,
    looked_at,
    weakest,
)


def candidates(*scores: list[float]) -> Candidates:
    """A list of falling scores for each user; item = 100 x user + place."""
    lengths = [len(own) for own in scores]
    item = [100 * user + place for user, own in enumerate(scores) for place in range(len(own))]
    rank = [place + 1 for own in scores for place in range(len(own))]
    flat = [score for own in scores for score in own]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Candidates(offsets, np.array(item, dtype=np.int64), np.array(flat), np.array(rank))


def anchors(*of: tuple[int, float | None]) -> Anchors:
    """(user, score of its positive); positives are items 900, 901, ..., or none."""
    user = np.array([u for u, _ in of], dtype=np.int64)
    score = np.array([np.nan if s is None else s for _, s in of])
    item = np.array([-1 if s is None else 900 + i for i, (_, s) in enumerate(of)], dtype=np.int64)
    key = np.where(item < 0, np.uint64(0), xxh64(pa.array(item)))
    return Anchors(user, xxh64(pa.array(user)), item, key, score)


def kept(found: Candidates, of: Anchors, **options) -> tuple[list[tuple[int, int]], dict]:
    """(anchor, rank) of the eligible pairs, and the counts."""
    chosen = MiningOptions(**{"num_negatives": 1, "range_max": 50} | options)
    positive = weakest(of, len(found.offsets) - 1)
    positive = positive if chosen.margin_from == "weakest" else of.pos_score
    pairs, counts = eligible(looked_at(found, of, positive), chosen)
    return list(zip(pairs.anchor.tolist(), pairs.rank.tolist(), strict=True)), counts


FOUND = candidates([0.9, 0.8, 0.5, 0.1])


@pytest.mark.parametrize(
    ("options", "ranks"),
    [
        ({}, [1, 2, 3, 4]),
        ({"range_min": 1}, [2, 3, 4]),
        ({"max_score": 0.8}, [2, 3, 4]),
        ({"min_score": 0.5}, [1, 2, 3]),
        ({"absolute_margin": 0.0}, [2, 3, 4]),
        ({"absolute_margin": 0.25}, [3, 4]),
        ({"relative_margin": 0.5}, [4]),
        ({"relative_margin": 0.5, "range_min": 2, "min_score": 0.2}, []),
    ],
)
def test_each_option_skips_what_it_says_and_counts_it(options, ranks):
    found, counts = kept(FOUND, anchors((0, 0.8)), **options)
    assert [rank for _, rank in found] == ranks
    assert counts["looked_at"] == 4
    assert counts["eligible"] == len(ranks)
    assert counts["looked_at"] - counts["eligible"] == sum(
        number for name, number in counts.items() if name.startswith("skipped.")
    )
    assert {name.removeprefix("skipped.") for name in counts if "." in name} == set(options)


def test_every_rule_is_an_option_and_has_been_tried():
    assert set(RULES) <= set(MiningOptions.model_fields)
    assert len(RULES) == 5


def test_a_relative_margin_is_no_more_lenient_for_negative_scores():
    """Multiplying by 1 - share would raise the bound from -2 to -1 and keep rank 2."""
    found = candidates([-1.0, -1.5, -2.5, -3.0])
    assert -1.5 < -2.0 * (1 - 0.5)
    assert kept(found, anchors((0, -2.0)), relative_margin=0.5)[0] == [(0, 4)]


@given(
    positive=st.floats(-5, 5),
    share=st.floats(0, 1),
    scores=st.lists(st.floats(-5, 5), min_size=1, max_size=9),
)
def test_what_passes_a_margin_is_below_the_positive_whatever_the_sign(positive, share, scores):
    found = candidates(sorted(scores, reverse=True))
    of = anchors((0, positive))
    (passed, _), (gapped, _) = (
        kept(found, of, relative_margin=share),
        kept(found, of, absolute_margin=share),
    )
    for _, rank in passed:
        assert found.score[rank - 1] <= positive - share * abs(positive) <= positive
    for _, rank in gapped:
        assert found.score[rank - 1] <= positive - share


def test_a_margin_is_from_the_anchor_s_own_positive_or_from_the_user_s_weakest():
    of = anchors((0, 0.95), (0, 0.6))
    assert kept(FOUND, of, absolute_margin=0.0)[0] == [
        *[(0, 1), (0, 2), (0, 3), (0, 4)],
        *[(1, 3), (1, 4)],
    ]
    weak, _ = kept(FOUND, of, absolute_margin=0.0, margin_from="weakest")
    assert weak == [(0, 3), (0, 4), (1, 3), (1, 4)]


def drawn(found: Candidates, of: Anchors, seed: int = 1, **options):
    chosen = MiningOptions(**{"range_max": 50} | options)
    pairs, _ = eligible(looked_at(found, of, of.pos_score), chosen)
    return draw(pairs, of, chosen, seed)


def test_top_takes_the_best_by_rank_with_probability_1_and_says_who_got_too_few():
    mined = drawn(candidates([3, 2, 1], [5], []), anchors((0, 9), (1, 9), (2, 9)), num_negatives=2)
    assert mined.candidate.tolist() == [0, 1, 3]
    assert mined.probability.tolist() == [1, 1, 1]
    assert mined.counts == {"anchors": 3, "anchors_short": 2, "anchors_without": 1, "rows": 3}


@pytest.mark.parametrize("num", [1, 3, 80])
def test_at_random_each_eligible_item_is_drawn_with_the_stated_probability(num):
    size, times = 100, 400
    found, of = candidates([1.0] * size), anchors((0, 2.0))
    options = {"num_negatives": num, "sampling_strategy": "random", "range_max": size}
    hits = np.zeros(size)
    for seed in range(times):
        mined = drawn(found, of, seed, **options)
        assert len(set(mined.candidate.tolist())) == num
        assert (mined.probability == num / size).all()
        hits[mined.candidate] += 1
    expected = times * num / size
    variance = expected * (1 - num / size)
    assert ((hits - expected) ** 2 / variance).sum() < size + 5 * math.sqrt(2 * size)


def test_a_random_draw_depends_on_seed_user_and_positive_and_on_nobody_else():
    found = candidates(*([1.0] * 40 for _ in range(3)))
    of = anchors((0, 2.0), (0, 3.0), (1, 2.0), (2, 2.0))
    options = {"num_negatives": 4, "sampling_strategy": "random"}
    mined = drawn(found, of, **options)
    places = [mined.candidate[mined.anchor == i] % 40 for i in range(4)]
    assert len({tuple(p.tolist()) for p in places}) == 4
    assert (drawn(found, of, 2, **options).candidate != mined.candidate).any()
    for i in range(4):
        alone = drawn(found, of.take(slice(i, i + 1)), **options)
        assert alone.candidate.tolist() == mined.candidate[mined.anchor == i].tolist()


def test_rows_conform_to_the_contract_and_positives_may_be_absent():
    found = candidates([3.0, 2.0], [1.0])
    of = Anchors(
        np.array([0, 1]),
        np.array([7, 8], dtype=np.uint64),
        np.array([2, -1]),
        np.array([5, 0], dtype=np.uint64),
        np.array([4.0, np.nan]),
    )
    mined = drawn(found, of, num_negatives=1)
    items = pa.array([f"item{i}" for i in range(101)])
    rows = conform(mined, found, of, pa.array([10, 11]), items)
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        (10, "item2", "item0", 1, 3.0, 4.0, 1.0),
        (11, None, "item100", 1, 1.0, None, 1.0),
    ]
    contract = table_contract("mined")
    assert rows.schema.names == [column["name"] for column in contract["columns"]]
    for column in contract["columns"]:
        assert set(column) == {"name", "type", "nullable", "unit", "meaning"}
        assert column["type"] in {*TYPES, "id"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"range_min": 5, "range_max": 5}, "skips all"),
        ({"range_min": 3, "range_max": 5}, "more than the 2 ranks"),
        ({"num_negatives": 4, "range_max": 3}, "raise range_max"),
        ({"min_score": 1.0, "max_score": 0.5}, "no item is left"),
        ({"margin_from": "weakest"}, "set absolute_margin"),
        ({"num_negatives": 0}, "greater than or equal to 1"),
        ({"sampling_strategy": "best"}, "'top' or 'random'"),
    ],
)
def test_options_that_cannot_work_say_why(options, told):
    with pytest.raises(ValidationError, match=told):
        MiningOptions(**options)


@pytest.mark.parametrize(
    ("options", "num"),
    [
        ({}, 3),
        ({"range_min": 5}, 8),
        ({"range_min": 5, "relative_margin": 0.1}, 35),
        ({"max_score": 0.5, "num_negatives": 2}, 20),
        ({"sampling_strategy": "random"}, 30),
        ({"range_max": 7}, 7),
    ],
)
def test_as_many_are_looked_at_as_the_options_need(options, num):
    assert MiningOptions(**options).num_candidates == num


def test_margins_without_positives_are_refused_with_the_reason():
    options = MiningOptions(absolute_margin=0.1, relative_margin=0.1)
    assert options.refuse(has_positives=True) == []
    (reason,) = options.refuse(has_positives=False)
    assert reason.startswith("absolute_margin and relative_margin: a margin is measured from")
    assert MiningOptions(max_score=1.0).refuse(has_positives=False) == []
