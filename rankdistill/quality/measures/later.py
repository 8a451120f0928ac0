"""Negatives that their user responds to later on (Q20): the price of a source of negatives.

A response after the request is no fault of the draw, which must not look ahead. It tells how
many of a source's negatives are wrong, and hard sources have more of them than easy ones.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.history import History
from rankdistill.lists.batch import Lists
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import (
    Gate,
    Histogram,
    Measure,
    Reading,
    Seen,
    Shared,
    binned,
    share,
)
from rankdistill.quality.measures.known import item_key
from rankdistill.quality.state import Adder, State
from rankdistill.samples.facts import SOURCES
from rankdistill.samples.side import look_up
from rankdistill.samples.sources import CATALOGUE

# Longest first: what is not found there is not in the shorter ones.
HORIZONS = {"7d": timedelta(days=7), "1d": timedelta(days=1), "1h": timedelta(hours=1)}
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
    request, source, key = seen.drawn.request, seen.drawn.source, item_key(seen)
    time = _known_times(lists)
    newest = int(responses.time[-1]) if len(responses.time) else -(2**62)
    if not (time >= 0).all():
        row = np.flatnonzero(time[request] >= 0)
        request, source, key = request[row], source[row], key[row]
    add.bins("rows", request, source, _SIZE)
    found: np.ndarray | None = None  # rows that are responded to within the horizon before
    for name, horizon in HORIZONS.items():
        found = _responded(lists, responses, horizon, request, key, found)
        # What happens after the newest response that is known cannot be told.
        is_told = time + horizon // timedelta(microseconds=1) <= newest
        is_told_row = is_told[request]
        told = slice(None) if is_told_row.all() else np.flatnonzero(is_told_row)
        hit = found[is_told_row[found]]
        add.bins(f"told.{name}", request[told], source[told], _SIZE)
        add.bins(f"hit.{name}", request[hit], source[hit], _SIZE)


def _responded(
    lists: Lists,
    responses: History,
    horizon: timedelta,
    request: np.ndarray,
    key: np.ndarray,
    among: np.ndarray | None,
) -> np.ndarray:
    """The rows (of `among`; None: of all) whose user responds to the item within the horizon."""
    if among is None:
        return np.flatnonzero(look_up(responses.after(lists, horizon), request, key) >= 0)
    if not len(among):
        return among
    after = responses.after(lists, horizon)
    return among[look_up(after, request[among], key[among]) >= 0]


def _known_times(lists: Lists) -> np.ndarray:
    """The time of each request, int64 [R] microseconds; -1 without a time or a user."""
    column = lists.requests.column("request_time")
    time = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).fill_null(-1).to_numpy()
    has_user = lists.requests.column("user_id").is_valid().to_numpy(zero_copy_only=False)
    return np.where(has_user, time, -1)


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
    if "negatives" not in facts.kinds:
        return "no negatives are built"
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
