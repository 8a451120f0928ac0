"""How long the ranked lists are (Q06)."""

from __future__ import annotations

from itertools import pairwise

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
from rankdistill.quality.state import Adder, State

# Candidates of a request; the last bin is open.
EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 10_000, 100_000)


def _watch(seen: Seen, add: Adder, facts: Facts) -> None:
    lengths = seen.lists.lengths
    request = np.arange(len(lengths))
    add.bins("length", request, np.searchsorted(EDGES, lengths, side="right") - 1, len(EDGES))
    add.total("candidates", lengths)


def _read(state: State, shared: Shared) -> Reading:
    held = binned(state, "length", len(EDGES))
    num = sum(held)
    over = shared.door.get("rejected.over_max_candidates", 0)
    rows_in = shared.door.get("rows_in", 0)
    return Reading(
        share(sum(held[:2]), num),
        num,
        {"over_cap": share(over, rows_in), "mean": share(whole(state, "candidates"), num)},
        {"length": Histogram(_labels(), held, "requests")},
    )


def _labels() -> list[str]:
    ranges = [f"{a:,}" if b == a + 1 else f"{a:,}-{b - 1:,}" for a, b in pairwise(EDGES)]
    return [*ranges, f"{EDGES[-1]:,}+"]


def _no_order(facts: Facts) -> str | None:
    if {"pairwise", "listwise"} & {*facts.kinds}:
        return None
    return "no pairs and no lists are built: a request of one candidate is as good as any"


MEASURES = (
    Measure(
        id="Q06",
        name="Request length",
        value="requests with fewer than two candidates",
        watch={"lists": _watch},
        read=_read,
        expected=_no_order,
        gates={"": Gate(0.05, 0.30), "over_cap": Gate(0.001, 0.05)},
    ),
)
