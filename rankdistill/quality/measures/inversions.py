"""Whether the teacher's order is that of its scores (Q08)."""

from __future__ import annotations

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
from rankdistill.quality.pairs_within import num_pairs, rising_pairs, sorted_down, tied_pairs
from rankdistill.quality.scored import Scored, scored, show_requests, without_score
from rankdistill.quality.state import FIXED_POINT, Adder, State, fixed

BINS = 101  # of the share, in hundredths; the first bin is exactly none
FLIPPED = 0.65  # beyond it the score more likely falls from best to worst the other way


def _watch(seen: Seen, add: Adder, facts: Facts) -> None:
    ranked = scored(seen).ranked
    held = ranked.lengths > 0
    first, last = ranked.offsets[:-1][held], ranked.offsets[1:][held] - 1
    # Where nothing rises, no pair is discordant, and one is untied if first and last are.
    discordant, untied = np.zeros((2, len(held)), dtype=np.int64)
    untied[held] = (ranked.score[first] != ranked.score[last]) & (
        ranked.rank[first] != ranked.rank[last]
    )
    if len(ranked.rising):
        discordant[ranked.rising], untied[ranked.rising] = _counted(ranked.take(ranked.rising))

    requests = np.flatnonzero(untied)
    inverted = discordant / np.maximum(untied, 1)
    add.total("inverted", fixed(inverted))
    percent = -(-100 * discordant[requests] // untied[requests])  # rounded up
    add.bins("share", requests, percent, BINS)
    show_requests(
        add,
        seen.lists,
        np.flatnonzero(discordant),
        lambda r: f"{100 * inverted[r]:.1f} % of its pairs are inverted",
    )


def _counted(ranked: Scored) -> tuple[np.ndarray, np.ndarray]:
    """(pairs in which the later one scores higher, pairs tied neither by score nor by rank)."""
    score, offsets = ranked.score, ranked.offsets
    starts = np.append(True, ranked.rank[1:] != ranked.rank[:-1])
    starts[offsets[:-1]] = True
    groups = np.append(np.flatnonzero(starts), len(score))  # of equal ranks
    untied = num_pairs(ranked.lengths) - tied_pairs(ranked.falling, offsets, 0.0)
    if len(groups) <= len(score):
        score = sorted_down(score, groups)  # what is tied by rank is no inversion
        tied = num_pairs(np.diff(groups)) - tied_pairs(score, groups, 0.0)
        at = np.searchsorted(groups, offsets)
        running = np.concatenate([[0], np.cumsum(tied)])[at]
        untied = untied - np.diff(running)
    return rising_pairs(score, offsets), untied


def _read(state: State, shared: Shared) -> Reading:
    held = binned(state, "share", BINS)
    num = sum(held)
    mean = share(whole(state, "inverted") / FIXED_POINT, num)
    note = _expected(shared.facts) or ""
    if mean is not None and mean > FLIPPED:
        note = "sign flipped? Most pairs stand the other way round: is a low score the best?"
    return Reading(
        mean,
        num,
        {"p90": _quantile(held, 0.9), "requests": share(num - held[0], num)},
        {"inversions": Histogram(_labels(), _tens(held), "requests")},
        note,
    )


def _quantile(held: list[int], at: float) -> float | None:
    """The upper edge of the bin in which the share stands that so many requests do not pass."""
    num = sum(held)
    if not num:
        return None
    running = np.cumsum(held)
    return int(np.searchsorted(running, at * num)) / (BINS - 1)


def _labels() -> list[str]:
    return ["none", *(f"{low}-{low + 10} %" for low in range(0, 100, 10))]


def _tens(held: list[int]) -> list[int]:
    return [held[0], *(sum(held[low : low + 10]) for low in range(1, BINS, 10))]


def _applies(facts: Facts) -> str | None:
    if facts.teacher_order == "score":
        return "the teacher's order is made from the scores"
    return without_score(facts)


def _expected(facts: Facts) -> str | None:
    if facts.teacher_order in ("rerank", "position"):
        return f"expected: the teacher's order is that of the {facts.teacher_order}, not the score"
    return None


MEASURES = (
    Measure(
        id="Q08",
        name="Score-rank inversion",
        value="pairs of a request that the score orders the other way, mean over requests",
        watch={"lists": _watch},
        read=_read,
        applies=_applies,
        gates={"": Gate(0.10, 0.35), "p90": Gate(None, None)},
        expected=_expected,
    ),
)
