"""Dynamic weights: ranks estimated from points against a count, and what they are made of them."""

from __future__ import annotations

from math import tanh

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from rankdistill.student.chunk import Chunk, Drawn, Encoded  # noqa: E402
from rankdistill.student.dynamic import dynamic_weights  # noqa: E402

# A point: (score, label, teacher rank, one candidate of how many it is).
POINT = st.tuples(
    st.sampled_from([-1.0, 0.0, 0.5, 2.0]),
    st.sampled_from([0.0, 1.0]),
    st.integers(0, 6),
    st.sampled_from([1, 2, 7]),
)


def chunk_of(requests):
    """A chunk whose slots are the points of the requests, and their scores."""
    lengths = [len(points) for points in requests]
    flat = np.array([point for points in requests for point in points]).reshape(-1, 4)
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    none = Encoded(np.zeros((0, 0), np.int64))
    values = {"label": flat[:, 1], "probability": 1 / flat[:, 3]}
    drawn = {"pointwise": Drawn(start, {"item": np.arange(len(flat))}, values)}
    ids = pa.array([str(r) for r in range(len(requests))])
    columns = {"teacher_rank": flat[:, 2].astype(np.int32)}
    return Chunk(ids, start, none, none, columns, drawn), torch.tensor(flat[:, 0]).float()


def weights(requests, mu=0.1):
    chunk, scores = chunk_of(requests)
    found = dynamic_weights(scores.requires_grad_(), chunk, mu)
    assert not found.requires_grad
    return found.tolist()


def slow(points, mu):
    found = []
    for score, label, rank, _ in points:
        student = 1 + sum(many for other, _, _, many in points if other > score)
        found.append(max(0.0, tanh(mu * (student - rank))) if label and rank else 1.0)
    return found


@given(st.lists(st.lists(POINT, max_size=6), max_size=4), st.sampled_from([0.1, 2.0]))
def test_a_weight_is_what_its_formula_counts(requests, mu):
    wanted = [weight for points in requests for weight in slow(points, mu)]
    assert weights(requests, mu) == pytest.approx(wanted, rel=1e-5, abs=1e-7)


@given(st.lists(st.lists(POINT, min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_request_s_weights_do_not_depend_on_the_others(requests):
    assert weights(requests)[: len(requests[0])] == weights(requests[:1])


def test_what_the_student_ranks_as_high_as_the_teacher_or_higher_weighs_nothing():
    ranked = [(3.0, 1, 2, 1), (2.0, 1, 1, 1), (1.0, 1, 3, 1), (0.0, 0, 9, 1), (-1.0, 1, 4, 1)]
    found = weights([ranked])
    assert [found[0], found[2]] == [0, 0]
    assert found[1] == found[4] == pytest.approx(tanh(0.1)) and found[3] == 1


def test_a_negative_that_stands_for_many_counts_as_many():
    assert weights([[(0.0, 1, 1, 1), (1.0, 0, 0, 50)]])[0] == pytest.approx(tanh(5.0))
