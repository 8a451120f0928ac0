"""Whether ranks count 1, 2, 3, ...: the teacher's, and the positions shown (Q05)."""

from __future__ import annotations

import numpy as np

from rankdistill.lists.batch import Lists
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import Gate, Measure, Reading, Seen, Shared, share, whole
from rankdistill.quality.scored import owners, show_requests, shown
from rankdistill.quality.state import Adder, State

# Whose ranks: name in the state -> how it is called in a note.
TEACHER, POSITION = "rank", "position"


def _watch(seen: Seen, add: Adder, facts: Facts) -> None:
    lists = seen.lists
    _count(lists, add, TEACHER, lists.num_ranked > 0, *_faults_of_ranks(lists))
    placed = shown(seen).position > 0
    if placed.any():
        request, position = shown(seen).request[placed], shown(seen).position[placed]
        has = np.zeros(lists.num_requests, dtype=bool)
        has[request] = True
        _count(lists, add, POSITION, has, *_faults(request, position))


def _count(
    lists: Lists, add: Adder, whose: str, has: np.ndarray, gaps: np.ndarray, repeats: np.ndarray
) -> None:
    """has: bool [R], requests with such a rank; gaps, repeats: those with one, int64."""
    either = np.union1d(gaps, repeats)
    marks = {"requests": np.flatnonzero(has), "gap": gaps, "repeat": repeats, "either": either}
    for name, requests in marks.items():
        add.count(f"{whose}.{name}", requests)
    repeated = set(repeats.tolist())
    show_requests(add, lists, either, lambda r: f"{whose}: {'repeat' if r in repeated else 'gap'}")


def _faults_of_ranks(lists: Lists) -> tuple[np.ndarray, np.ndarray]:
    """(requests with a gap, with a repeat) in the teacher's ranks, which ascend in a list."""
    rank, offsets = lists.teacher_rank, lists.offsets
    starts = offsets[:-1][lists.lengths > 0]
    step = rank[1:] - rank[:-1]
    step[starts[1:] - 1] = 1
    gaps = owners(offsets, np.flatnonzero(step > 1) + 1)
    late = owners(offsets, starts[rank[starts] > 1])
    repeats = owners(offsets, np.flatnonzero((step == 0) & (rank[1:] > 0)) + 1)
    return np.union1d(gaps, late), repeats


def _faults(request: np.ndarray, rank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(requests with a gap, with a repeat) in ranks of any order; request ascends, [T] both."""
    key = np.sort((request << 32) | rank)
    request, rank = key >> 32, key & (2**32 - 1)
    is_first = np.append(True, request[1:] != request[:-1])
    step = np.where(is_first, rank, rank - np.append(0, rank[:-1]))
    return np.unique(request[step > 1]), np.unique(request[step == 0])


def _read(state: State, shared: Shared) -> Reading:
    is_sampled = shared.facts.ranks == "sampled"
    parts: dict[str, float | None] = {}
    values = {}
    for whose in (TEACHER, POSITION):
        num = whole(state, f"{whose}.requests")
        bad = whole(state, f"{whose}.{'repeat' if is_sampled else 'either'}")
        values[whose] = share(bad, num)
        for name in ("gap", "repeat"):
            parts[f"{whose}_{name}s"] = share(whole(state, f"{whose}.{name}"), num)
    below = shared.door.get("rejected.rank_below_base", 0)
    return Reading(
        values[TEACHER],
        whole(state, f"{TEACHER}.requests"),
        {
            "positions": values[POSITION],
            "below_first": share(below, shared.door.get("rows_in", 0)),
            **parts,
        },
        note="ranks are sampled: gaps are counted, not judged" if is_sampled else "",
    )


MEASURES = (
    Measure(
        id="Q05",
        name="Rank integrity",
        value="requests whose teacher ranks have a gap or a repeat",
        watch={"lists": _watch},
        read=_read,
        gates={
            "": Gate(0.01, 0.10),
            "positions": Gate(0.01, 0.10),
            "below_first": Gate(0.01, 0.10),
        },
    ),
)
