"""Whether the teacher's score knows what users respond to, and better than the place does (Q10)."""

from __future__ import annotations

import math

import numpy as np

from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import Gate, Histogram, Measure, Reading, Seen, Shared, whole
from rankdistill.quality.scored import (
    Shown,
    shown,
    without_exposure,
    without_response,
    without_score,
)
from rankdistill.quality.state import FIXED_POINT, Adder, State, fixed


def _watch(seen: Seen, add: Adder, facts: Facts) -> None:
    found, num = shown(seen), seen.lists.num_requests
    _add(add, "score", found, -found.score, ~np.isnan(found.score), num)
    _add(add, "place", found, found.position, found.position > 0, num)


def _add(
    add: Adder, name: str, shown: Shown, value: np.ndarray, is_known: np.ndarray, num: int
) -> None:
    """m_r AUC_r of the requests with both labels, and what its error is made of; the lowest
    value is the best."""
    rows = np.flatnonzero(is_known)
    hits, others, won = won_pairs(shown.request[rows], value[rows], shown.responded[rows], num)
    has_both = (hits > 0) & (others > 0)
    hits = np.where(has_both, hits, 0)
    of_request = won / np.maximum(2 * others, 1)  # m_r AUC_r; `won` counts halves
    add.total(f"{name}.requests", has_both)
    add.total(f"{name}.responses", hits)
    add.total(f"{name}.won", fixed(of_request))
    add.total(f"{name}.square", hits * hits)
    add.total(f"{name}.won_m", fixed(of_request * hits))
    add.total(f"{name}.won_square", fixed(of_request**2))


def won_pairs(
    request: np.ndarray, value: np.ndarray, hit: np.ndarray, num: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(hits, others, 2 x pairs in which the hit's value is the lower one + ties) by request;
    `won` is 0 where there are no hits or no others. request: ascending."""
    hits = np.bincount(request[hit], minlength=num)
    others = np.bincount(request[~hit], minlength=num)
    has_both = (hits > 0) & (others > 0)
    rows = np.flatnonzero(has_both[request])
    request, value, hit = request[rows], value[rows], hit[rows]
    order = _order(request, value)
    value, hit = value[order], hit[order]
    differs = (request[1:] != request[:-1]) | (value[1:] != value[:-1])
    group = np.cumsum(np.append(0, differs))[: len(rows)]  # of equal values
    before = np.concatenate([[0], np.cumsum(np.bincount(group[~hit], minlength=len(rows)))])
    up_to = np.cumsum(np.where(has_both, others, 0))[request]  # those of this request, too
    of_hit = 2 * (up_to - before[group + 1]) + before[group + 1] - before[group]
    won = np.bincount(request[hit], weights=of_hit[hit], minlength=num)
    return hits, others, won.astype(np.int64)


def _order(request: np.ndarray, value: np.ndarray) -> np.ndarray | slice:
    """Places by request, then value; most logs hold the shown ones by score already."""
    if not ((value[1:] < value[:-1]) & (request[1:] == request[:-1])).any():
        return slice(None)
    if np.issubdtype(value.dtype, np.integer):
        return np.argsort((request << 32) | value)
    return np.lexsort((value, request))


def _gauc(state: State, name: str) -> tuple[float | None, float]:
    """(sum m AUC / sum m, three times its standard error over requests)."""
    num = whole(state, f"{name}.responses")
    if not num:
        return None, 0.0
    mean = whole(state, f"{name}.won") / FIXED_POINT / num
    won_m, won_square = (
        whole(state, f"{name}.{of}") / FIXED_POINT for of in ("won_m", "won_square")
    )
    spread = won_square - 2 * mean * won_m + mean**2 * whole(state, f"{name}.square")
    # No spread is known of one request: it may be anything.
    few = 0.5 / math.sqrt(whole(state, f"{name}.requests"))
    return mean, 3 * max(math.sqrt(max(spread, 0.0)) / num, few / 3)


def _read(state: State, shared: Shared) -> Reading:
    score, chance = _gauc(state, "score")
    place, chance_of_place = _gauc(state, "place")
    gain = None if score is None or place is None else score - place
    found = {"score": score, "place shown": place}
    shown = {name: value for name, value in found.items() if value is not None}
    return Reading(
        score,
        whole(state, "score.requests"),
        {"place": place, "gain": gain},
        {"gauc": Histogram(list(shown), list(shown.values()), "GAUC")},
        "" if score is not None else "no request has responses and exposed candidates without",
        {"": chance, "gain": math.hypot(chance, chance_of_place)},
    )


def _applies(facts: Facts) -> str | None:
    return without_score(facts) or without_exposure(facts) or without_response(facts)


MEASURES = (
    Measure(
        id="Q10",
        name="Teacher signal",
        value="how often a response scores above its neighbours without one (GAUC)",
        watch={"lists": _watch},
        read=_read,
        applies=_applies,
        gates={"": Gate(0.60, 0.52, "below"), "gain": Gate(None, None, "below")},
        unit="number",
    ),
)
