"""How evenly items are drawn: repetition (Q23), popularity (Q24), inequality (Q25), coverage
(Q26). Their states are of one day, from `quality.across`; they do not add up over days."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from rankdistill.quality.across import popularity_count
from rankdistill.quality.across_sums import NUM_BUCKETS, SERIES
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import (
    Gate,
    Histogram,
    Measure,
    Reading,
    Shared,
    binned,
    no_negatives,
    share,
    whole,
)
from rankdistill.quality.measures.drift import noise
from rankdistill.quality.state import State

PAST_DAYS = 7
# Of the draws of the most drawn item, so many are chance; and so many times the even share of
# an item are no fault where there are few items.
CHANCE, EVEN = 10, 5


def _read_repetition(state: State, shared: Shared) -> Reading:
    num, top = whole(state, "rows"), whole(state, "top")
    if not num:
        return Reading(None, 0)
    known = whole(shared.rest.get("Q26", {}), "items.logged")
    even = EVEN / known if known else 0.0
    parts = {
        "distinct": whole(state, "items") / num,
        "excess": max(0.0, (top - CHANCE) / num - even),
    }
    return Reading(top / num, num, parts)


def divergence(drawn: Sequence[int], law: Sequence[int]) -> float | None:
    """KL(drawn || law) of counts by bucket, in nats; None of nothing drawn. A bucket without
    mass under the law counts as if half a unit of it were there."""
    num, mass = sum(drawn), sum(law)
    if not num or not mass:
        return None
    terms = ((d / num, max(m, 0.5) / mass) for d, m in zip(drawn, law, strict=True) if d)
    return math.fsum(p * math.log(p / q) for p, q in terms)


def _read_popularity(state: State, shared: Shared) -> Reading:
    popular = binned(state, "drawn.popular", NUM_BUCKETS)
    laws = {name: binned(state, f"mass.{name}", NUM_BUCKETS) for name in ("law", *_OTHER_LAWS)}
    parts = {name: divergence(popular, laws[name]) for name in _OTHER_LAWS}
    uniform = binned(state, "drawn.uniform", NUM_BUCKETS)
    if sum(uniform):
        parts["uniform_source"] = divergence(uniform, laws["uniform"])
    held = max((b + 1 for b, n in enumerate(binned(state, "items", NUM_BUCKETS)) if n), default=0)
    labels = [_ranks(bucket) for bucket in range(held)]
    num, mass = sum(popular), laws["law"]
    wanted = [round(num * m / max(sum(mass), 1), 3) for m in mass]
    return Reading(
        divergence(popular, mass),
        num,
        parts,
        {
            "drawn": Histogram(labels, popular[:held], "negatives"),
            "wanted": Histogram(labels, wanted[:held], "negatives"),
        },
        # Of n draws that follow the law, 2 n times the divergence is chi-square of B - 1.
        chance={"": noise(num, num, sum(m > 0 for m in mass)) / 4} if num else {},
    )


_OTHER_LAWS = ("alpha_1", "uniform")


def _ranks(bucket: int) -> str:
    first, last = 2**bucket, 2 ** (bucket + 1) - 1
    return f"{first:,}" if first == last else f"{first:,}-{last:,}"


def gini(items: int, rows: int, moment: int) -> float | None:
    """sum (2k - m - 1) x_(k) / (m sum x): 0 where all are alike, towards 1 where one has all."""
    return share(moment, items * rows)


def _read_inequality(state: State, shared: Shared) -> Reading:
    of = {n: [whole(state, f"{n}.{w}") for w in ("items", "rows", "moment")] for n in SERIES}
    found = {name: gini(*numbers) for name, numbers in of.items()}
    logged, positive, drawn = (found[name] for name in SERIES)
    parts = {"logged": logged, "positive": positive, "negatives": drawn}
    for name, value in (("positive", positive), ("negatives", drawn)):
        parts[f"{name}_delta"] = None if value is None or logged is None else abs(value - logged)
        usual = _usual("Q25", name, shared)
        parts[f"{name}_shift"] = None if None in (value, usual) else abs(value - usual)  # type: ignore[operator]
    return Reading(parts["positive_delta"], of["logged"][1], parts)


def _read_coverage(state: State, shared: Shared) -> Reading:
    items, users = whole(state, "items.logged"), whole(state, "users.logged")
    found = {
        "items": share(whole(state, "items.sampled"), items) if "items.sampled" in state else None,
        "negatives": share(whole(state, "items.drawn"), items) if items else None,
        "users": share(whole(state, "users.sampled"), users),
    }
    parts: dict[str, float | None] = {k: v for k, v in found.items() if v is not None}
    for name in ("items", "users"):
        if name in parts:
            usual, now = _usual("Q26", name, shared), parts[name]
            parts[f"{name}_drop"] = max(0.0, 1 - now / usual) if usual and now is not None else None
    if found["items"] is not None:
        return Reading(found["items"], items, parts)
    value, what = found["users"], "users of the log that samples of its lists hold"
    return Reading(value, users if value is not None else 0, parts, what=what)


def _usual(measure: str, part: str, shared: Shared) -> float | None:
    """The median of a part over the last days; None before there are enough of them."""
    readings = (day.readings.get(measure) for day in shared.past)
    before = [value for r in readings if r is not None and (value := r.parts.get(part)) is not None]
    return statistics.median(before[-PAST_DAYS:]) if len(before) >= PAST_DAYS else None


def _without_popular(facts: Facts) -> str | None:
    why = "no negatives are drawn by popularity"
    return no_negatives(facts) or (None if popularity_count(facts) else why)


def _without_counts(facts: Facts) -> str | None:
    return None if facts.catalogue is not None else "items are not counted (catalogue)"


def _without_samples(facts: Facts) -> str | None:
    if not facts.kinds:
        return "no samples are built"
    return None if facts.has_user else _without_counts(facts)


EXCHANGE = "items of negatives to their counts"
MEASURES = (
    Measure(
        id="Q23",
        name="Negative repetition",
        value="share of all negatives that one item has",
        read=_read_repetition,
        applies=no_negatives,
        gates={"": Gate(None, None), "excess": Gate(0.01, 0.10)},
        by_segment=False,
        by_day=True,
        exchange=EXCHANGE,
    ),
    Measure(
        id="Q24",
        name="Popularity of negatives",
        value="divergence of the popular negatives from the configured law, in nats",
        read=_read_popularity,
        applies=_without_popular,
        gates={"": Gate(0.10, 0.50)},
        by_segment=False,
        by_day=True,
        exchange=EXCHANGE,
        unit="number",
    ),
    Measure(
        id="Q25",
        name="Inequality of items",
        value="distance of the positives' Gini coefficient from that of the log",
        read=_read_inequality,
        applies=_without_counts,
        # A teacher's top and a chosen mix differ from the log by design: told, not gated.
        gates={
            "positive_delta": Gate(None, None),
            "negatives_delta": Gate(None, None),
            "positive_shift": Gate(0.05, 0.15),
            "negatives_shift": Gate(0.05, 0.15),
        },
        by_segment=False,
        by_day=True,
        exchange=EXCHANGE,
        unit="number",
    ),
    Measure(
        id="Q26",
        name="Coverage",
        value="items of the log that samples of its lists hold",
        read=_read_coverage,
        applies=_without_samples,
        gates={
            "": Gate(None, None, "below"),
            "items_drop": Gate(0.05, 0.20),
            "users_drop": Gate(0.05, 0.20),
        },
        by_segment=False,
        by_day=True,
        exchange="users to their day",
    ),
)
