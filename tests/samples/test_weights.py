"""Position weights against their formulas."""

import math

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from rankdistill.samples.weights import MAX_RANK, WEIGHTS, Weight, normalised, position_weight

FORMULAS = {
    "const": ({}, lambda r: 1.0),
    "inverse": ({"a": 2.0}, lambda r: 1 + 2.0 / r),
    "reciprocal": ({}, lambda r: 1 / r),
    "power": ({"alpha": 0.5}, lambda r: 1 / math.sqrt(r)),
    "log2": ({}, lambda r: 1 / math.log2(1 + r)),
    "log": ({"a": 3.0}, lambda r: 3 / math.log(math.e - 1 + r)),
    "exp": ({"scale": 4.0}, lambda r: math.exp(-r / 4)),
    "linear": ({}, lambda r: (10 - r + 1) / 10 if r <= 10 else 1 / 10),
    "log_rank": ({"cap": 20}, lambda r: math.log(21 / min(r, 20))),
    "table": ({"values": [5, 2, 1]}, lambda r: {1: 5, 2: 2}.get(r, 1)),
}


def options(kind, **values):
    return TypeAdapter(Weight).validate_python({"kind": kind, **values})


@pytest.mark.parametrize("kind", list(WEIGHTS))
def test_a_weight_is_its_formula_of_the_rank_and_1_without_rank(kind):
    values, formula = FORMULAS[kind]
    ranks = np.array([1, 2, 3, 9, 10, 11, 20, 21, 500, 0], dtype=np.int32)
    weight = position_weight(options(kind, **values), ranks, top_k=10)
    expected = [formula(int(r)) for r in ranks[:-1]] + [1.0]
    assert weight == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", list(WEIGHTS))
def test_a_better_rank_never_weighs_less(kind):
    weight = position_weight(options(kind, **FORMULAS[kind][0]), np.arange(1, 300), top_k=10)
    assert (np.diff(weight) <= 0).all() and (weight >= 0).all()


@pytest.mark.parametrize("kind", list(WEIGHTS))
def test_a_rank_weighs_the_same_to_the_bit_beside_any_other(kind):
    rule = options(kind, **FORMULAS[kind][0])
    alone = position_weight(rule, np.array([7]), 10)
    assert position_weight(rule, np.array([7, 900, 70_000]), 10)[0] == alone[0]


def test_absurd_ranks_weigh_as_the_last_one_of_the_table():
    weight = position_weight(options("reciprocal"), np.array([2**31 - 1]), 10)
    assert weight.tolist() == [1 / MAX_RANK]


@pytest.mark.parametrize(
    ("normalise", "expected"),
    [
        ("none", [4, 2, 3, 0]),
        ("mean", [4 / 3, 2 / 3, 1, 0]),
        ("max", [1, 1 / 2, 1, 0]),
    ],
)
def test_normalising_is_per_request_and_survives_zeros(normalise, expected):
    weight = normalised(np.array([4.0, 2.0, 3.0, 0.0]), np.array([0, 2, 2, 3, 4]), normalise)
    assert weight.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "inverse", "a": -1},
        {"kind": "inverse", "a": float("nan")},
        {"kind": "exp", "scale": 0},
        {"kind": "table", "values": []},
        {"kind": "table", "values": [1, 0]},
        {"kind": "const", "alpha": 1},
        {"kind": "cosine"},
    ],
)
def test_settings_without_meaning_are_refused(bad):
    with pytest.raises(ValidationError):
        TypeAdapter(Weight).validate_python(bad)
