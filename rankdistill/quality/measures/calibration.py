"""Whether a score that is a probability says how often users respond (Q09)."""

from __future__ import annotations

import math

import numpy as np

from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import (
    Gate,
    Histogram,
    Measure,
    Reading,
    Seen,
    Shared,
    binned,
    share,
    whole,
)
from rankdistill.quality.scored import shown, without_exposure, without_response, without_score
from rankdistill.quality.state import FIXED_POINT, Adder, State, fixed

BINS = 20  # of equal width, 0 to 1


def _watch(seen: Seen, add: Adder, facts: Facts) -> None:
    found = shown(seen)
    rows = np.flatnonzero(~np.isnan(found.score))
    request, score = found.request[rows], found.score[rows]
    is_outside = (score < 0) | (score > 1)
    add.count("outside", request[is_outside])

    score = np.clip(score, 0, 1)
    code = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    add.bins("rows", request, code, BINS)
    add.weigh("score", request, code, BINS, fixed(score))
    add.weigh("responses", request, code, BINS, found.responded[rows].astype(np.int64))
    add.weigh("variance", request, code, BINS, fixed(score * (1 - score)))


def _read(state: State, shared: Shared) -> Reading:
    rows, responses = binned(state, "rows", BINS), binned(state, "responses", BINS)
    score = [n / FIXED_POINT for n in binned(state, "score", BINS)]
    variance = [n / FIXED_POINT for n in binned(state, "variance", BINS)]
    num, responded = sum(rows), sum(responses)
    error = share(sum(abs(s - y) for s, y in zip(score, responses, strict=True)), num)
    bias = share(sum(score), responded)
    chance = {}
    if error is not None:
        chance[""] = _chance_of_error(variance, num)
    if bias is not None:
        chance["bias"] = 3 * bias * math.sqrt(sum(variance)) / responded
    return Reading(
        error,
        num,
        {
            "bias": bias,
            "outside": share(whole(state, "outside"), num),
        },
        _pictures(rows, score, responses),
        "" if responded or not num else "no exposed candidate was responded to",
        chance,
    )


def _chance_of_error(variance: list[float], num: int) -> float:
    """What the error of exact probabilities does not pass but once in a thousand times: the sum
    of the bins' |normal|, its mean and three standard deviations."""
    mean = sum(math.sqrt(2 / math.pi * v) for v in variance)
    deviation = math.sqrt((1 - 2 / math.pi) * sum(variance))
    return (mean + 3 * deviation) / num


def _pictures(rows: list[int], score: list[float], responses: list[int]) -> dict[str, Histogram]:
    labels = [f"{b / BINS:.2f}-{(b + 1) / BINS:.2f}" for b in range(BINS)]
    filled = [b for b in range(BINS) if rows[b]]
    names = [labels[b] for b in filled]
    return {
        "rows": Histogram(names, [rows[b] for b in filled], "exposed candidates"),
        "mean_score": Histogram(names, [score[b] / rows[b] for b in filled], "probability"),
        "responded": Histogram(names, [responses[b] / rows[b] for b in filled], "share"),
    }


def _applies(facts: Facts) -> str | None:
    why = without_score(facts) or without_exposure(facts) or without_response(facts)
    if why is None and facts.score_kind != "probability":
        return "the score is no probability (log.score_kind)"
    return why


MEASURES = (
    Measure(
        id="Q09",
        name="Calibration",
        value="distance of score and response rate of exposed candidates, mean over 20 bins",
        watch={"lists": _watch},
        read=_read,
        applies=_applies,
        gates={"": Gate(0.02, 0.10), "bias": Gate((0.9, 1.1), (0.7, 1.4), "outside")},
        unit="number",
    ),
)
