"""Negatives that are known to be none: positives and responses (Q19), exposed items (Q33).

A second look at what the guards promise, by what was written: the ids of negatives against the
ids of the request's own candidates and of what the user had responded to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rankdistill.catalogue.history import MICRO, History, micros
from rankdistill.hashing import mix, xxh64
from rankdistill.lists.batch import spans
from rankdistill.log.days import duration
from rankdistill.quality.among import first_found, first_since
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import Gate, Measure, Reading, Seen, Shared, Watcher, share, whole
from rankdistill.quality.state import Adder, State
from rankdistill.samples.positives import PositiveOptions, positive_mask

KINDS = ("pointwise", "pairwise", "negatives")


def item_key(seen: Seen) -> np.ndarray:
    """xxh64 of the written item ids of negatives, uint64 [T]."""
    table = seen.table
    assert table is not None
    return seen.once("item_key", lambda: xxh64(table.column("item_id")))


def positives(seen: Seen, options: Mapping[str, Any]) -> np.ndarray:
    """bool [N]: the positives of a kind's rule."""
    rule = PositiveOptions(positives=options["positives"], top_k=options["top_k"])
    return seen.once("positives", lambda: positive_mask(seen.lists, rule)[0])


def among(seen: Seen, is_meant: np.ndarray) -> np.ndarray:
    """bool [T]: the written negative is one of the meant candidates [N] of its own request."""
    lists, at = seen.lists, np.flatnonzero(is_meant)
    held = xxh64(lists.candidates.column("item_id").take(at))
    return first_found(seen.drawn.request, item_key(seen), lists.request[at], held) >= 0


def first_response(seen: Seen, responses: History, since: np.ndarray) -> np.ndarray:
    """The entry of `responses` in which the user of each row of negatives first responded to its
    item at or after `since` (int64 [R], microseconds), -1 for none; int64 [T].

    A user's responses are looked at once, not once for each request: one user may have half a log.
    """
    start, length = responses.of_users(seen.lists)
    user = np.where(length, start, -1)  # where the entries of a user begin tells who it is
    users, at = np.unique(user, return_index=True)
    entry = spans(start[at], length[at])
    request = seen.drawn.request
    held = np.repeat(users, length[at]), responses.item[entry], responses.time_of(entry)
    found = first_since(user[request], item_key(seen), since[request], *held)
    return np.where(found < 0, -1, entry.take(found, mode="clip")) if len(entry) else found


def _negative_rows(kind: str, seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """(row, candidate) of the negatives of points and pairs."""
    if kind == "pairwise":
        return np.arange(len(seen.drawn.neg)), seen.drawn.neg
    row = np.flatnonzero(seen.drawn.label == 0)
    return row, seen.drawn.item[row]


def show(seen: Seen, add: Adder, row: np.ndarray, ids: str, note: str) -> None:
    """Rows (indices) to show; ids: the column of their items."""
    if len(row):
        assert seen.table is not None
        request, item = (seen.table.column(name).take(row) for name in ("request_id", ids))
        key = mix(xxh64(request), xxh64(item))
        add.examples(key, request, item, [note] * len(row))


def _add(kind: str, seen: Seen, add: Adder, rows: np.ndarray, bad: np.ndarray, note: str) -> None:
    """Counts the negatives (rows) of a kind and those of them that are bad (indices)."""
    request = seen.drawn.request
    add.count(f"{kind}.rows", request[rows])
    add.count(f"{kind}.bad", request[bad])
    show(seen, add, bad, "neg_item_id" if kind == "pairwise" else "item_id", note)


def _read(state: State, shared: Shared) -> Reading:
    rows, bad = ({k: whole(state, f"{k}.{name}") for k in KINDS} for name in ("rows", "bad"))
    num = sum(rows.values())
    parts = {kind: share(bad[kind], rows[kind]) for kind in KINDS if rows[kind]}
    return Reading(share(sum(bad.values()), num), num, parts)


def _watch_false(kind: str) -> Watcher:
    def watch(seen: Seen, add: Adder, facts: Facts) -> None:
        row, candidate = _negative_rows(kind, seen)
        is_bad = seen.lists.responded
        if kind == "pointwise":
            is_bad = is_bad | positives(seen, facts.kinds[kind])
        note = "the request's own positive or response"
        _add(kind, seen, add, row, row[is_bad[candidate]], note)

    return watch


def _watch_false_negatives(seen: Seen, add: Adder, facts: Facts) -> None:
    lists, options, request = seen.lists, facts.kinds["negatives"], seen.drawn.request
    is_own = among(seen, positives(seen, options) | lists.responded)
    window, is_past = options["history_window"], np.zeros(len(request), dtype=bool)
    if window is not None and seen.responses is not None:
        time = micros(lists.requests.column("request_time"))
        entry = first_response(seen, seen.responses, time - duration(window) // MICRO)
        at = np.flatnonzero(entry >= 0)
        is_past[at] = seen.responses.time_of(entry[at]) < time[request[at]]
    note = "the request's own positive or response"
    _add("negatives", seen, add, np.arange(len(request)), np.flatnonzero(is_own), note)
    add.count("negatives.past", request[is_past])
    note = f"the user responded to it in the {window} before"
    show(seen, add, np.flatnonzero(is_past & ~is_own), "item_id", note)


def _read_false(state: State, shared: Shared) -> Reading:
    own, past = _read(state, shared), whole(state, "negatives.past")
    num = whole(state, "negatives.rows")
    options = shared.facts.kinds.get("negatives")
    unguarded = options is not None and options["history_window"] is None
    bad = round((own.value or 0) * own.n) + past
    return Reading(
        share(bad, own.n),
        own.n,
        {**own.parts, "past": share(past, num)},
        note="history_window is null: past responses are not looked at" if unguarded else "",
    )


def _without(facts: Facts) -> str | None:
    has = [kind for kind in KINDS if kind in facts.kinds]
    return None if has else "neither points, pairs nor negatives are built"


def _watch_exposed(kind: str) -> Watcher:
    def watch(seen: Seen, add: Adder, facts: Facts) -> None:
        if facts.kinds[kind]["allow_exposed"]:
            return
        note = f"an exposed item as a negative of {kind}"
        if kind == "negatives":
            rows = np.arange(len(seen.drawn.request))
            bad = np.flatnonzero(among(seen, seen.lists.exposed))
        else:
            rows, candidate = _negative_rows(kind, seen)
            bad = rows[seen.lists.exposed[candidate]]
        _add(kind, seen, add, rows, bad, note)

    return watch


def _exposed_is_fine(facts: Facts) -> str | None:
    if why := _without(facts):
        return why
    if not facts.has_exposure:
        return "the log does not say what was exposed"
    if facts.student != "recall":
        return "an exposed item may be a negative of a pre-rank student"
    asked = [facts.kinds[kind]["allow_exposed"] for kind in KINDS if kind in facts.kinds]
    return "allow_exposed lets exposed items be negatives" if all(asked) else None


MEASURES = (
    Measure(
        id="Q19",
        name="Known false negatives",
        value="negatives that are positives of their request or earlier responses of its user",
        watch={
            "pointwise": _watch_false("pointwise"),
            "pairwise": _watch_false("pairwise"),
            "negatives": _watch_false_negatives,
        },
        read=_read_false,
        applies=_without,
        gates={"": Gate(None, 0)},
    ),
    Measure(
        id="Q33",
        name="Exposed negatives",
        value="negatives of a recall student that its request exposed",
        watch={kind: _watch_exposed(kind) for kind in KINDS},
        read=_read,
        applies=_exposed_is_fine,
        gates={"": Gate(None, 0)},
    ),
)
