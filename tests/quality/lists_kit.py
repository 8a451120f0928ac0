"""What the tests of the measures of lists share: logs of plain rows, watched as a build does it.

A row is a dict as `tests.builders.make_lists` takes it, and may have a `scene`, which becomes a
segment.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.lists.batch import Lists
from rankdistill.quality.facts import Facts
from rankdistill.quality.judged import Judged, judged
from rankdistill.quality.measure import Gate, Shared
from rankdistill.quality.measures import MEASURES
from rankdistill.quality.state import Remembered, States
from rankdistill.quality.watch import Watch
from tests.builders import make_lists
from tests.samples.logs import request_rows

DT = "2026-11-21"
SETTINGS = {"tie_eps": 0.0, "temperature": 1.0, "segments": ["scene"]}
FACTS = Facts(feedback=("click",), response={"click": 1.0}, measures=SETTINGS)
SCENES = ("home", "search", None)


def lists_of(rows: Sequence[dict]) -> Lists:
    """The lists of rows, with the column `scene`."""
    made = make_lists(rows)
    scenes = {row["request_id"]: row.get("scene") for row in rows}
    column = pa.array(list(scenes.values()), type=pa.string())
    return replace(made, requests=made.requests.append_column("scene", column))


def awkward(num: int = 60, seed: int = 3) -> list[dict]:
    """Requests with gaps, repeats, ties, missing scores, and stages that skip."""
    pick, rows = random.Random(seed), []
    for request in range(num):
        made = request_rows(request, pick.randrange(14), pick.randrange(8), pick.choice)
        rows += [{**row, "scene": SCENES[request % 3]} for row in made]
    return rows


def clean(num: int = 400, length: int = 30, seed: int = 5) -> list[dict]:
    """A log without a fault: the score is the probability of a click and makes the order."""
    draw, rows = random.Random(seed), []
    for request in range(num):
        logits = sorted((draw.gauss(-1.5, 1.5) for _ in range(length)), reverse=True)
        for place, logit in enumerate(logits, start=1):
            score, shown = 1 / (1 + math.exp(-logit)), place <= 8
            rows.append(
                {
                    "request_id": request,
                    "item_id": place,
                    "scene": SCENES[request % 3],
                    "rank": place,
                    "teacher_score": score,
                    "stage": "exposed" if shown else "ranked",
                    "position": place if shown else None,
                    "click": float(draw.random() < score) if shown else None,
                }
            )
    return rows


def members(rows: Sequence[dict]) -> dict[Any, list[dict]]:
    """The candidates of each request."""
    found: dict[Any, list[dict]] = {}
    for row in rows:
        found.setdefault(row["request_id"], [])
        if "item_id" in row:
            found[row["request_id"]].append(row)
    return found


def watched(batches: Sequence[Lists], facts: Facts = FACTS) -> States:
    """The states of some batches, added up in that order."""
    watch = Watch(facts)
    for lists in batches:
        watch.see("lists", DT, lists)
    return watch.states


def told(
    measure: str,
    rows: Sequence[dict] | Lists,
    facts: Facts = FACTS,
    gates: dict[str, Gate | None] | None = None,
    **door: int,
) -> Judged:
    """What a measure says of a log."""
    lists = rows if isinstance(rows, Lists) else lists_of(rows)
    found = watched([lists], facts).day(DT).get(measure, Remembered())
    return judged(MEASURES[measure], found, Shared(facts, door=door), gates or {})


def bad(rows: Sequence[dict], facts: Facts = FACTS) -> set[str]:
    """The measures of lists that warn or fail."""
    states = watched([lists_of(rows)], facts).day(DT)
    shared = Shared(facts)
    verdicts = {
        name: judged(measure, states.get(name, Remembered()), shared, {}).verdict
        for name, measure in MEASURES.items()
        if "lists" in measure.watch
    }
    return {name for name, verdict in verdicts.items() if verdict in ("warn", "fail")}


def changed(rows: Sequence[dict], change: Callable[[dict], dict]) -> list[dict]:
    """The rows, each changed."""
    return [{**row, **change(row)} for row in rows]


def split(lists: Lists, seed: int) -> list[Lists]:
    """The requests dealt at random to a few batches, in any order."""
    random_ = np.random.default_rng(seed)
    order = random_.permutation(lists.num_requests)
    cuts = np.sort(random_.integers(0, lists.num_requests + 1, 4))
    return [lists.take(part) for part in np.split(order, cuts)]
