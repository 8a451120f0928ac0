"""Whether the scores of a request differ at all (Q11), and the mean score by rank."""

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
from rankdistill.quality.scale import RANK_LABELS, RANKS, rank_bins
from rankdistill.quality.scaled import SIZE, scaled, unscaled
from rankdistill.quality.scored import Scored, scored, segment_means, show_requests, without_score
from rankdistill.quality.state import Adder, State

COLLAPSED = 1e-6  # of the scores' standard deviation
LEAST, MOST = -128, 128  # powers of two of a request's deviation
BINS = MOST - LEAST + 2  # the first one is exactly 0


def _watch(seen: Seen, add: Adder, facts: Facts) -> None:
    found = scored(seen)
    held = found.lengths > 1
    requests, size = np.flatnonzero(held), found.lengths[held]
    below = found.below_best
    with np.errstate(over="ignore", invalid="ignore"):
        shift = segment_means(below, found, held)
        variance = np.nan_to_num(segment_means(below * below, found, held) - shift**2)
    variance = np.maximum(variance, 0)
    mean = found.score[found.offsets[:-1][held]] - below[found.offsets[:-1][held]] + shift

    power = np.clip(np.frexp(np.sqrt(variance))[1], LEAST, MOST).astype(np.int64)
    add.bins("power", requests, np.where(variance == 0, 0, power - LEAST + 1), BINS)
    add.count("scored", np.repeat(requests, size))
    for name, values in (
        ("within", size * variance),
        ("sum", size * mean),
        ("square", size * mean**2),
    ):
        add.weigh(name, requests, *_weights(values))
    show_requests(
        add,
        seen.lists,
        requests[variance == 0],
        lambda r: f"all {found.lengths[r]:,} scores are equal",
    )
    _watch_ranks(found, add)


def _weights(values: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    group, weight = scaled(values)
    return group, SIZE, weight


def _watch_ranks(found: Scored, add: Adder) -> None:
    """The sum of the scores of each bin of ranks; a bin's candidates stand together."""
    if not len(found.score):
        return
    code = rank_bins(found.rank)
    is_first = np.append(True, code[1:] != code[:-1])
    is_first[found.borders + 1] = True
    starts = np.flatnonzero(is_first)
    request = np.searchsorted(found.offsets, starts, side="right") - 1
    group, weight = scaled(np.add.reduceat(found.score, starts))
    code, size = code[starts], len(RANKS)
    add.weigh("score_at", request, code * SIZE + group, size * SIZE, weight)
    held = np.diff(np.append(starts, len(found.score)))
    add.weigh("num_at", request, code, size, held)


def _read(state: State, shared: Shared) -> Reading:
    held = binned(state, "power", BINS)
    num = sum(held)
    deviation = _deviation(state)
    last = 0  # bins up to here are collapsed
    if deviation:
        last = int(np.clip(math.floor(math.log2(COLLAPSED * deviation)), LEAST - 1, MOST))
        last += 1 - LEAST
    return Reading(
        share(sum(held[: last + 1]), num),
        num,
        {"deviation": deviation if num else None, "equal": share(held[0], num)},
        {"deviation": _powers(held), "score_by_rank": _by_rank(state)},
    )


def _deviation(state: State) -> float:
    """The standard deviation of all scores (of requests with two or more)."""
    num = whole(state, "scored")
    if not num:
        return 0.0
    within, total, square = (
        unscaled(binned(state, name, SIZE)) / num for name in ("within", "sum", "square")
    )
    return math.sqrt(max(within + square - total**2, 0.0))


def _powers(held: list[int]) -> Histogram:
    filled = [b for b in range(1, BINS) if held[b]]
    bins = range(filled[0], filled[-1] + 1) if filled else range(0)
    labels = [f"{2.0 ** (b + LEAST - 2):.3g}-{2.0 ** (b + LEAST - 1):.3g}" for b in bins]
    return Histogram(["0", *labels], [held[0], *(held[b] for b in bins)], "requests")


def _by_rank(state: State) -> Histogram:
    """The mean score of each bin of ranks that has any."""
    size = len(RANKS)
    num, sums = binned(state, "num_at", size), binned(state, "score_at", size * SIZE)
    # Scored candidates that the teacher gave no rank stand last in a list.
    filled = [b for b in [*range(1, size), 0] if num[b]]
    means = [unscaled(sums[b * SIZE : (b + 1) * SIZE]) / num[b] for b in filled]
    return Histogram([RANK_LABELS[b] for b in filled], means, "mean score")


MEASURES = (
    Measure(
        id="Q11",
        name="Score collapse",
        value="requests whose scores are all but equal",
        watch={"lists": _watch},
        read=_read,
        applies=without_score,
        gates={"": Gate(0.02, 0.10)},
    ),
)
