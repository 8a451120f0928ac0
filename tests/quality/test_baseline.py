"""Thresholds proposed from clean days."""

from __future__ import annotations

import random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.errors import InputError
from rankdistill.quality.baseline import about, as_yaml, propose
from rankdistill.quality.judged import Judged, gates_of, judge
from rankdistill.quality.measure import Gate, Reading
from rankdistill.quality.measures import MEASURES
from rankdistill.quality.options import QualityOptions


def day(values, verdict="ok", off=None):
    """What each measure said of a day; those not in `values` said nothing."""
    return {
        name: Judged(
            *(measure, values.get(name, Reading(None, 0)), verdict),
            gates=gates_of(measure, off or {}),
        )
        for name, measure in MEASURES.items()
    }


def test_a_gate_stands_beyond_every_clean_day_it_was_made_of():
    rng = random.Random(5)
    for worse in ("above", "below"):
        for _ in range(200):
            values = [rng.gauss(0.3, 0.02) for _ in range(rng.randrange(7, 30))]
            gate = about(values, Gate(0.5, 0.9, worse))
            assert all(judge(value, gate) != "fail" for value in values)
            far = 5.0 if worse == "above" else -5.0
            assert judge(far, gate) == "fail"


def test_the_proposal_is_config_that_loads_and_judges():
    days = [day({"Q06": Reading(0.01, 100, {"over_cap": 0.002 + n * 1e-4})}) for n in range(9)]
    found = {p.name: p for p in propose(days)}
    assert set(found) == {"Q06", "Q06.over_cap"}
    gates = yaml.safe_load(as_yaml(list(found.values())))["quality"]["gates"]
    chosen = QualityOptions(gates=gates).chosen_gates()
    assert judge(0.011, chosen["Q06"]) == "ok" and judge(0.2, chosen["Q06"]) == "fail"
    assert judge(0.0025, chosen["Q06.over_cap"]) == "ok"


def test_gates_switched_off_stay_off():
    said = {"Q06": Reading(0.01, 100, {"over_cap": 0.002})}
    days = [day(said, off={"Q06": None}) for _ in range(9)]
    assert [p.name for p in propose(days)] == ["Q06.over_cap"]


@given(st.lists(st.floats(0, 1), min_size=7, max_size=9))
def test_whatever_is_proposed_of_shares_is_taken_by_the_config(values):
    names = ("Q06", "Q14", "Q17", "Q18")
    parts = ("over_cap", "cap_hit", "first", "least_fill")
    days = [
        day({n: Reading(v, 100, {p: v}) for n, p in zip(names, parts, strict=True)}) for v in values
    ]
    gates = yaml.safe_load(as_yaml(propose(days)))["quality"]["gates"] or {}
    taken = QualityOptions.model_validate({"gates": gates}).chosen_gates()
    assert all(gate.warn != 1 for name, gate in taken.items() if gate.worse == "above")


def test_a_gate_without_bounds_gets_none():
    days = [day({"Q08": Reading(0.01, 100, {"p90": 0.02})}) for _ in range(9)]
    assert [p.name for p in propose(days)] == ["Q08"]


def test_six_clean_days_are_too_few():
    clean = [day({"Q06": Reading(0.01, 100)}) for _ in range(6)]
    with pytest.raises(InputError, match="6 of 8 days"):
        propose([*clean, day({}, "fail"), day({}, "fail")])
