"""What became of the rows at the door: none is lost (Q01), few are repeated (Q02), few have a
bad teacher score (Q04)."""

from __future__ import annotations

import numpy as np

from rankdistill.lists.batch import RANKED
from rankdistill.log.days import UNDATED
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import Gate, Measure, Reading, Seen, Shared, share, whole
from rankdistill.quality.state import Adder, State

# Of fewer rows, a few of a broken clock that fall on a day of their own may be all there are.
LEAST_ROWS = 100
DUPLICATES = {"equal": "duplicate_equal", "differing": "duplicate_differing"}
BAD_SCORES = {"nan": "score_nan", "infinite": "score_infinite", "null": "score_null"}
# reason -> the measure that shows such rows, and what it says of them.
EXAMPLES = {
    "duplicate_equal": ("Q02", "equal to the row that is used"),
    "duplicate_differing": ("Q02", "differs from the row that is used"),
    "score_nan": ("Q04", "NaN"),
    "score_infinite": ("Q04", "infinite"),
    "score_null": ("Q04", "missing, though the ranker saw the item"),
}


def _watch_rows(seen: Seen, add: Adder, facts: Facts) -> None:
    add.total("used", seen.lists.lengths)


def _read_rows(state: State, shared: Shared) -> Reading:
    rows_in = shared.door.get("rows_in", 0)
    rejected = sum(n for name, n in shared.door.items() if name.startswith("rejected."))
    used = whole(state, "used")
    if not rows_in:
        note = "what came in at the door is not known" if used else "no row came in"
        return Reading(None, 0, {} if used else {"used": 0.0}, note=note)
    lost = rows_in - used - rejected
    if not used and shared.dt == UNDATED:  # no day that could be an empty one
        return Reading(abs(lost), rows_in)
    return Reading(
        abs(lost),
        rows_in,
        {"used": share(used, rows_in), "rejected": share(rejected, rows_in)},
        note=f"{abs(lost):,} rows {'lost' if lost > 0 else 'too many'}" if lost else "",
        chance={"rejected": 1.0 if rows_in < LEAST_ROWS else 0.0},
    )


def _read_duplicates(state: State, shared: Shared) -> Reading:
    return _rejected(DUPLICATES, shared, shared.door.get("rows_in", 0))


def _watch_ranked(seen: Seen, add: Adder, facts: Facts) -> None:
    add.total("ranked", np.array([np.count_nonzero(seen.lists.stage >= RANKED)]))


def _read_scores(state: State, shared: Shared) -> Reading:
    bad = sum(shared.door.get(f"rejected.{reason}", 0) for reason in BAD_SCORES.values())
    return _rejected(BAD_SCORES, shared, whole(state, "ranked") + bad)


def _rejected(reasons: dict[str, str], shared: Shared, num: int) -> Reading:
    """The share of `num` rows rejected for these reasons, and for each of them."""
    found = {part: shared.door.get(f"rejected.{reason}", 0) for part, reason in reasons.items()}
    parts = {part: share(rows, num) for part, rows in found.items()}
    return Reading(share(sum(found.values()), num), num, parts)


def _without_score(facts: Facts) -> str | None:
    return None if facts.has_score else "no teacher score is mapped"


MEASURES = (
    Measure(
        id="Q01",
        name="Row conservation",
        value="rows of the log that are neither used nor rejected for a reason",
        watch={"lists": _watch_rows},
        read=_read_rows,
        gates={
            "": Gate(None, 0.0),
            "used": Gate(0.0, None, "below"),
            "rejected": Gate(0.10, 0.30),
        },
        by_segment=False,
        unit="count",
    ),
    Measure(
        id="Q02",
        name="Duplicate rows",
        value="rows of the log that repeat a request and item",
        read=_read_duplicates,
        gates={"": Gate(0.001, 0.01)},
        by_segment=False,
    ),
    Measure(
        id="Q04",
        name="Bad teacher scores",
        value="rows with a score that is NaN, infinite, or missing though the ranker saw the item",
        watch={"lists": _watch_ranked},
        read=_read_scores,
        applies=_without_score,
        gates={"": Gate(0.0001, 0.01)},
        by_segment=False,
    ),
)
