"""The tables of a simulated log: a block of the cascade as Arrow columns, in either layout.

`simulate.py` writes them. The log holds what a recommender would have logged; the truth
table holds what only the simulator knows.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.lists.batch import STAGES
from rankdistill.log.cascade import Cascade
from rankdistill.log.world import (
    NUM_CATEGORIES,
    NUM_KNOWN_FACTORS,
    SCENES,
    SimulateOptions,
    World,
)

REQUEST_COLUMNS = ("request_id", "request_time", "user_id", "scene")
REPEATING = (
    "request_id",
    "request_time",
    "user_id",
    "item_id",
    "stage",
    "rank",
    "rerank_rank",
    "position",
    "click",
    "like",
    "scene",
    "category",
)
ID_FORMS = {"request_id": ("r", 16), "user_id": ("u", 8), "item_id": ("i", 8)}
CATEGORIES = [f"category_{number:02d}" for number in range(NUM_CATEGORIES)]


def log_table(world: World, options: SimulateOptions, cascade: Cascade) -> pa.Table:
    """What is logged of a block: a row per candidate, or a row per request with lists."""
    logged = np.ones_like(cascade.rank, dtype=bool)
    if not options.keep_dropped:
        logged = cascade.rank > 0
    candidates = _candidates(world, options, cascade, logged)
    requests = _requests(options, cascade)
    num_requests = len(cascade.item)
    length = len(candidates["item_id"]) // num_requests
    if options.layout == "rows":
        repeat = pa.array(np.repeat(np.arange(num_requests), length))
        columns = {name: column.take(repeat) for name, column in requests.items()}
        columns |= candidates
    else:
        offsets = pa.array(np.arange(num_requests + 1, dtype=np.int32) * np.int32(length))
        columns = requests | {
            name: pa.ListArray.from_arrays(offsets, column) for name, column in candidates.items()
        }
    last = ("scene", "category")
    names = [name for name in columns if name not in last]
    return pa.table({name: columns[name] for name in (*names, *last)})


def _requests(options: SimulateOptions, cascade: Cascade) -> dict[str, pa.Array]:
    requests = cascade.requests
    return {
        "request_id": ids("request_id", requests.request_id, options),
        "request_time": pa.array(requests.time).cast(pa.timestamp("us", tz="UTC")),
        "user_id": ids("user_id", requests.user + 1, options),
        "scene": _names(SCENES, requests.scene),
    }


def _candidates(
    world: World, options: SimulateOptions, cascade: Cascade, logged: np.ndarray
) -> dict[str, pa.Array]:
    def column(values: np.ndarray, known: np.ndarray) -> pa.Array:
        return pa.array(values[logged], mask=~known[logged])

    c, ranked, exposed = cascade, cascade.rank > 0, cascade.position > 0
    item = c.item[logged]
    return {
        "item_id": ids("item_id", item + 1, options),
        "stage": _names(tuple(STAGES), c.stage[logged] - 1),
        "rank": column(c.rank, ranked),
        "rerank_rank": column(c.rerank_rank, c.rerank_rank > 0),
        "position": column(c.position, exposed),
        "teacher_score": column(c.teacher_score, ranked),
        "prerank_score": column(c.prerank_score, c.stage >= STAGES["preranked"]),
        "click": column(c.click, exposed),
        "like": column(c.like, exposed),
        "play_time": column(c.play_time, exposed),
        "category": _names(CATEGORIES, world.category[item]),
    }


def truth_table(options: SimulateOptions, cascade: Cascade) -> pa.Table:
    """What only the simulator knows: a row per recalled candidate, logged or not.

    click_probability: of a click once the item is looked at. examined: whether it was; null
    where it was not shown. Key (request_id, item_id).
    """
    exposed = cascade.position > 0
    request_id = np.repeat(cascade.requests.request_id, cascade.item.shape[1])
    return pa.table(
        {
            "request_id": ids("request_id", request_id, options),
            "item_id": ids("item_id", cascade.item.ravel() + 1, options),
            "click_probability": pa.array(cascade.probability.ravel()),
            "examined": pa.array(cascade.examined.ravel(), mask=~exposed.ravel()),
        }
    )


def features(world: World, options: SimulateOptions) -> dict[str, pa.Table]:
    """The tables users (key user_id) and items (key item_id): what a student may know."""
    return {
        "users": pa.table(
            {
                "user_id": ids("user_id", np.arange(options.num_users) + 1, options),
                "age_group": pa.array(world.age_group),
                "city": pc.binary_join_element_wise(
                    "city", pc.utf8_lpad(pa.array(world.city).cast(pa.string()), 2, "0"), "_"
                ),
            }
        ),
        "items": pa.table(
            {
                "item_id": ids("item_id", np.arange(options.num_items) + 1, options),
                "category": _names(CATEGORIES, world.category),
                "duration": pa.array(world.duration),
            }
        ),
    }


def vectors(world: World, options: SimulateOptions) -> dict[str, pa.Table]:
    """The tables users and items with an embedding each, float32 [known factors + 1]: as a model
    would export them that knows what the pre-ranker knows, tastes in part and popularity."""
    user, item = (f[:NUM_KNOWN_FACTORS] for f in (world.user_factors, world.item_factors))
    return {
        "users": _embedded("user_id", [*user, np.ones_like(user[0])], options),
        "items": _embedded("item_id", [*item, world.popularity], options),
    }


def _embedded(name: str, columns: list[np.ndarray], options: SimulateOptions) -> pa.Table:
    value = np.stack(columns, axis=1).astype(np.float32)
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(value.ravel()), value.shape[1])
    own = ids(name, np.arange(len(value)) + 1, options)
    return pa.table({name: own, "embedding": embedding.cast(pa.list_(pa.float32()))})


def ids(name: str, numbers: np.ndarray, options: SimulateOptions) -> pa.Array:
    """The ids as the log spells them: int64, or strings that sort as the numbers do."""
    array = pa.array(numbers.astype(np.int64, copy=False))
    if options.id_kind == "int":
        return array
    letter, width = ID_FORMS[name]
    digits = pc.utf8_lpad(array.cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(letter, digits, "")


def _names(names: tuple[str, ...] | list[str], index: np.ndarray) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int8)), pa.array(list(names)))
