"""What the samples are made of: grades of lists (Q13), sources of negatives (Q18)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

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
    add.named(_state(seen), seen.drawn.request, seen.table.column("source"))


def _state(seen: Seen) -> str:
    """Rows of a day whose catalogue is empty, as the log's first, are kept apart."""
    catalogue = seen.side.catalogue
    return "source" if catalogue is None or len(catalogue) else "early"


def _read_sources(state: State, shared: Shared) -> Reading:
    held = by_name(state, "source")
    num = sum(held.values())
    targets, short = (_of_sources(shared.counts, what) for what in ("target", "short"))
    wanted = sum(targets.values())
    if not num or not wanted:
        note = "the catalogue of the log's first day is empty" if "early" in state else ""
        return Reading(None, num, note=note)
    off = max(abs(held.get(k, 0) / num - n / wanted) for k, n in targets.items())
    filled = {k: 1 - short[k] / n for k, n in targets.items() if n}
    return Reading(
        off,
        num,
        {
            "least_fill": min(filled.values()),
            **{f"share.{k}": held.get(k, 0) / num for k in targets},
        },
        {"source": Histogram(list(targets), [held.get(k, 0) for k in targets])},
    )


def _of_sources(counts: Mapping[str, int], what: str) -> dict[str, int]:
    """source -> how many were its target, or short of it, on days that are judged."""
    head = f"negatives.{what}."
    return {
        name.removeprefix(head): number - counts.get(name.replace(head, f"{_EARLY}.{what}."), 0)
        for name, number in counts.items()
        if name.startswith(head)
    }


_EARLY = "negatives.early"


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
