"""What the tests of the negatives share: awkward worlds, and the draw's law in plain Python.

A world is rows of requests as `tests.builders` takes them, a catalogue with counts, and items
of the history, of the future and mined for each request. `law_of` says from the documentation
alone, one request at a time, what may be drawn, how many, and with which numbers.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.history import Keys
from rankdistill.catalogue.items import Catalogue
from rankdistill.hashing import xxh64
from rankdistill.lists.batch import Lists
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.side import Mined, Side
from tests import side_kit
from tests.builders import make_lists
from tests.samples.logs import by_request, request_rows

ORDER = [
    *("prerank_dropped", "recall_dropped", "exposed_unclicked", "tail", "mined"),
    *("popular", "uniform"),
]
POOLS = ORDER[:5]


@dataclass
class World:
    """clicks: {item: count}, the catalogue; history, future: {request: items}; mined: {request:
    [(item, score)]}."""

    rows: list[dict]
    clicks: dict[Any, int]
    history: dict[Any, list] = field(default_factory=dict)
    future: dict[Any, list] = field(default_factory=dict)
    mined: dict[Any, list] = field(default_factory=dict)

    def lists(self) -> Lists:
        return make_lists(self.rows)

    def side(self, options: NegativesOptions, seed: int = 1) -> Side:
        requests = list(by_request(self.rows))
        catalogue = make_catalogue(self.clicks, self.id_type)
        return Side(
            catalogue,
            side_kit.make_laws(catalogue, seed, options),
            make_keys([self.history.get(r, []) for r in requests], self.id_type),
            make_keys([self.future.get(r, []) for r in requests], self.id_type),
            make_mined([self.mined.get(r, []) for r in requests], self.id_type),
        )

    @property
    def id_type(self) -> pa.DataType:
        is_text = any(isinstance(row.get("item_id"), str) for row in self.rows)
        return pa.string() if is_text else pa.int64()


def make_catalogue(clicks: Mapping[Any, int], id_type: pa.DataType) -> Catalogue:
    items = pa.array(list(clicks), type=id_type)
    return side_kit.make_catalogue(
        items, {"click": np.array(list(clicks.values()), dtype=np.int64)}
    )


def make_keys(items: list[list], id_type: pa.DataType) -> Keys:
    key = xxh64(pa.array([item for of in items for item in of], type=id_type))
    ends = np.cumsum([0, *(len(of) for of in items)])
    parts = [np.unique(key[first:last]) for first, last in pairwise(ends)]
    offsets = np.cumsum([0, *(len(part) for part in parts)])
    return Keys(offsets, np.concatenate([np.zeros(0, np.uint64), *parts]))


def make_mined(entries: list[list], id_type: pa.DataType) -> Mined:
    flat = [entry for of in entries for entry in of]
    item = pa.array([item for item, _ in flat], type=id_type)
    score = np.array([np.nan if s is None else s for _, s in flat], dtype=np.float64)
    return Mined(np.cumsum([0, *(len(of) for of in entries)]), item, score)


def random_world(seed: int, num_requests: int = 3, kind: type = int) -> World:
    """Candidates 0, 7, 14, ... of every stage; a catalogue of some of them and of others."""
    generator = random.Random(seed)
    rows = []
    for request in range(num_requests):
        sizes = (generator.randrange(9), generator.randrange(5))
        rows += request_rows(kind(request), *sizes, generator.choice)
    for row in rows:
        if "item_id" in row:
            row["item_id"] = kind(row["item_id"])
    items = [kind(item) for item in (*range(0, 63, 7), *range(200, 212))]
    clicks = {item: generator.randrange(20) for item in items if generator.random() < 0.8}

    def some(num: int) -> list:
        return [generator.choice(items) for _ in range(generator.randrange(num))]

    world = World(rows, clicks)
    for request in by_request(rows):
        world.history[request], world.future[request] = some(4), some(3)
        if generator.random() < 0.3:
            world.future[request] += world.history[request][:1]
        scores = [None, 0.1, 0.5, 0.5, 2.0]
        world.mined[request] = [(item, generator.choice(scores)) for item in some(12)]
    return world


@dataclass
class Law:
    """Of one request. num: asked of each source; rows: of each item that can be drawn, before
    dealing; counts: what is certain before it."""

    positives: list
    num: dict[str, int]
    rows: dict[Any, Odds]
    counts: Counter


@dataclass
class Odds:
    """Of one item. drawn_by: {source: (chance that it draws the item, its single-draw law)} in
    the order of the sources; mixture_q."""

    drawn_by: dict[str, tuple[float, float]]
    mixture_q: float

    @property
    def probability(self) -> float:
        return sum(self.by_source.values())

    @property
    def by_source(self) -> dict[str, float]:
        """The chance of a row of each source: the first one that draws the item."""
        left, found = 1.0, {}
        for name, (chance, _) in self.drawn_by.items():
            found[name] = left * chance
            left *= 1 - chance
        return found


def law_of(
    world: World, request: Any, members: list[dict], options: NegativesOptions, epoch: int = 0
) -> Law:
    steps = [step.mix for step in options.curriculum if step.from_epoch <= epoch]
    mix = (steps or [options.mix])[-1]
    sources = [name for name in ORDER if name in mix]
    positives = [c["item_id"] for c in members if is_positive(c, options)]
    logged = {c["item_id"]: c for c in members}
    history = world.history.get(request, []) if options.history_window else []
    future = world.future.get(request, []) if options.future_window else []
    mined: dict[Any, float] = {}
    for item, score in world.mined.get(request, []) if "mined" in sources else []:
        mined[item] = max(mined.get(item, -np.inf), -np.inf if score is None else score)
    uses_catalogue = bool({"popular", "uniform"} & {*sources})
    catalogue = world.clicks if uses_catalogue else {}

    guard: dict[Any, str] = {}
    unmeasured = set()
    for item in {*logged, *history, *future}:
        c = logged.get(item)
        margin = "far" if c is None else margin_of(c, members, options)
        cuts = {
            "positive": item in positives,
            "responded": c is not None and c["responded"],
            "exposed": c is not None and c["exposed"] and not options.allow_exposed,
            "history": item in history,
            "future": item in future,
            "margin": margin == "close",
        }
        guard |= {item: next(name for name in cuts if cuts[name])} if any(cuts.values()) else {}
        unmeasured |= {item} if margin == "unknown" else set()

    holder = {}
    for item, c in logged.items():
        for name in reversed(sources):
            if name in POOLS and name != "mined" and belongs(name, c, members, options):
                holder[item] = name
    holder = {**dict.fromkeys(mined, "mined"), **holder}
    drawable = {*holder, *catalogue}
    counts = Counter(f"guarded.{guard[item]}" for item in drawable & guard.keys())
    pool = {name: [i for i in holder if holder[i] == name and i not in guard] for name in sources}
    counts["margin.unscored"] = sum(item in unmeasured for of in pool.values() for item in of)
    easy = [item for item in catalogue if item not in guard]

    wanted = options.num * (len(positives) if options.per == "positive" else bool(positives))
    target = largest_remainder(wanted, {name: mix[name] for name in sources})
    q = catalogue_laws(world.clicks, options)
    easy_of = {m: [i for i in easy if q[m][i] > 0] for m in sources if m not in POOLS}
    capacity = {name: len((pool if name in POOLS else easy_of)[name]) for name in sources}
    num = {name: min(target[name], capacity[name]) for name in sources}
    rest = wanted - sum(num.values())
    for name in sources:
        counts[f"target.{name}"], counts[f"short.{name}"] = target[name], target[name] - num[name]
    for name in sources:
        counts[f"filled.{name}"] = more = min(rest, capacity[name] - num[name])
        num[name], rest = num[name] + more, rest - more
    counts |= Counter({"wanted": wanted, "unfilled": rest})

    drawn_by: dict[Any, dict] = {item: {} for of in (*pool.values(), easy) for item in of}
    for name in sources:
        if name in POOLS:
            size = len(pool[name])
            is_top = name == "mined" and options.mined.sampling_strategy == "top"
            for item in top(pool[name], mined, num[name]) if is_top else pool[name]:
                both = (1, 1 / num[name]) if is_top else (num[name] / size, 1 / size)
                drawn_by[item][name] = both
        else:
            left = sum(q[name][e] for e in easy_of[name])
            for item in easy_of[name]:
                drawn_by[item][name] = (min(1, num[name] * q[name][item] / left), q[name][item])
    rows = {}
    for item, of in drawn_by.items():
        by_catalogue = {name: (0, q[name].get(item, 0)) for name in sources if name not in POOLS}
        mixture = sum(num[name] * single for name, (_, single) in (by_catalogue | of).items())
        of = {name: pair for name, pair in of.items() if num[name] and pair[0]}
        rows |= {item: Odds(of, mixture / sum(num.values()))} if of else {}
    return Law(positives, num, rows, +counts)


def is_positive(c: dict, options: NegativesOptions) -> bool:
    is_top = c["rank"] is not None and c["rank"] <= options.top_k
    applies = {"rank": is_top, "feedback": c["responded"], "exposed": c["exposed"]}
    return any(applies[rule] for rule in options.rules)


def belongs(name: str, c: dict, members: list[dict], options: NegativesOptions) -> bool:
    if name == "exposed_unclicked":
        return c["exposed"] and not c["responded"]
    if name != "tail":
        return c["stage"] == {"prerank_dropped": 2, "recall_dropped": 1}[name]
    tail, ranked = options.tail, [m for m in members if m["rank"] is not None]
    if tail.kind == "share":
        kept = ranked[len(ranked) - int(Fraction(str(tail.share)) * len(ranked)) :]
        return c in kept and c["rank"] > options.top_k
    if tail.kind == "ranks":
        return c["rank"] is not None and tail.from_rank <= c["rank"] <= (tail.to_rank or 10**9)
    u = quantile(c, members)
    return u is not None and tail.low <= u < tail.high


def quantile(c: dict, members: list[dict]) -> Fraction | None:
    mine = c["teacher_score"]
    scores = [m["teacher_score"] for m in members if m["teacher_score"] is not None]
    if mine is None:
        return None
    return Fraction(2 * sum(s < mine for s in scores) + scores.count(mine), 2 * len(scores))


def margin_of(c: dict, members: list[dict], options: NegativesOptions) -> str:
    """close, far, or unknown."""
    margin, mine = options.margin, c["teacher_score"]
    if margin is None:
        return "far"
    scored = [m for m in members if is_positive(m, options) and m["teacher_score"] is not None]
    if mine is None or not scored:
        return "unknown"
    weakest = min(scored, key=lambda m: m["teacher_score"])
    limit = weakest["teacher_score"]
    is_far = {
        "absolute": lambda m: limit - mine >= m.gap,
        "relative": lambda m: mine <= limit - m.share * abs(limit),
        "quantile": lambda m: (
            quantile(weakest, members) - quantile(c, members) >= Fraction(str(m.least))
        ),
    }[margin.kind](margin)
    return "far" if is_far else "close"


def largest_remainder(total: int, mix: Mapping[str, float]) -> dict[str, int]:
    exact = {name: total * Fraction(str(share)) for name, share in mix.items()}
    num = {name: int(value) for name, value in exact.items()}
    by_rest = sorted(exact, key=lambda name: (num[name] - exact[name], ORDER.index(name)))
    for name in by_rest[: total - sum(num.values())]:
        num[name] += 1
    return num


def top(pool: Iterable, score: Mapping[Any, float], num: int) -> list:
    """The best `num` by score; of equal scores, the lowest hashes."""
    items = list(pool)
    is_text = bool(items) and isinstance(items[0], str)
    keys = xxh64(pa.array(items, type=pa.string() if is_text else pa.int64()))
    ranked = sorted(zip(items, keys, strict=True), key=lambda pair: (-score[pair[0]], pair[1]))
    return [item for item, _ in ranked[:num]]


def catalogue_laws(clicks: Mapping[Any, int], options: NegativesOptions) -> dict[str, dict]:
    size = {i: (n + options.popular.c) ** options.popular.alpha for i, n in clicks.items()}
    total = sum(size.values())
    return {
        "popular": {item: value / total for item, value in size.items()},
        "uniform": {item: 1 / len(clicks) for item in clicks},
    }


def difficulty_of(c: dict, members: list[dict]) -> float:
    """1 - place / n; the dropped stand behind the ranked, each stage at its mean place."""

    def key(m: dict) -> tuple:
        return (m["rank"] is None, -m["stage"] if m["rank"] is None else m["place"])

    place = sum(key(m) < key(c) for m in members)
    tied = sum(key(m) == key(c) for m in members)
    return 1 - (place + (tied - 1) / 2) / len(members)
