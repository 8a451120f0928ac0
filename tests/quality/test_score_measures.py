"""Q07, Q08, Q11 and Q12 against plain Python, on awkward lists and on real ranked lists."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import mean, pstdev

import pytest

from rankdistill.quality.measure import Gate
from tests.builders import ranked_list
from tests.quality.lists_kit import FACTS, SETTINGS, awkward, changed, clean, members, told

RUN = Path(os.environ.get("RANKDISTILL_REAL_DATA", "")) / "cedr-trec-runs/wt/test.wt12.run"
real = pytest.mark.skipif(
    not RUN.is_file(), reason="RANKDISTILL_REAL_DATA is unset or holds no cedr-trec-runs"
)


def run_rows() -> list[dict]:
    """A TREC run: 9,628 documents of 50 queries, with ties and negative scores."""
    fields = [line.split() for line in RUN.read_text(encoding="utf-8").splitlines()]
    return [
        {"request_id": f[0], "item_id": f[2], "rank": int(f[3]), "teacher_score": float(f[4])}
        for f in fields
    ]


LOGS = [
    *(pytest.param(lambda s=s: awkward(seed=s), id=f"awkward {s}") for s in range(4)),
    pytest.param(lambda: clean(30), id="clean"),
    pytest.param(run_rows, id="wt12", marks=real),
]


def scores(rows: list[dict]) -> list[list[float]]:
    """The scores of each request."""
    found = [[c.get("teacher_score") for c in m] for m in members(rows).values()]
    return [[s for s in request if s is not None] for request in found]


def num_tied(values: Iterable[float], eps: float) -> int:
    return sum(abs(a - b) <= eps for a, b in combinations(values, 2))


def with_options(**options: float) -> dict:
    return {"measures": {**SETTINGS, **options}}


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("eps", [0.0, 0.4])
def test_ties_are_a_share_of_all_pairs(log, eps: float) -> None:
    rows = log()
    found = told("Q07", rows, replace(FACTS, **with_options(tie_eps=eps))).reading
    pairs = sum(math.comb(len(s), 2) for s in scores(rows))
    tied = [num_tied(s, eps) for s in scores(rows)]
    assert (found.value, found.n) == (sum(tied) / pairs, pairs)
    held = [n for n, s in zip(tied, scores(rows), strict=True) if len(s) > 1]
    assert found.histograms["ties"].counts[0] == held.count(0)
    assert sum(found.histograms["ties"].counts) == len(held)


def inverted(candidates: list[dict]) -> float | None:
    """The share of untied pairs whose score orders them the other way."""
    ranked = [
        (c["rank"], c["teacher_score"])
        for c in candidates
        if c.get("rank") and c["teacher_score"] is not None
    ]
    signs = [(r1 - r2) * (s1 - s2) for (r1, s1), (r2, s2) in combinations(ranked, 2)]
    untied = [sign for sign in signs if sign]
    return sum(sign > 0 for sign in untied) / len(untied) if untied else None


@pytest.mark.parametrize("log", LOGS)
def test_inversions_are_the_mean_share_of_untied_pairs(log) -> None:
    rows = log()
    shares = [s for s in map(inverted, members(rows).values()) if s is not None]
    found = told("Q08", rows).reading
    assert found.n == len(shares)
    assert found.value == pytest.approx(mean(shares), abs=1e-6)
    ninth = sorted(shares)[math.ceil(0.9 * len(shares)) - 1]
    assert found.parts["p90"] == pytest.approx(math.ceil(round(100 * ninth, 9)) / 100)


def flipped(rows: list[dict]) -> list[dict]:
    return changed(rows, lambda r: {"teacher_score": -r["teacher_score"]})


def test_scores_with_the_wrong_sign_are_called_so() -> None:
    found = told("Q08", flipped(clean(10)))
    assert (found.reading.value, found.verdict) == (1.0, "fail")
    assert "sign flipped?" in found.reading.note


@pytest.mark.parametrize("order", ["rerank", "position"])
def test_inversions_are_expected_of_an_order_that_is_not_the_scores(order: str) -> None:
    facts = replace(FACTS, teacher_order=order)
    assert told("Q08", flipped(clean(10)), facts).verdict == "ok"
    asked = told("Q08", flipped(clean(10)), facts, {"Q08": Gate(0.1, 0.3)})
    assert asked.verdict == "fail"


@pytest.mark.parametrize("log", LOGS)
def test_collapsed_requests_are_those_of_next_to_no_deviation(log) -> None:
    rows = log()
    held = [s for s in scores(rows) if len(s) > 1]
    deviation = pstdev([x for s in held for x in s])
    bound = 2.0 ** math.floor(math.log2(1e-6 * deviation))
    found = told("Q11", rows).reading
    assert found.value == pytest.approx(mean(pstdev(s) < bound for s in held))
    assert found.parts["deviation"] == pytest.approx(deviation, rel=1e-6)
    assert found.parts["equal"] == mean(len(set(s)) == 1 for s in held)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_collapse_knows_no_scale(scale: float) -> None:
    rows = ranked_list(1, [3 * scale, 2 * scale, scale])
    rows += ranked_list(2, [2 * scale, 2 * scale * (1 - 1e-9), 2 * scale * (1 - 2e-9)])
    assert told("Q11", rows).reading.value == 0.5


def test_a_log_of_one_score_is_all_collapsed() -> None:
    found = told("Q11", [*ranked_list(1, [7.0] * 3), *ranked_list(2, [7.0] * 4)])
    assert (found.reading.value, found.verdict) == (1.0, "fail")


@pytest.mark.parametrize("log", LOGS)
def test_the_picture_shows_the_mean_score_of_each_rank(log) -> None:
    rows = log()
    ranked = [r for r in rows if r.get("rank") and r["teacher_score"] is not None]
    picture = told("Q11", rows).reading.histograms["score_by_rank"]
    shown = dict(zip(picture.labels, picture.counts, strict=True))
    for label, ranks in {"1": [1], "3": [3], "6-10": range(6, 11)}.items():
        held = [r["teacher_score"] for r in ranked if r["rank"] in ranks]
        assert shown.get(label) == (pytest.approx(mean(held)) if held else None)


def entropy(values: list[float], temperature: float) -> float:
    exps = [math.exp((s - max(values)) / temperature) for s in values]
    shares = [e / sum(exps) for e in exps]
    return -sum(q * math.log(q) for q in shares if q) / math.log(len(values))


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("temperature", [0.02, 1.0, 30.0])
def test_soft_labels_are_flat_or_peaked_by_their_entropy(log, temperature: float) -> None:
    rows = log()
    held = [entropy(s, temperature) for s in scores(rows) if len(s) > 1]
    found = told("Q12", rows, replace(FACTS, **with_options(temperature=temperature))).reading
    flat, peaked = mean(h > 0.99 for h in held), mean(h < 0.01 for h in held)
    assert (found.parts["flat"], found.parts["peaked"]) == (flat, peaked)
    assert (found.value, found.n) == (max(flat, peaked), len(held))
    assert found.parts["mean"] == pytest.approx(mean(held), abs=1e-6)


def test_soft_labels_of_probabilities_are_those_of_their_logits() -> None:
    logits = [[2.0, 0.5, -1.0], [0.1, 0.0, -3.0, -3.5]]
    rows = [
        r for i, s in enumerate(logits) for r in ranked_list(i, [1 / (1 + math.exp(-x)) for x in s])
    ]
    found = told("Q12", rows, replace(FACTS, score_kind="probability")).reading
    assert found.parts["mean"] == pytest.approx(mean(entropy(s, 1.0) for s in logits), abs=1e-6)


def test_certain_probabilities_have_an_entropy() -> None:
    rows = ranked_list(1, [1.0, 1.0, 0.0])
    found = told("Q12", rows, replace(FACTS, score_kind="probability")).reading
    assert found.parts["mean"] == pytest.approx(math.log(2) / math.log(3), abs=1e-6)
