"""Thresholds proposed from a data set's own clean days: what `rankdistill baseline` prints.

The fixed thresholds are starting values; after a week a log has values of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rankdistill.errors import InputError
from rankdistill.quality.judged import Judged
from rankdistill.quality.measure import Gate
from rankdistill.quality.measures import MEASURES
from rankdistill.quality.options import bounds_of

LEAST_DAYS = 7
WARN, FAIL = 4, 8  # robust spreads from the median, as Q32
LEAST = 0.25  # of the median: days as regular as a clock shall not make a hair trigger


@dataclass(frozen=True)
class Proposal:
    """One gate. name: Q07 or Q06.over_cap; num_days: that have a value."""

    name: str
    num_days: int
    median: float
    now: Gate
    proposed: Gate


def propose(
    days: Sequence[Mapping[str, Judged]],
) -> list[Proposal]:
    """Gates about the clean days (none failing), at least LEAST_DAYS of them.

    Left out: gates whose bound is 0 by nature, those that the newest day was not judged by
    (switched off, or what is bad elsewhere is expected of such a log), and measures without
    enough values. InputError E0603 where too few days are clean.
    """
    clean = [day for day in days if all(j.verdict != "fail" for j in day.values())]
    if len(clean) < LEAST_DAYS:
        raise InputError(
            "E0603",
            f"{len(clean)} of {len(days)} days are clean, and a baseline takes {LEAST_DAYS}",
            help="rankdistill check says what fails; build more days",
        )
    found = []
    for measure in MEASURES.values():
        for part, gate in clean[-1][measure.id].gates.items():
            values = [v for day in clean if (v := _value(day[measure.id], part)) is not None]
            edges = [edge for edge in (gate.warn, gate.fail) if edge is not None]
            if len(values) >= LEAST_DAYS and edges and 0 not in edges:
                name = f"{measure.id}.{part}" if part else measure.id
                proposed = about(values, gate, bounds_of(name))
                if _can_fire(proposed, bounds_of(name)):
                    found.append(Proposal(name, len(values), median(values), gate, proposed))
    return found


def about(
    values: Sequence[float], gate: Gate, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Gate:
    """A gate of the same direction WARN and FAIL robust spreads beyond the median, within the
    bounds of the value."""
    middle = median(values)
    spread = 1.4826 * median(abs(value - middle) for value in values)
    steps = {n: max(n * spread, LEAST * n / WARN * abs(middle), n * 1e-4) for n in (WARN, FAIL)}
    if gate.worse == "outside":
        spans = {n: (_round(middle - step), _round(middle + step)) for n, step in steps.items()}
        return Gate(spans[WARN], spans[FAIL], "outside")
    sign = 1 if gate.worse == "above" else -1
    low, high = bounds
    edges = {n: min(max(_round(middle + sign * s), low), high) for n, s in steps.items()}
    return Gate(
        None if gate.warn is None else edges[WARN],
        None if gate.fail is None else edges[FAIL],
        gate.worse,
    )


def _can_fire(gate: Gate, bounds: tuple[float, float]) -> bool:
    """Whether a value within its bounds lies beyond the gate: one at its highest never does."""
    if gate.worse != "above":
        return True
    return any(isinstance(edge, float) and edge < bounds[1] for edge in (gate.warn, gate.fail))


def as_yaml(proposals: Sequence[Proposal]) -> str:
    """The block for a config file, with what each gate is about."""
    lines = ["quality:", "  gates:"]
    for p in proposals:
        edges = ", ".join(
            f"{word}: {_text(edge)}"
            for word, edge in (("warn", p.proposed.warn), ("fail", p.proposed.fail))
            if edge is not None
        )
        lines.append(f"    {p.name}: {{{edges}}}  # median {p.median:.4g} of {p.num_days} days")
    return "\n".join(lines)


def as_rows(proposals: Sequence[Proposal]) -> list[dict[str, Any]]:
    """A plain row per gate."""
    return [
        {
            "gate": p.name,
            "days": p.num_days,
            "median": p.median,
            "warn": p.now.warn,
            "fail": p.now.fail,
            "proposed_warn": p.proposed.warn,
            "proposed_fail": p.proposed.fail,
        }
        for p in proposals
    ]


def _value(found: Judged, part: str) -> float | None:
    return found.reading.parts.get(part) if part else found.reading.value


def _round(value: float) -> float:
    """To three digits: a proposal is not more exact than that."""
    if value == 0 or not math.isfinite(value):
        return value
    return float(f"{value:.3g}")


def _text(edge: float | tuple[float, float]) -> str:
    return f"[{edge[0]}, {edge[1]}]" if isinstance(edge, tuple) else str(edge)
