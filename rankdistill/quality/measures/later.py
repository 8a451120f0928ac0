"""Negatives that their user responds to later on (Q20): the price of a source of negatives.

A response after the request is no fault of the draw, which must not look ahead. It tells how
many of a source's negatives are wrong, and hard sources have more of them than easy ones.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from rankdistill.catalogue.history import MICRO, History, micros
from rankdistill.lists.batch import Lists, not_null
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import (
    Gate,
    Histogram,
    Measure,
    Reading,
    Seen,
    Shared,
    binned,
    no_negatives,
    share,
)
from rankdistill.quality.measures.known import first_response
from rankdistill.quality.state import Adder, State
from rankdistill.samples.facts import SOURCES
from rankdistill.samples.sources import CATALOGUE

_SPANS = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}
HORIZONS = {name: span // MICRO for name, span in _SPANS.items()}
# Within the hour it is the same visit, and the label was wrong; what is clicked days later may
# be of another need. An hour is also what a nightly build knows of almost all its requests.
JUDGED = "1h"
# The ratio of hard to easy sources needs so many later responses on its easy side.
COMPARED, LEAST_EASY = "1d", 20
_SIZE = len(SOURCES)


def _watch(seen: Seen, add: Adder, facts: Facts) -> None:
    lists, responses = seen.lists, seen.responses
    if responses is None:
        return
    request, source = seen.drawn.request, seen.drawn.source
    time, is_known = micros(lists.requests.column("request_time")), _has_user_and_time(lists)
    known = request if is_known.all() else request[is_known[request]]
    add.bins("rows", known, source if known is request else source[is_known[request]], _SIZE)
    row, after = _responded(seen, responses, time)
    newest = responses.newest
    for name, horizon in HORIZONS.items():
        # What happens after the newest response that is known cannot be told.
        is_told = is_known & (newest is not None) & (time + horizon <= (newest or 0))
        told = slice(None) if is_told.all() else np.flatnonzero(is_told[request])
        hit = row[(after <= horizon) & is_told[request[row]]]
        add.bins(f"told.{name}", request[told], source[told], _SIZE)
        add.bins(f"hit.{name}", request[hit], source[hit], _SIZE)


def _responded(seen: Seen, responses: History, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, how long after the request, int64 microseconds) of the negatives that the user
    responds to within the longest horizon."""
    entry = first_response(seen, responses, time + 1)
    row = np.flatnonzero(entry >= 0)
    after = responses.time_of(entry[row]) - time[seen.drawn.request[row]]
    is_near = after <= max(HORIZONS.values())
    return row[is_near], after[is_near]


def _has_user_and_time(lists: Lists) -> np.ndarray:
    names = ("user_id", "request_time")
    valid = (not_null(lists.requests.column(n)) for n in names)
    return np.logical_and(*valid)


def _read(state: State, shared: Shared) -> Reading:
    rows = binned(state, "rows", _SIZE)
    parts: dict[str, float | None] = {}
    histograms = {}
    used = [code for code in range(_SIZE) if rows[code]]
    for name in HORIZONS:
        told, hit = (binned(state, f"{what}.{name}", _SIZE) for what in ("told", "hit"))
        parts[f"within_{name}"] = share(sum(hit), sum(told))
        parts[f"censored_{name}"] = share(sum(rows) - sum(told), sum(rows))
        parts |= {f"within_{name}.{SOURCES[c]}": share(hit[c], told[c]) for c in used}
        shares = [share(hit[code], told[code]) or 0.0 for code in used]
        histograms[name] = Histogram([SOURCES[c] for c in used], shares, "share of the source")
    num = sum(binned(state, f"told.{JUDGED}", _SIZE))
    parts["hard_over_easy"] = _ratio(state)
    note = "" if num or not sum(rows) else "no response is known after the last request"
    return Reading(parts[f"within_{JUDGED}"], num, parts, histograms, note)


def _ratio(state: State) -> float | None:
    """The share of hard negatives that are responded to over that of easy ones; None where
    there are too few of the latter to tell."""
    told, hit = (binned(state, f"{what}.{COMPARED}", _SIZE) for what in ("told", "hit"))
    easy = [SOURCES.index(name) for name in CATALOGUE]
    hard = [code for code in range(_SIZE) if code not in easy]
    if sum(hit[code] for code in easy) < LEAST_EASY:
        return None
    of_hard = share(sum(hit[c] for c in hard), sum(told[c] for c in hard))
    of_easy = share(sum(hit[c] for c in easy), sum(told[c] for c in easy))
    return None if of_hard is None or of_easy is None else of_hard / of_easy


def _blind(facts: Facts) -> str | None:
    if why := no_negatives(facts):
        return why
    if not facts.has_history:
        return "the log does not say who responded to what, and when"
    if "responses" not in facts.tables:
        return "responses are not kept: neither history_window nor future_window is set"
    return None


MEASURES = (
    Measure(
        id="Q20",
        name="Later-clicked negatives",
        value="negatives that the user responds to within the hour after the request",
        watch={"negatives": _watch},
        read=_read,
        applies=_blind,
        gates={"": Gate(0.01, 0.05), "hard_over_easy": Gate(5, None)},
    ),
)
