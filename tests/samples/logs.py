"""Awkward logs for the kernels' tests: from hypothesis, or many requests from a seed.

Rows are dicts as `tests.builders.make_lists` takes them; `by_request` gives the same
candidates in list order for the pure-Python oracles.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

from rankdistill.lists.batch import STAGES, Lists
from tests.builders import make_lists

SCORES = [None, -2.5, -1.0, -1.0, 0.0, 0.0, 0.5, 3.0]
RANKED_STAGES = ["ranked", "ranked", "reranked", "exposed"]
DROPPED_STAGES = ["recalled", "preranked", "preranked", "exposed"]


def candidate(place: int, rank: int | None, pick: Any) -> dict[str, Any]:
    """One candidate; pick(values) chooses."""
    stage = pick(DROPPED_STAGES if rank is None else RANKED_STAGES)
    return {
        "item_id": place * 7 % 101,
        "rank": rank,
        "teacher_score": pick(SCORES),
        "stage": stage,
        "substage": pick([None, 1, 2]),
        "position": pick([1, 2]) if stage == "exposed" else None,
        "click": pick([0.0, 0.0, 1.0, None]) if stage == "exposed" else None,
    }


def request_rows(request_id: Any, num_ranked: int, num_dropped: int, pick: Any) -> list[dict]:
    """Ranks ascend with gaps and repeats; an empty request where both numbers are 0."""
    if num_ranked + num_dropped == 0:
        return [{"request_id": request_id}]
    rank, rows = 0, []
    for place in range(num_ranked + num_dropped):
        rank += pick([0, 1, 1, 1, 3]) if rank else 1
        row = candidate(place, rank if place < num_ranked else None, pick)
        rows.append({"request_id": request_id, **row})
    return rows


@st.composite
def logs(draw: Any) -> list[dict]:
    """Up to three requests of 0 to 9 candidates, ids all integers or all strings."""
    kind = draw(st.sampled_from([int, str]))
    rows = []
    for request in range(draw(st.integers(1, 3))):
        sizes = [draw(st.integers(0, 6)), draw(st.integers(0, 3))]
        generator = random.Random(draw(st.integers(0, 10_000)))
        rows += request_rows(kind(request), *sizes, generator.choice)
    for row in rows:
        if "item_id" in row:
            row["item_id"] = kind(row["item_id"])
    return rows


def many_requests(num: int, seed: int = 3) -> Lists:
    """`num` requests of 0 to 30 candidates, with ties, nulls and every stage; some hold one
    candidate of rank 1, which is next to the rank 1 of the following request."""
    generator = random.Random(seed)
    rows = []
    for request in range(num):
        sizes = (generator.randrange(21), generator.randrange(11)) if request % 5 else (1, 0)
        rows += request_rows(request, *sizes, generator.choice)
    return make_lists(rows)


def copies(rows: list[dict], num: int) -> Lists:
    """The candidates of one request under `num` request ids: as many independent draws."""
    return make_lists({**row, "request_id": request} for request in range(num) for row in rows)


def by_request(rows: list[dict]) -> dict[Any, list[dict]]:
    """The candidates of each request in list order, with stage as a number and flags."""
    lists: dict[Any, list[dict]] = {}
    for row in rows:
        members = lists.setdefault(row["request_id"], [])
        members += [dict(row)] if "item_id" in row else []
    for members in lists.values():
        members.sort(key=lambda c: (c["rank"] is None, c["rank"], c["item_id"]))
        for place, member in enumerate(members):
            member["place"] = place
            member["stage"] = STAGES[member["stage"]]
            member["exposed"] = member["stage"] == STAGES["exposed"]
            member["responded"] = member["click"] == 1.0
    return lists
