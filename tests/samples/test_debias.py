"""Debiased positives: how many copies by hand, on average, and in every row that is left."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from rankdistill.samples.catalogue import SAMPLERS
from rankdistill.samples.debias import DebiasOptions
from rankdistill.samples.pairwise import PairwiseOptions
from rankdistill.samples.pointwise import PointwiseOptions
from rankdistill.samples.side import Side
from tests.builders import FACTS, make_lists, ranked_list
from tests.side_kit import make_catalogue

# Item n was a positive COUNTS[n] times; 4 never.
COUNTS = {1: 900, 2: 90, 3: 10}
SIDE = Side(make_catalogue(pa.array(list(COUNTS)), {"positive": np.array(list(COUNTS.values()))}))
T = 0.02
LISTS = make_lists(ranked_list("r", [9.0, 8.0, 7.0, 6.0, 5.0, 4.0]))
OPTIONS = {"pointwise": PointwiseOptions, "pairwise": PairwiseOptions}


def wanted(item: int, most: int) -> float:
    if item not in COUNTS:
        return most
    share = COUNTS[item] / sum(COUNTS.values())
    return min(math.sqrt(T / share) + T / share, most)


def draw(kind: str, seed: int, **debias):
    options = OPTIONS[kind](top_k=4, debias=DebiasOptions(t=T, **debias)).for_student("prerank")
    return SAMPLERS[kind].draw(LISTS, options, seed, SIDE)


def positive_items(kind: str, rows) -> np.ndarray:
    """The positive item of each row, 0 for rows without one."""
    if kind == "pairwise":
        return rows.pos + 1
    return np.where(rows.label > 0, rows.item + 1, 0)


@pytest.mark.parametrize("kind", ["pointwise", "pairwise"])
@pytest.mark.parametrize("most", [1, 5])
def test_copies_are_on_average_what_the_share_says(kind, most):
    whole = SAMPLERS[kind].draw(LISTS, OPTIONS[kind](top_k=4).for_student("prerank"), 0)
    items = positive_items(kind, whole)
    seeds, total = 2000, dict.fromkeys((1, 2, 3, 4), 0.0)
    for seed in range(seeds):
        rows = draw(kind, seed, most=most)
        for item in total:
            mine = positive_items(kind, rows) == item
            total[item] += rows.weight[mine].sum() / whole.weight[items == item].sum()
    for item, copies in total.items():
        assert copies / seeds == pytest.approx(wanted(item, most), rel=0.12), item


@pytest.mark.parametrize("kind", ["pointwise", "pairwise"])
def test_stored_as_weight_every_row_stays(kind):
    plain = SAMPLERS[kind].draw(LISTS, OPTIONS[kind](top_k=4).for_student("prerank"), 3)
    rows = draw(kind, 3, most=5, store="weight")
    factor = [wanted(item, 5) if item else 1.0 for item in positive_items(kind, rows)]
    assert rows.weight == pytest.approx(plain.weight * factor)
    assert (rows.probability == plain.probability).all()


@pytest.mark.parametrize("kind", ["pointwise", "pairwise"])
def test_a_drop_changes_nothing_but_the_rows_of_that_positive(kind):
    plain = draw(kind, 7, most=5, store="weight")
    rows = draw(kind, 7, most=5)
    items = positive_items(kind, plain)
    kept = np.isin(items, [0, *positive_items(kind, rows)])
    assert len(rows.weight) == kept.sum()
    copies = [wanted(item, 5) if item else 1.0 for item in items[kept]]
    assert rows.probability == pytest.approx(plain.probability[kept] * copies)
    assert rows.counts["debias.dropped"] == (~kept).sum()
    assert (rows.weight > 0).all()


@pytest.mark.parametrize("kind", ["pointwise", "pairwise"])
def test_requests_whose_rows_were_all_dropped_have_no_row(kind):
    lists = make_lists(
        [{"request_id": r, "item_id": 1, "rank": 1} for r in range(50)]
        + [{"request_id": r, "item_id": 9, "rank": 2} for r in range(50)]
    )
    negatives = {"negatives": {"kind": "none"}} if kind == "pointwise" else {}
    options = OPTIONS[kind](top_k=1, debias=DebiasOptions(t=T), **negatives)
    rows = SAMPLERS[kind].draw(lists, options.for_student("prerank"), 0, SIDE)
    assert 0 < rows.counts["requests_without_row"] == 50 - len(set(rows.request.tolist())) < 50


def test_a_count_that_is_not_kept_is_refused():
    for kind in OPTIONS.values():
        (reason,) = kind(debias=DebiasOptions(count_of="like")).refuse(FACTS)
        assert "known are recalled" in reason
        assert "click" in reason
        assert not kind(debias=DebiasOptions(count_of="click")).refuse(FACTS)
