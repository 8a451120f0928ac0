"""Scores that the teacher cannot tell apart (Q07)."""

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
from rankdistill.quality.pairs_within import num_pairs, tied_pairs
from rankdistill.quality.scored import scored, show_requests, without_score
from rankdistill.quality.state import Adder, State

# Shares of a request's pairs that are tied; the first bin is none, the last one all.
EDGES = (0.01, 0.05, 0.25, 1.0)
LABELS = ("none", "below 1%", "1-5%", "5-25%", "25% and more", "all")


def _watch(seen: Seen, add: Adder, facts: Facts) -> None:
    found = scored(seen)
    pairs = num_pairs(found.lengths)
    tied = tied_pairs(found.falling, found.offsets, facts.measures["tie_eps"])
    add.total("tied", tied)
    add.total("pairs", pairs)

    held = np.flatnonzero(pairs)
    of_request = tied[held] / pairs[held]
    code = np.searchsorted(EDGES, of_request, side="right") + 1
    add.bins("share", held, np.where(of_request == 0, 0, code), len(LABELS))
    show_requests(
        add,
        seen.lists,
        held[of_request >= EDGES[2]],
        lambda r: f"{tied[r]:,} of {pairs[r]:,} pairs are tied",
    )


def _read(state: State, shared: Shared) -> Reading:
    pairs, held = whole(state, "pairs"), binned(state, "share", len(LABELS))
    return Reading(
        share(whole(state, "tied"), pairs),
        pairs,
        {"requests": share(sum(held[1:]), sum(held)), "requests_all": share(held[-1], sum(held))},
        {"ties": Histogram(LABELS, held, "requests")},
    )


MEASURES = (
    Measure(
        id="Q07",
        name="Teacher ties",
        value="pairs of scored candidates of one request that the score does not tell apart",
        watch={"lists": _watch},
        read=_read,
        applies=without_score,
        gates={"": Gate(0.05, 0.25)},
    ),
)
