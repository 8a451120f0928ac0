"""Q09 and Q10 against plain Python."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import product
from statistics import mean

import pytest

from tests.builders import ranked_list
from tests.quality.lists_kit import FACTS, awkward, changed, clean, members, told

PROBABILITY = replace(FACTS, score_kind="probability")


def shown(rows: list[dict]) -> list[dict]:
    return [r for r in rows if r.get("stage") == "exposed"]


def auc(candidates: list[dict], value) -> tuple[int, float] | None:
    """(responses, AUC) of a request with both labels."""
    known = [c for c in candidates if value(c) is not None]
    hits = [value(c) for c in known if c["click"] == 1.0]
    others = [value(c) for c in known if c["click"] != 1.0]
    if not hits or not others:
        return None
    won = mean((a > b) + (a == b) / 2 for a, b in product(hits, others))
    return len(hits), won


def gauc(rows: list[dict], value) -> tuple[float, int]:
    """(the mean AUC weighted by responses, requests)."""
    found = [auc(shown(m), value) for m in members(rows).values()]
    held = [f for f in found if f]
    return sum(m * a for m, a in held) / sum(m for m, _ in held), len(held)


@pytest.mark.parametrize("log", [lambda: awkward(120), lambda: awkward(90, 8), lambda: clean(50)])
def test_gauc_is_the_mean_auc_weighted_by_responses(log) -> None:
    rows = log()
    found = told("Q10", rows).reading
    of_score, num = gauc(rows, lambda c: c["teacher_score"])
    of_place, _ = gauc(rows, lambda c: None if c["position"] is None else -c["position"])
    assert found.n == num
    assert found.value == pytest.approx(of_score, abs=1e-5)
    assert found.parts["place"] == pytest.approx(of_place, abs=1e-5)
    assert found.parts["gain"] == pytest.approx(of_score - of_place, abs=2e-5)


def test_chance_is_three_standard_errors_over_requests() -> None:
    rows = clean(300)
    held = [auc(shown(m), lambda c: c["teacher_score"]) for m in members(rows).values()]
    both = [f for f in held if f]
    total = sum(m for m, _ in both)
    middle = sum(m * a for m, a in both) / total
    error = math.sqrt(sum((m * (a - middle)) ** 2 for m, a in both)) / total
    assert told("Q10", rows).reading.chance[""] == pytest.approx(3 * error, rel=1e-4)


def test_a_blind_teacher_of_a_few_requests_is_not_judged_but_of_many_is() -> None:
    def blind(rows: list[dict]) -> list[dict]:
        draw = random.Random(4)
        return changed(rows, lambda r: {"teacher_score": draw.random()})

    assert told("Q10", blind(clean(8))).verdict == "ok"
    assert told("Q10", blind(clean(1000, 8))).verdict == "warn"


def test_a_teacher_that_prefers_what_is_not_clicked_fails() -> None:
    rows = changed(clean(100), lambda r: {"teacher_score": -r["teacher_score"]})
    assert told("Q10", rows).verdict == "fail"


def test_one_request_without_both_labels_says_nothing() -> None:
    rows = ranked_list(1, [0.2, 0.1], stage=["exposed"] * 2, click=[1.0, 1.0], position=[1, 2])
    found = told("Q10", rows)
    assert (found.reading.value, found.verdict) == (None, "not applicable")
    assert found.why == "no request has responses and exposed candidates without"


def calibration(rows: list[dict]) -> tuple[float, float, int]:
    """(expected calibration error over 20 bins, sum of scores / responses, rows)."""
    known = [(r["teacher_score"], r["click"] == 1.0) for r in shown(rows)]
    known = [(min(max(s, 0.0), 1.0), y) for s, y in known if s is not None]
    bins: dict[int, list] = {}
    for s, y in known:
        bins.setdefault(min(int(s * 20), 19), []).append((s, y))
    error = sum(
        len(b) / len(known) * abs(mean(s for s, _ in b) - mean(y for _, y in b))
        for b in bins.values()
    )
    return error, sum(s for s, _ in known) / sum(y for _, y in known), len(known)


@pytest.mark.parametrize("log", [lambda: clean(80), lambda: clean(5, seed=9), lambda: awkward(120)])
def test_calibration_compares_scores_with_responses_bin_by_bin(log) -> None:
    rows = log()
    found = told("Q09", rows, PROBABILITY).reading
    error, bias, num = calibration(rows)
    assert found.n == num
    assert found.value == pytest.approx(error, abs=1e-5)
    assert found.parts["bias"] == pytest.approx(bias, abs=1e-4)
    assert sum(found.histograms["rows"].counts) == num


def test_exact_probabilities_pass_but_once_in_a_thousand_times() -> None:
    found = [told("Q09", clean(20, 8, seed=s), PROBABILITY).reading for s in range(100)]
    assert not any(reading.value > reading.chance[""] for reading in found)


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "ok"), (0.8, "warn"), (0.5, "fail")])
def test_bias_is_the_sum_of_scores_to_responses(factor: float, verdict: str) -> None:
    rows = changed(clean(1500, 8), lambda r: {"teacher_score": factor * r["teacher_score"]})
    assert told("Q09", rows, PROBABILITY).verdicts["bias"] == verdict


def test_scores_beyond_a_probability_are_counted() -> None:
    rows = ranked_list(1, [1.5, 0.5, -0.5, 0.2], stage=["exposed"] * 4, click=[1.0, 0.0, 0.0, 0.0])
    assert told("Q09", rows, PROBABILITY).reading.parts["outside"] == 0.5
