"""Negatives by popularity (Q24): pandas over the tables, another law, few draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rankdistill.quality.metrics import judged_day
from tests.quality.measured import built, clean_log, days, frame, measures
from tests.quality.test_across import NEGATIVES


def test_popularity_is_held_against_the_configured_law(tmp_path):
    samples = {**NEGATIVES["samples"]["negatives"], "mix": {"popular": 0.6, "uniform": 0.4}}
    chosen = {**NEGATIVES, "samples": {"negatives": samples}}
    data_set = built(tmp_path, clean_log(per_day=150), **chosen)
    found = measures(data_set)["Q24"]
    lists, negatives = frame(data_set, "lists"), frame(data_set, "negatives")
    logged = lists[["dt", "item_id", "click"]].explode(["item_id", "click"])
    for day, until in zip(days(data_set), (["2026-11-01"], None), strict=True):
        known = logged if until is None else logged[logged.dt.isin(until)]
        clicks = known.groupby("item_id").click.sum().astype(int)
        bucket = np.floor(np.log2(clicks.rank(method="min", ascending=False))).astype(int)
        drawn = negatives[negatives.dt == day.dt]
        popular, uniform = (
            drawn.item_id[drawn.source == source].map(bucket) for source in ("popular", "uniform")
        )
        laws = {a: ((clicks + 1) ** a).groupby(bucket).sum() for a in (0.75, 1, 0)}
        assert found["days"][day.dt]["n"] == len(popular)
        told = judged_day(day, {})["Q24"].reading
        assert {"": told.value, **told.parts} == pytest.approx(
            {
                "": from_law(popular, laws[0.75]),
                "alpha_1": from_law(popular, laws[1]),
                "uniform": from_law(popular, laws[0]),
                "uniform_source": from_law(uniform, laws[0]),
            },
            rel=1e-6,
            abs=1e-9,
        )
    assert found["verdict"] == "ok"


def from_law(buckets, law):
    q, law = buckets.value_counts(normalize=True), law / law.sum()
    return sum(q[b] * math.log(q[b] / law[b]) for b in q.index)


def test_negatives_of_another_law_are_told(tmp_path):
    # Uniform draws under a law that asks for the most popular: the state read with its masses.
    data_set = built(tmp_path, clean_log(per_day=150), **NEGATIVES)
    (day, *_) = days(data_set)
    state = day.states["Q24"].segments[""]
    state["drawn.popular"] = [n * 10 for n in state["items"]]
    steep = [0.5**b for b in range(len(state["items"]))]
    state["mass.law"] = [int(2**40 * s) for s in steep]
    found = judged_day(day, {})["Q24"]
    assert found.verdict == "fail"


@pytest.mark.parametrize(("num", "verdict"), [(16, "ok"), (400, "warn")])
def test_few_draws_off_the_law_are_chance(tmp_path, num, verdict):
    (day, *_) = days(built(tmp_path, clean_log(), **NEGATIVES))
    state = day.states["Q24"].segments[""]
    rest = [0] * (len(state["items"]) - 2)
    state["drawn.popular"] = [num * 3 // 4, num // 4, *rest]
    state["mass.law"] = [2**39, 2**39, *rest]
    found = judged_day(day, {})["Q24"]
    assert found.reading.value == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert found.verdict == verdict
