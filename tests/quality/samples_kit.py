"""What the tests of the measures of samples share: a world of requests, users and events, drawn
and watched as a build does it, whole or in batches; and its rows as plain dicts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.history import History
from rankdistill.lists.batch import Lists
from rankdistill.quality.facts import Facts
from rankdistill.quality.judged import Judged, judged
from rankdistill.quality.measure import Shared
from rankdistill.quality.measures import MEASURES
from rankdistill.quality.state import Remembered, States
from rankdistill.quality.watch import Watch
from rankdistill.samples.catalogue import SAMPLERS
from rankdistill.samples.listwise import ListwiseOptions
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.pairwise import PairwiseOptions
from rankdistill.samples.pointwise import PointwiseOptions
from rankdistill.samples.side import Side
from tests.builders import FACTS, make_lists
from tests.samples.logs import by_request, request_rows
from tests.samples.negatives_kit import World
from tests.side_kit import make_history

DT = "2026-11-02"
START = datetime(2026, 11, 2, tzinfo=UTC)
OPTIONS = {
    "pointwise": PointwiseOptions,
    "pairwise": PairwiseOptions,
    "listwise": ListwiseOptions,
    "negatives": NegativesOptions,
}
MIX = {"prerank_dropped": 0.3, "recall_dropped": 0.2, "tail": 0.2, "popular": 0.3}


@dataclass
class Scene:
    """Rows of requests, what users respond to at which time, and the counts of items."""

    rows: list[dict]
    events: list[tuple[str, datetime, Any]]
    clicks: dict[Any, int]

    def lists(self) -> Lists:
        return make_lists(self.rows)

    def members(self) -> dict[Any, list[dict]]:
        return by_request(self.rows)

    def history(self) -> History:
        names, rows = ("user_id", "request_time", "item_id"), self.events or [("u", START, 0)]
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        return make_history(pa.table(columns).slice(0, len(self.events)))


def scene(seed: int = 1, num_requests: int = 60, kind: type = int) -> Scene:
    """Requests of six users over a day; events of two days before it and nine from it on."""
    generator = random.Random(seed)
    rows, items = [], [kind(n) for n in (*range(0, 77, 7), *range(200, 220))]
    for request in range(num_requests):
        who = {
            "user_id": f"u{generator.randrange(6)}" if request % 9 else None,
            "request_time": START + timedelta(seconds=generator.randrange(86_400)),
        }
        for row in request_rows(
            kind(request), generator.randrange(12), generator.randrange(6), generator.choice
        ):
            rows.append({**row, **who})
    for row in rows:
        if "item_id" in row:
            row["item_id"] = kind(row["item_id"])
    events = [
        (
            f"u{generator.randrange(6)}",
            START + timedelta(minutes=generator.randrange(-2 * 1440, 9 * 1440)),
            generator.choice(items),
        )
        for _ in range(400)
    ]
    # Some within minutes of a request, on what it may draw.
    for row in generator.sample(rows, 40):
        if row["user_id"] and "item_id" in row:
            gap = timedelta(minutes=generator.randrange(-90, 90))
            events.append((row["user_id"], row["request_time"] + gap, row["item_id"]))
    return Scene(rows, events, {item: generator.randrange(20) for item in items})


@dataclass
class Built:
    """What was watched, and the rows written: table -> plain dicts."""

    scene: Scene
    facts: Facts
    states: States
    tables: dict[str, list[dict]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def judged(self, measure: str, **shared: Any) -> Judged:
        found = self.states.day(DT).get(measure, Remembered())
        counts = {**self.counts, **shared.pop("counts", {})}
        return judged(MEASURES[measure], found, Shared(self.facts, counts, **shared), {})


def options_of(kind: str, student: str = "recall", **chosen: Any) -> Any:
    """Resolved as a build resolves them."""
    options = OPTIONS[kind].model_validate(chosen).for_student(student)
    return options.for_log(FACTS) if hasattr(options, "for_log") else options


def facts_of(kinds: dict[str, Any], **more: Any) -> Facts:
    dumped = {k: o.model_dump(mode="json", by_alias=True) for k, o in kinds.items()}
    measures = {"segments": ["user_id"], "min_margin": 0.75}
    base = {"response": {"click": 1.0}, "feedback": ("click",), "tables": ("responses",)}
    return Facts(kinds=dumped, **{**base, "measures": measures, **more})


Tamper = Callable[[str, Lists, Any], Any]


def build(
    given: Scene,
    kinds: dict[str, Any],
    *,
    facts: Facts | None = None,
    batches: Sequence[np.ndarray] | None = None,
    tamper: Tamper = lambda kind, lists, drawn: drawn,
) -> Built:
    """Draws and watches as a build does. facts: as the measures are told, where that is not what
    was built; tamper: changes what was drawn before it is written."""
    lists, history = given.lists(), given.history()
    facts = facts or facts_of(kinds)
    watch = Watch(facts)
    found = Built(given, facts, watch.states)
    for part in batches if batches is not None else [np.arange(lists.num_requests)]:
        some = lists.take(part)
        for kind, options in kinds.items():
            side = _side(given, some, history, options) if kind == "negatives" else Side()
            drawn = tamper(kind, some, SAMPLERS[kind].draw(some, options, 1, side))
            table = SAMPLERS[kind].gather(some, drawn, side)
            watch.see(kind, DT, some, drawn, table, side, history)
            found.tables.setdefault(kind, []).extend(table.to_pylist())
            for name, number in drawn.counts.items():
                key = f"{kind}.{name}"
                found.counts[key] = found.counts.get(key, 0) + number
    return found


def _side(given: Scene, lists: Lists, history: History, options: NegativesOptions) -> Side:
    side = World(given.rows, given.clicks).side(options)
    window = options.history_window
    known = history.before(lists, timedelta(days=int(window[:-1]))) if window else None
    return replace(side, history=known, future=None, mined=None)


def deal(num: int, seed: int) -> list[np.ndarray]:
    """The requests 0 .. num - 1 in random batches, in random order."""
    random_state = np.random.default_rng(seed)
    order, parts = random_state.permutation(num), random_state.integers(2, 7)
    return [part for part in np.array_split(order, parts) if len(part)]
