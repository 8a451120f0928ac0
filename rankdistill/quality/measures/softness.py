"""How soft the labels are that scores make (Q12)."""

from __future__ import annotations

import numpy as np

from rankdistill.lists.batch import logits, segment_sum
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
from rankdistill.quality.scored import Scored, scored, show_requests, without_score
from rankdistill.quality.state import FIXED_POINT, Adder, State, fixed

FLAT, PEAKED = 0.99, 0.01
BINS = 20  # of the entropy, 0 to 1
SHOWN = {"flat": "labels all but uniform", "peaked": "labels all but one candidate's"}
LEAST = 2.0**-40  # nearest to 0 and 1 that a probability counts as


def _watch(seen: Seen, add: Adder, facts: Facts) -> None:
    found = scored(seen)
    requests = np.flatnonzero(found.lengths > 1)
    entropy = entropies(found, facts.measures["temperature"], facts.score_kind)[requests]
    _mark(seen, add, "flat", requests[entropy > FLAT])
    _mark(seen, add, "peaked", requests[entropy < PEAKED])
    add.bins("entropy", requests, np.minimum((entropy * BINS).astype(np.int64), BINS - 1), BINS)
    total = np.zeros(len(found.lengths), dtype=np.int64)
    total[requests] = fixed(entropy)
    add.total("sum", total)


def _mark(seen: Seen, add: Adder, name: str, requests: np.ndarray) -> None:
    add.count(name, requests)
    show_requests(add, seen.lists, requests, lambda _: SHOWN[name])


def entropies(found: Scored, temperature: float, score_kind: str | None) -> np.ndarray:
    """-sum q ln q / ln n of q = softmax(logits / temperature) of each request, 0 to 1; 0 of
    fewer than two candidates; float64 [R]."""
    below = found.below_best
    if score_kind == "probability":
        logit = logits(found.score, LEAST)
        best = np.maximum.reduceat(logit, found.offsets[:-1][found.lengths > 0])
        below = logit - np.repeat(best, found.lengths[found.lengths > 0])
    below = below / temperature if temperature != 1 else below
    # Of exp(x), x <= 0: q = exp(x) / z, so that -sum q ln q = ln z - sum exp(x) x / z.
    share = np.exp(below)
    z = np.maximum(segment_sum(share, found.offsets), 1.0)
    with np.errstate(invalid="ignore"):
        share *= below
    mean = segment_sum(np.nan_to_num(share, copy=False), found.offsets) / z
    entropy = (np.log(z) - mean) / np.log(np.maximum(found.lengths, 2))
    return np.clip(entropy, 0, 1)


def _read(state: State, shared: Shared) -> Reading:
    held = binned(state, "entropy", BINS)
    num = sum(held)
    flat, peaked = (share(whole(state, name), num) for name in ("flat", "peaked"))
    worse = None if flat is None or peaked is None else max(flat, peaked)
    return Reading(
        worse,
        num,
        {
            "flat": flat,
            "peaked": peaked,
            "mean": share(whole(state, "sum") / FIXED_POINT, num),
        },
        {"entropy": Histogram(_labels(), held, "requests")},
        _note(flat, peaked),
    )


def _note(flat: float | None, peaked: float | None) -> str:
    if flat is None or peaked is None or flat == peaked == 0:
        return ""
    if flat >= peaked:
        return "mostly too flat: a lower temperature tells candidates apart"
    return "mostly too peaked: a higher temperature shows more than the best candidate"


def _labels() -> list[str]:
    return [f"{b / BINS:.2f}-{(b + 1) / BINS:.2f}" for b in range(BINS)]


MEASURES = (
    Measure(
        id="Q12",
        name="Soft-label entropy",
        value="requests whose soft labels are all but uniform, or all but one candidate's",
        watch={"lists": _watch},
        read=_read,
        applies=without_score,
        gates={"": Gate(0.30, 0.70)},
    ),
)
