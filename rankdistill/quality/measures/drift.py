"""How far a day's distributions moved from those of the days before (Q30).

Population stability index and Jensen-Shannon distance over bins with fixed edges, so that any
two days compare. Shapes: B bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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
)
from rankdistill.quality.scale import RANKS
from rankdistill.quality.scored import scored
from rankdistill.quality.state import Adder, State

# Magnitudes of any scale: 4 bins an octave from 2^-10 to 2^20, of both signs, and one around 0.
_LEAST, _OCTAVES, _PER_OCTAVE = -10, 30, 4
_HALF = _OCTAVES * _PER_OCTAVE
NUM_SCORES = 2 * _HALF + 1
# Of a float64's bits: all but the sign; those behind two of the mantissa; the first bin.
_MAGNITUDE, _BEHIND = 2**63 - 1, 50
_FIRST = (1023 + _LEAST) * _PER_OCTAVE - 1
BLOCK = 1 << 15
NO_SEGMENT = np.zeros(0, dtype=np.int64)  # the days before are known as a whole
PLACES = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200, 500)  # positions; the last is open
MAX_BINS = 20  # neighbours are merged until no more are left: PSI of many thin bins is noise
TOO_FAR = 3.09  # 0.999 of the standard normal


def magnitude_bin(values: np.ndarray) -> np.ndarray:
    """The bin (0 .. NUM_SCORES - 1) of finite floats [T], int64.

    The edges do not depend on the data: a bin is the exponent and the first two bits of the
    mantissa, as they stand in the float.
    """
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    found = np.empty(len(bits), dtype=np.int64)
    for first in range(0, len(bits), BLOCK):  # stays in cache
        some = bits[first : first + BLOCK]
        step = ((some & _MAGNITUDE) >> _BEHIND) - _FIRST
        np.clip(step, 0, _HALF, out=step)
        minus = some >> 63  # -1 below 0
        found[first : first + BLOCK] = ((step ^ minus) - minus) + _HALF
    return found


def _watch_lists(seen: Seen, add: Adder, facts: Facts) -> None:
    lists = seen.lists
    if lists.has_score:
        add.bins("score", NO_SEGMENT, magnitude_bin(scored(seen).score), NUM_SCORES)
    position = lists.candidates.column("position").drop_null()
    place = np.searchsorted(PLACES, position.to_numpy(zero_copy_only=False), side="right")
    if len(place):
        add.bins("position", NO_SEGMENT, place[place > 0] - 1, len(PLACES))
    if facts.has_time:
        times = lists.requests.column("request_time")
        hour = times.cast("timestamp[us]").cast("int64").fill_null(0).to_numpy()
        hour = hour // 3_600_000_000 % 24
        add.bins("hour", np.arange(lists.num_requests), hour, 24)


def _watch_weights(seen: Seen, add: Adder, facts: Facts) -> None:
    if facts.kinds["pointwise"].get("debias"):
        return  # such weights follow the catalogue, which grows while a log is young
    drawn = seen.drawn
    add.bins("weight", drawn.request, magnitude_bin(drawn.weight), NUM_SCORES)


def psi(one: Sequence[int], other: Sequence[int]) -> float:
    """Population stability index of two histograms over equal bins, half a count added to each.

    sum (a - b) ln(a / b) of the shares a, b (Siddiqi 2006).
    """
    a, b = (np.asarray(counts, dtype=np.float64) + 0.5 for counts in (one, other))
    a, b = a / a.sum(), b / b.sum()
    return float(((a - b) * np.log(a / b)).sum())


def js_distance(one: Sequence[int], other: Sequence[int]) -> float:
    """Square root of the Jensen-Shannon divergence, base 2; in [0, 1]."""
    a, b = (np.asarray(counts, dtype=np.float64) for counts in (one, other))
    a, b = a / a.sum(), b / b.sum()
    middle = (a + b) / 2

    def divergence(p: np.ndarray) -> float:
        held = p > 0
        return float((p[held] * np.log2(p[held] / middle[held])).sum())

    return math.sqrt(max((divergence(a) + divergence(b)) / 2, 0.0))


def noise(n: int, m: int, num_bins: int) -> float:
    """What PSI exceeds once in a thousand comparisons of n and m rows without any drift:
    (1/n + 1/m) chi2(0.999; B - 1), by Wilson and Hilferty's approximation."""
    k = max(num_bins - 1, 1)
    spread = 2 / (9 * k)
    return (1 / n + 1 / m) * k * (1 - spread + TOO_FAR * math.sqrt(spread)) ** 3


def merged(one: Sequence[int], other: Sequence[int]) -> tuple[list[int], list[int]]:
    """Both without bins that are empty in both, neighbours merged into at most MAX_BINS of about
    as many rows each."""
    both = np.array([one, other], dtype=np.int64)
    both = both[:, both.sum(axis=0) > 0]
    before = np.concatenate([[0], np.cumsum(both[1])])
    place = before[:-1] * MAX_BINS // max(before[-1], 1)
    starts = np.flatnonzero(np.diff(np.minimum(place, MAX_BINS - 1), prepend=-1))
    a, b = np.add.reduceat(both, starts, axis=1).tolist()
    return a, b


def compared(now: Sequence[int], before: Sequence[int]) -> dict[str, float] | None:
    """psi, js and the least psi that means anything; None where one side has no row."""
    n, m = sum(now), sum(before)
    if not n or not m:
        return None
    a, b = merged(now, before)
    return {"psi": psi(a, b), "js": js_distance(a, b), "noise": noise(n, m, len(a))}


BY_RANK = "grade_by_rank"  # by bins of ranks, then of grades
# What is compared: name -> (measure that has the state, name in it).
SOURCES: dict[str, tuple[str, str]] = {
    "score": ("Q30", "score"),
    "length": ("Q06", "length"),
    "position": ("Q30", "position"),
    "hour": ("Q30", "hour"),
    "weight": ("Q30", "weight"),
    "grade": ("Q13", BY_RANK),
    "pairs": ("Q14", "pairs"),
}


def drifts(
    now: Callable[[str], State], before: Callable[[str], State]
) -> dict[str, dict[str, float]]:
    """name of a distribution -> `compared`, of those that both sides have."""
    found = {}
    for name, (measure, key) in SOURCES.items():
        a, b = (_bins(side(measure), key) for side in (now, before))
        # Bins of another configuration do not compare.
        if len(a) == len(b) and (told := compared(a, b)) is not None:
            found[name] = told
    return found


def _bins(state: State, key: str) -> list[int]:
    """The bins of a state; of those by rank, the sums over ranks. Empty where there are none."""
    held = state.get(key)
    if not isinstance(held, list):
        return []
    return np.reshape(held, (len(RANKS), -1)).sum(axis=0).tolist() if key == BY_RANK else held


def _read(state: State, shared: Shared) -> Reading:
    if not shared.baseline:
        return Reading(None, 0, note="no earlier day to compare with")
    rest = {**shared.rest, "Q30": state}
    found = drifts(lambda m: rest.get(m, {}), lambda m: shared.baseline.get(m, {}))
    if not found:
        return Reading(None, 0, note="no distribution that both sides have")
    # Below its noise a psi says nothing; a gate at 0.10 shall not hear it.
    heard = {k: v["psi"] if v["psi"] > v["noise"] else 0.0 for k, v in found.items()}
    parts: dict[str, float | None] = {f"psi.{k}": v["psi"] for k, v in found.items()}
    parts["js"] = max(v["js"] if heard[k] else 0.0 for k, v in found.items())
    held = binned(state, "hour", 24)
    hours = Histogram([f"{hour:02d}" for hour in range(24)], held, "requests")
    num = sum(binned(state, "score", NUM_SCORES)) or sum(held)
    return Reading(max(heard.values()), num, parts, {"hour": hours} if sum(held) else {})


MEASURES = (
    Measure(
        id="Q30",
        name="Drift",
        value="largest population stability index against the days before",
        watch={"lists": _watch_lists, "pointwise": _watch_weights},
        read=_read,
        gates={"": Gate(0.10, 0.25), "js": Gate(0.1, 0.2)},
        by_segment=False,
        by_day=True,
        unit="number",
    ),
)
