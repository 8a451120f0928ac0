"""Every loss against its formula written out over plain numbers, and its gradient's limits."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankdistill.student.catalogue import LOSSES
from tests.student.loss_kit import Batch, named, parameters_of, variants
from tests.student.slow_losses import slow_loss


@st.composite
def rows_of(draw, kind):
    """(scores, targets, needs) of 1 to 4 rows of 0 to 5 entries, with the place that each entry
    takes among padding; scores differ but for rounding, grades may tie."""
    loss = LOSSES[kind]
    scores = st.floats(-1, 1) if loss.cosines else st.floats(-4, 4)
    targets = {
        "points": st.floats(0, 1),
        "pairs": st.floats(-4, 4),
        "lists": st.integers(0, 3).map(float),
        "contrast": st.just(0.0),
    }[loss.rows]
    extras = {
        "log_q": st.floats(-6, -0.1),
        "count": st.integers(1, 3).map(float),
        "similarity": st.floats(-1, 1),
    }
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.sampled_from([0, 2]) if loss.rows == "pairs" else st.integers(0, 5))
        needs = {name: draw(st.lists(extras[name], min_size=n, max_size=n)) for name in loss.needs}
        row = [draw(st.lists(each, min_size=n, max_size=n)) for each in (scores, targets)]
        first = loss.rows in ("pairs", "contrast")
        free = range(1, 6) if first else range(6)
        places = sorted(draw(st.permutations(free))[: max(0, n - first)])
        rows.append((*row, needs, [0, *places] if first and n else places))
    return rows


def batch_of(kind, rows, weights) -> Batch:
    width = 2 if LOSSES[kind].rows == "pairs" else 6

    def padded(values):
        held = torch.full((len(rows), width), torch.nan, dtype=torch.float64)
        for line, (row, (*_, places)) in enumerate(zip(values, rows, strict=True)):
            for value, place in zip(row, places, strict=True):
                held[line, min(place, width - 1)] = value
        return held

    scores, targets = padded([row[0] for row in rows]), padded([row[1] for row in rows])
    needs = {name: padded([row[2][name] for row in rows]) for name in LOSSES[kind].needs}
    weights = torch.tensor(weights, dtype=torch.float64)
    return Batch(scores, targets, weights, ~scores.isnan(), needs)


@pytest.mark.parametrize("variant", variants(), ids=named)
def test_a_loss_is_its_formula(variant):
    kind, chosen = variant
    if kind == "neural_ndcg" and "sinkhorn" not in chosen:
        chosen = {**chosen, "sinkhorn": 5}  # more rounds differ only where they are not needed

    @settings(max_examples=40, deadline=None)
    @given(rows_of(kind), st.data())
    def check(rows, data):
        weights = data.draw(st.lists(st.floats(0, 3), min_size=len(rows), max_size=len(rows)))
        wanted = slow_loss(kind, [row[:3] for row in rows], weights, parameters_of(kind, **chosen))
        found = batch_of(kind, rows, weights).loss(kind, **chosen)
        assert float(found) == pytest.approx(wanted, rel=1e-6, abs=1e-6)

    check()
