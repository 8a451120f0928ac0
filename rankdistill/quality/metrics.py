"""The content of metrics.json: every measure of a data set read and judged, day by day and whole.

A pure function of the table `metrics`: no times, hosts or build numbers, so that equal data and
config give equal text. `report`, `check`, `diff` and the card are made from it alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rankdistill.contract import arrow_schema
from rankdistill.errors import InputError
from rankdistill.quality.facts import Facts
from rankdistill.quality.judged import SEVERITY, Judged, judged, rounded
from rankdistill.quality.measure import Gate, Measure, PastDay, Reading, Shared
from rankdistill.quality.measures import MEASURES
from rankdistill.quality.state import ALL, Remembered, State, States, added

SCHEMA_VERSION = 1
TABLE = "metrics"
SCHEMA = arrow_schema(TABLE, {})
PAST_DAYS = 70  # ten of each weekday
BASELINE_DAYS = 7
COUNTS, DOOR, FACTS = "counts", "door", "facts"  # rows of the table that are no measure's


@dataclass(frozen=True)
class Day:
    """What the table `metrics` holds of one dt."""

    dt: str
    facts: Facts
    counts: Mapping[str, int] = field(default_factory=dict)
    door: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[str, Remembered] = field(default_factory=dict)

    def rows(self) -> list[dict[str, str]]:
        """The rows of the table."""
        kept = {
            FACTS: self.facts.as_json(),
            COUNTS: json.dumps(dict(self.counts), sort_keys=True),
            DOOR: json.dumps(dict(self.door), sort_keys=True),
            **{name: found.as_json() for name, found in self.states.items()},
        }
        return [{"measure": m, "state": kept[m], "dt": self.dt} for m in sorted(kept)]

    @classmethod
    def of_rows(cls, dt: str, rows: Mapping[str, str]) -> Day:
        """measure -> state, of one dt. InputError E0601 where they are not what we write."""
        try:
            return cls(
                dt,
                Facts.of_json(rows[FACTS]),
                json.loads(rows[COUNTS]),
                json.loads(rows[DOOR]),
                {m: Remembered.of_json(rows[m]) for m in rows if m in MEASURES},
            )
        except (KeyError, TypeError, ValueError) as fault:
            raise InputError(
                "E0601",
                f"the metrics of dt={dt} cannot be read",
                found=f"{type(fault).__name__}: {fault}",
                help="build the day again (rankdistill build --force --dt ...)",
            ) from fault

    def shared(self, past: Sequence[PastDay], baseline: Mapping[str, State]) -> Shared:
        rest = {name: found.segments.get(ALL, {}) for name, found in self.states.items()}
        return Shared(
            self.facts, self.counts, self.door, past, baseline, rest, today={}, dt=self.dt
        )


def together(days: Sequence[Day]) -> Day:
    """All days as one: states, counts and fates added up, facts of the newest."""
    states = States()
    counts: Counter[str] = Counter()
    door: Counter[str] = Counter()
    for day in days:
        counts.update(day.counts)
        door.update(day.door)
        for name, found in day.states.items():
            states.of("", name).add(found)
    return Day("", days[-1].facts, counts, door, dict(states.day("")))


def judged_day(
    day: Day,
    gates: Mapping[str, Gate | None],
    past: Sequence[PastDay] = (),
    baseline: Mapping[str, State] | None = None,
) -> dict[str, Judged]:
    """Every measure of a day by id; those that look at the others of the day come last."""
    shared, found = day.shared(past, baseline or {}), {}
    for measure in sorted(MEASURES.values(), key=lambda m: m.looks_at_others):
        own = day.states.get(measure.id, Remembered())
        found[measure.id] = judged(measure, own, shared, gates)
        shared = replace(shared, today={k: j.reading for k, j in found.items()})
    return found


def judged_days(
    days: Sequence[Day], gates: Mapping[str, Gate | None], past: Sequence[Day] = ()
) -> dict[str, dict[str, Judged]]:
    """dt -> measure -> what it says of the day, each day compared with those before it.

    past: days before these; `days` ascending.
    """
    before = sorted(past, key=lambda day: day.dt)[-PAST_DAYS:]
    every, told = [*before, *days], [_told_before(day) for day in before]
    found: dict[str, dict[str, Judged]] = {}
    for place, day in enumerate(days, start=len(before)):
        baseline = _summed(every[max(place - BASELINE_DAYS, 0) : place])
        of_day = found[day.dt] = judged_day(day, gates, told[-PAST_DAYS:], baseline)
        told.append(PastDay(day.dt, {name: j.reading for name, j in of_day.items()}))
    return found


def _told_before(day: Day) -> PastDay:
    """What a later day is held against: a day's own states read, and compared with nothing."""
    shared = day.shared((), {})
    readings = {
        measure.id: measure.read(shared.rest.get(measure.id, {}), shared)
        for measure in MEASURES.values()
        if not measure.looks_at_others and measure.applies(day.facts) is None
    }
    return PastDay(day.dt, readings)


def _summed(days: Sequence[Day]) -> dict[str, State]:
    """The states of some days added up, segments left out."""
    found: dict[str, State] = {}
    for day in days:
        for name, remembered in day.states.items():
            own = found.setdefault(name, {})
            for key, number in remembered.segments.get(ALL, {}).items():
                own[key] = added(own[key], number) if key in own else number
    return found


def metrics(
    days: Sequence[Day], gates: Mapping[str, Gate | None], past: Sequence[Day] = ()
) -> dict[str, Any]:
    """The document of some days; past: days before these.

    A measure's value is that of all days together, or of the worst day where it is one of days
    (`Measure.by_day`). Its verdict is the worst of the whole and of the days, so that a bad day
    is not averaged away. A day is compared with the BASELINE_DAYS before it.
    """
    assert days, "metrics of no day"
    days = sorted(days, key=lambda day: day.dt)
    by_day = judged_days(days, gates, past)
    whole = days[0] if len(days) == 1 else together(days)
    rows = [
        _measure(
            _overall(measure, whole, by_day, gates), {d: by_day[d][measure.id] for d in by_day}
        )
        for measure in MEASURES.values()
    ]
    held = Counter(row["verdict"] for row in rows)
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": max((row["verdict"] for row in rows), key=lambda v: SEVERITY[v]),
        "num_verdicts": {verdict: held[verdict] for verdict in SEVERITY},
        "days": [day.dt for day in days],
        "facts": json.loads(whole.facts.as_json()),
        "configs": len({replace(day.facts, cut_off=None).as_json() for day in days}),
        "counts": dict(sorted(whole.counts.items())),
        "door": dict(sorted(whole.door.items())),
        "measures": rows,
    }


def _overall(
    measure: Measure,
    whole: Day,
    by_day: Mapping[str, Mapping[str, Judged]],
    gates: Mapping[str, Gate | None],
) -> Judged:
    """All days together; the worst of them for a measure of days."""
    found = [day[measure.id] for day in by_day.values()]
    if len(found) == 1:
        return found[0]
    if measure.by_day:
        gate = measure.gates.get("")
        sign = -1 if gate is not None and gate.worse == "below" else 1
        return max(found, key=lambda j: (SEVERITY[j.verdict], sign * abs(j.reading.value or 0)))
    own = whole.states.get(measure.id, Remembered())
    return judged(measure, own, whole.shared((), {}), gates)


def _measure(found: Judged, by_day: Mapping[str, Judged]) -> dict[str, Any]:
    worst = max([found, *by_day.values()], key=lambda j: SEVERITY[j.verdict])
    return {
        "id": found.measure.id,
        "name": found.measure.name,
        "what": found.reading.what or found.measure.value,
        "unit": found.measure.unit,
        **_reading(found.reading),
        "verdict": worst.verdict,
        "verdicts": dict(found.verdicts),
        "threshold": {
            part: {"warn": gate.warn, "fail": gate.fail, "worse": gate.worse}
            for part, gate in found.gates.items()
        },
        "why": found.why,
        "segments": [
            {"segment": name, **_reading(reading), "verdict": verdict}
            for name, (reading, verdict) in found.segments.items()
        ],
        "days": {
            dt: {
                "value": rounded(j.reading.value),
                "n": j.reading.n,
                "chance": rounded(j.reading.chance.get("", 0.0)),
                "verdict": j.verdict,
                "beyond": j.beyond(),
            }
            for dt, j in by_day.items()
        },
        "examples": [
            {"request_id": request, "item_id": item, "note": note}
            for _, request, item, note in found.examples
        ],
    }


def _reading(reading: Reading) -> dict[str, Any]:
    return {
        "value": rounded(reading.value),
        "n": reading.n,
        "parts": {name: rounded(value) for name, value in reading.parts.items()},
        "chance": {name: rounded(value) for name, value in reading.chance.items()},
        "histogram": {
            name: {"labels": list(h.labels), "counts": list(h.counts), "unit": h.unit}
            for name, h in reading.histograms.items()
        },
        "note": reading.note,
    }


def as_text(document: Mapping[str, Any]) -> str:
    """metrics.json: equal documents have equal text."""
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
