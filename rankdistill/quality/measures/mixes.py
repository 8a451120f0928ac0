"""What the samples are made of: grades of lists (Q13), sources of negatives (Q18)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import (
    Gate,
    Histogram,
    Measure,
    Reading,
    Seen,
    Shared,
    by_name,
)
from rankdistill.quality.state import Adder, State


def entropy(counts: Sequence[float]) -> float:
    """- sum p ln p of counts, in nats."""
    total = sum(counts)
    return -sum(n / total * math.log(n / total) for n in counts if n)


def _watch_sources(seen: Seen, add: Adder, facts: Facts) -> None:
    assert seen.table is not None
    add.named("source", seen.drawn.request, seen.table.column("source"))


def _read_sources(state: State, shared: Shared) -> Reading:
    held = by_name(state, "source")
    num = sum(held.values())
    counts = shared.counts
    targets = {
        name.removeprefix("negatives.target."): number
        for name, number in counts.items()
        if name.startswith("negatives.target.")
    }
    wanted = sum(targets.values())
    if not num or not wanted:
        return Reading(None, num)
    off = max(abs(held.get(k, 0) / num - n / wanted) for k, n in targets.items())
    filled = {k: 1 - counts.get(f"negatives.short.{k}", 0) / n for k, n in targets.items() if n}
    return Reading(
        off,
        num,
        {
            "least_fill": min(filled.values()),
            **{f"share.{k}": held.get(k, 0) / num for k in targets},
        },
        {"source": Histogram(list(targets), [held.get(k, 0) for k in targets])},
    )


def _without_negatives(facts: Facts) -> str | None:
    return None if "negatives" in facts.kinds else "no negatives are built"


MEASURES = (
    Measure(
        id="Q18",
        name="Mix of sources",
        value="largest distance of a source's share from its target",
        watch={"negatives": _watch_sources},
        read=_read_sources,
        applies=_without_negatives,
        gates={"": Gate(0.02, 0.10), "least_fill": Gate(0.95, 0.80, "below")},
        by_segment=False,
    ),
)
