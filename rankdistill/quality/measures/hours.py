"""When the requests came: hours without any (Q31), and responses too young to be believed (Q29)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from datetime import timedelta

import numpy as np
import pyarrow as pa

from rankdistill.lists.batch import not_null
from rankdistill.log.days import duration
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import (
    Gate,
    Histogram,
    Measure,
    Reading,
    Seen,
    Shared,
    binned,
    by_name,
    share,
)
from rankdistill.quality.state import Adder, State

HOURS = 24
# Against so many days before; the volume from as many on, for a weekday is no outage.
PAST_DAYS = 7
# An hour that used to have fewer requests may be empty by chance: e^-12 of so many.
LEAST_USUAL = 12
_HOUR = 3_600_000_000
# Responses are counted by a part of the window, so that the edge of what is open is sharp.
TICKS_OF_WINDOW, LEAST_TICK = 24, 60_000_000


def micros(times: pa.Array) -> np.ndarray:
    """Times as microseconds since 1970, int64; null is 0."""
    return times.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)


def _watch_hours(seen: Seen, add: Adder, facts: Facts) -> None:
    times = seen.lists.requests.column("request_time")
    known = np.flatnonzero(not_null(times))
    add.bins("hour", known, micros(times)[known] // _HOUR % HOURS, HOURS)


def _read_hours(state: State, shared: Shared) -> Reading:
    held = binned(state, "hour", HOURS)
    num = sum(held)
    if not num:
        return Reading(None, 0)
    labels = [f"{hour:02d}:00" for hour in range(HOURS)]
    before = [day.readings["Q31"] for day in shared.past if "Q31" in day.readings]
    before = [reading for reading in before if reading.n][-PAST_DAYS:]
    volume, chance = _volume(num, [reading.n for reading in before])
    usual = [sum(r.histograms["hour"].counts[h] for r in before) for h in range(HOURS)]
    lost = sum(
        not n and u >= LEAST_USUAL * len(before) for n, u in zip(held, usual, strict=True) if before
    )
    return Reading(
        held.count(0),
        num,
        {"volume": volume, "lost_hours": lost if before else None},
        {"hour": Histogram(labels, held, "requests")},
        chance={"volume": chance},
    )


def _volume(num: int, before: list[int]) -> tuple[float | None, float]:
    """(|log2(requests / median of the days before)|, three standard errors of it)."""
    if len(before) < PAST_DAYS:
        return None, 0.0
    usual = statistics.median(before)
    error = math.log2(math.e) * math.sqrt(1 / num + 1 / usual)
    return abs(math.log2(num / usual)), 3 * error


def _tick(facts: Facts) -> int:
    """Microseconds by which responses are counted."""
    window = duration(facts.measures["attribution_window"]) // timedelta(microseconds=1)
    return max(window // TICKS_OF_WINDOW, LEAST_TICK)


def _watch_responses(seen: Seen, add: Adder, facts: Facts) -> None:
    lists = seen.lists
    tick = micros(lists.requests.column("request_time")) // _tick(facts)
    request = lists.request[np.flatnonzero(lists.responded)]
    add.named("requests", np.arange(len(tick)), pa.array(tick))
    add.named("responses", request, pa.array(tick[request]))


def cut_off(states: Iterable[State], facts: Facts) -> int | None:
    """When the days that were built together ended, in microseconds since 1970: with their last
    request. None where no state of Q29 says so."""
    ticks = [int(tick) for state in states for tick in by_name(state, "requests")]
    return (max(ticks) + 1) * _tick(facts) if ticks else None


def _read_maturity(state: State, shared: Shared) -> Reading:
    held, facts = by_name(state, "responses"), shared.facts
    num = sum(held.values())
    if not num or facts.cut_off is None:
        return Reading(None, num, note="" if num else "no response was logged")
    tick = _tick(facts)
    window = duration(facts.measures["attribution_window"]) // timedelta(microseconds=1)
    # A tick is closed once the window of its last moment is over.
    closed = (facts.cut_off - window) // tick
    young = sum(n for start, n in held.items() if int(start) >= closed)
    return Reading(share(young, num), num)


def _without_time(facts: Facts) -> str | None:
    return None if facts.has_time else "no request_time is mapped"


def _without_window(facts: Facts) -> str | None:
    if not facts.measures.get("attribution_window"):
        return "quality.attribution_window is not set"
    if not facts.feedback:
        return "no feedback is mapped"
    return _without_time(facts)


MEASURES = (
    Measure(
        id="Q29",
        name="Label maturity",
        value="responses whose attribution window was still open when the log ended",
        watch={"lists": _watch_responses},
        read=_read_maturity,
        applies=_without_window,
        gates={"": Gate(0.01, 0.10)},
        by_segment=False,
        by_day=True,
    ),
    Measure(
        id="Q31",
        name="Volume and gaps",
        value="hours of the day without a request",
        watch={"lists": _watch_hours},
        read=_read_hours,
        applies=_without_time,
        gates={
            "": Gate(None, None),
            "volume": Gate(0.3, 1.0),
            "lost_hours": Gate(None, 0.0),
        },
        by_segment=False,  # held against whole days
        by_day=True,
        unit="count",
    ),
)
