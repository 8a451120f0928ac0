"""Whether one teacher scored the day (Q34): its versions, and how far apart their scores lie."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

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
)
from rankdistill.quality.measures.drift import NUM_SCORES, compared, magnitude_bin
from rankdistill.quality.state import Adder, State

COLUMN = "teacher_version"
MAX_VERSIONS = 50
MANY = "(more)"


def _watch(seen: Seen, add: Adder, facts: Facts) -> None:
    lists = seen.lists
    versions = lists.requests.column(COLUMN).cast(pa.string()).fill_null("null")
    request = np.arange(lists.num_requests)
    encoded = versions.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    if len(names) > MAX_VERSIONS:  # a column of that kind names no teacher
        add.named("version", request, pa.repeat(MANY, lists.num_requests))
        return
    add.named("version", request, versions)
    if not facts.has_score:
        return
    code = encoded.indices.to_numpy(zero_copy_only=False)[lists.request]
    rows = np.flatnonzero(~np.isnan(lists.score))
    code, bins = code[rows], magnitude_bin(lists.score[rows])
    for place, name in enumerate(names):
        own = bins if len(names) == 1 else bins[code == place]
        add.bins(f"score.{name}", np.zeros(len(own), np.int64), own, NUM_SCORES)


def _read(state: State, shared: Shared) -> Reading:
    held = by_name(state, "version")
    num = sum(held.values())
    if not num:
        return Reading(None, 0)
    if MANY in held or len(held) > MAX_VERSIONS:
        return Reading(MAX_VERSIONS + 1, num, note=f"more than {MAX_VERSIONS} values")
    names = sorted(held, key=lambda name: (-held[name], name))
    first, *rest = (binned(state, f"score.{name}", NUM_SCORES) for name in names)
    found = [compared(other, first) for other in rest]
    apart = [own["psi"] for own in found if own is not None]
    return Reading(
        len(names),
        num,
        {"score_psi": max(apart, default=None)},
        {"version": Histogram(names, [held[name] for name in names], "requests")},
    )


def _without_version(facts: Facts) -> str | None:
    return None if COLUMN in facts.request_columns else f"no {COLUMN} is mapped"


MEASURES = (
    Measure(
        id="Q34",
        name="Mixed teachers",
        value="versions of the teacher that scored one day",
        watch={"lists": _watch},
        read=_read,
        applies=_without_version,
        gates={"": Gate(1.0, None)},
        by_segment=False,
        by_day=True,
        unit="count",
    ),
)
