"""Requests held against each other: repeated content (Q03), time leakage (Q27), content leakage
(Q28). The states come from `quality.across`, but for the times of train requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.log.days import moment
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import Gate, Measure, Reading, Seen, Shared, share, whole
from rankdistill.quality.state import Adder, State

EXCHANGE = "hashed requests to those of equal content"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _read_repeated(state: State, shared: Shared) -> Reading:
    num = whole(state, "requests")
    return Reading(share(whole(state, "repeated"), num), num)


def _watch_times(seen: Seen, add: Adder, facts: Facts) -> None:
    """Train requests at or after the gap before the first valid one."""
    requests = seen.lists.requests
    is_train = pc.equal(requests.column("split"), "train").to_numpy(zero_copy_only=False)
    edge = (moment(facts.split["train_until"]) - _EPOCH) // timedelta(microseconds=1)
    times = requests.column("request_time").cast(pa.int64()).fill_null(0)
    is_late = is_train & (times.to_numpy(zero_copy_only=False) >= edge)
    add.total("train", is_train)
    add.total("late", is_late)
    late = np.flatnonzero(is_late)
    if len(late):
        ids = requests.column("request_id").take(pa.array(late))
        add.examples(seen.lists.request_key[late], ids, None, ["late for train"] * len(late))


def _read_leaks(state: State, shared: Shared) -> Reading:
    late, torn = whole(state, "late"), whole(state, "in_two_splits")
    parts = {"late_train_requests": late, "requests_in_two_splits": torn}
    num = whole(state, "train")
    return Reading(late + torn if num or torn else None, num, parts)


def _read_content(state: State, shared: Shared) -> Reading:
    valid, test = whole(state, "valid"), whole(state, "test")
    num = valid + test
    if not num:
        return Reading(None, 0, note="no request of valid or test")
    leaked = whole(state, "leaked.valid") + whole(state, "leaked.test")
    same = whole(state, "same.valid") + whole(state, "same.test")
    parts = {
        "same_list": share(same, num),
        "valid": share(whole(state, "leaked.valid"), valid),
        "test": share(whole(state, "leaked.test"), test),
    }
    return Reading(share(leaked, num), num, parts)


def _without_content(facts: Facts) -> str | None:
    if not facts.has_user:
        return "no user_id is mapped"
    return None if facts.has_time else "no request_time is mapped"


def _without_split(facts: Facts) -> str | None:
    if not facts.split.get("train_until"):
        return "nothing is split (split.train_until)"
    return None if facts.has_time else "no request_time is mapped"


MEASURES = (
    Measure(
        id="Q03",
        name="Repeated content",
        value="requests whose user, items and minute occur under another id",
        read=_read_repeated,
        applies=_without_content,
        gates={"": Gate(0.01, 0.05)},
        by_segment=False,
        exchange=EXCHANGE,
    ),
    Measure(
        id="Q27",
        name="Time leakage",
        value="train requests of the time of valid, and request ids in two splits",
        watch={"lists": _watch_times},
        read=_read_leaks,
        applies=_without_split,
        gates={"": Gate(None, 0.0)},
        by_segment=False,
        exchange="hashed requests to those of equal id",
        unit="count",
    ),
    Measure(
        id="Q28",
        name="Content leakage",
        value="valid and test requests whose user, items and minute are in train",
        read=_read_content,
        applies=lambda facts: _without_split(facts) or _without_content(facts),
        gates={"": Gate(0.001, 0.01), "same_list": Gate(0.01, 0.10)},
        by_segment=False,
        exchange=EXCHANGE,
    ),
)
