"""A day's measures against those of the days before (Q32)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from statistics import median

from rankdistill.quality.measure import Gate, Measure, PastDay, Reading, Shared
from rankdistill.quality.state import State

LEAST_POINTS = 7
# A change below a quarter of the median and two points of a share is none, however regular the
# days were.
LEAST_CHANGE, LEAST_STEP = 0.25, 0.02
# Of measures that are themselves comparisons with the past.
COMPARISONS = ("Q30", "Q31", "Q32")


def robust_z(value: float, past: Sequence[float]) -> float:
    """|value - median| / (1.4826 MAD); 0 for a change too small to matter.

    A spread below a quarter of the least change that matters counts as that quarter.
    """
    middle = median(past)
    change = abs(value - middle)
    least = max(LEAST_CHANGE * abs(middle), LEAST_STEP)
    if change <= least:
        return 0.0
    spread = 1.4826 * median(abs(x - middle) for x in past)
    return change / max(spread, least / 4)


def same_weekday(dt: str, past: Sequence[PastDay]) -> Sequence[PastDay]:
    """The past days of the weekday of `dt`; none where days are no dates."""
    wanted = _weekday(dt)
    return [day for day in past if wanted is not None and _weekday(day.dt) == wanted]


def anomalies(
    dt: str, today: Mapping[str, Reading], past: Sequence[PastDay]
) -> dict[str, float] | None:
    """measure -> robust z of its value; None where too few days are known."""
    days = same_weekday(dt, past)
    if len(days) < LEAST_POINTS:
        return None
    found = {}
    for name, reading in today.items():
        known = [day.readings[name].value for day in days if name in day.readings]
        values = [value for value in known if value is not None]
        if name not in COMPARISONS and reading.value is not None and len(values) >= LEAST_POINTS:
            found[name] = robust_z(reading.value, values)
    return found


def _read(state: State, shared: Shared) -> Reading:
    found = anomalies(shared.dt, shared.today, shared.past)
    if not found:
        return Reading(None, 0, note=f"fewer than {LEAST_POINTS} earlier days of this weekday")
    odd = {name: z for name, z in sorted(found.items()) if z}
    note = ", ".join(f"{name} z {z:.1f}" for name, z in odd.items())
    return Reading(max(found.values()), len(found), dict(odd), note=note)


def _weekday(dt: str) -> int | None:
    try:
        return date.fromisoformat(dt).weekday()
    except ValueError:
        return None


MEASURES = (
    Measure(
        id="Q32",
        name="Anomaly in the history",
        value="largest robust z of a measure against the same weekdays before",
        read=_read,
        gates={"": Gate(4.0, 8.0)},
        by_segment=False,
        by_day=True,
        looks_at_others=True,
        unit="number",
    ),
)
