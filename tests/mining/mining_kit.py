"""A small data set, vectors for its users and items, and mining in plain Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.build import build
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.mining.mine import mine
from rankdistill.mining.options import MineOptions
from rankdistill.store.dataset import DataSet
from tests.feed_kit import feed

WIDTH = 6
SIZES = {"num_requests": 150, "days": 2, "num_candidates": 12, "num_ranked": 8, "num_exposed": 4}


def make_data_set(folder: Path, **samples: Any) -> DataSet:
    log = simulate(folder / "simulated", SimulateOptions(**SIZES)).log
    return build_from(log, folder / "feed", **samples)


def build_from(log: Path, output: Path, **samples: Any) -> DataSet:
    build(feed(log, output, samples=samples or {"pointwise": {"top_k": 2}}))
    return DataSet.open(output)


def make_vectors(folder: Path, data_set: DataSet, *, num_items: int = 300) -> dict[str, dict]:
    """Vector tables of all users and of the first items by id, written; {name: {id: vector}}."""
    random = np.random.default_rng(5)
    rows = [row for batch in data_set.read("lists") for row in batch.to_pylist()]
    ids = {
        "users": sorted({row["user_id"] for row in rows}),
        "items": sorted({item for row in rows for item in row["item_id"]})[:num_items],
    }
    found = {}
    for name, own in ids.items():
        # Few values: many exact ties.
        value = random.integers(-2, 3, size=(len(own), WIDTH)).astype(np.float32)
        value[value[:, 1:].any(axis=1) == 0, 1] = 1
        table = {"id": own, "vector": pa.array(value.tolist(), pa.list_(pa.float32()))}
        pq.write_table(pa.table(table), folder / f"{name}.parquet", row_group_size=50)
        found[name] = dict(zip(own, value.tolist(), strict=True))
    return found


def options(folder: Path, **given: Any) -> MineOptions:
    tables = {
        name: {"path": str(folder / f"{name}.parquet"), "id": "id", "vector": "vector"}
        for name in ("users", "items")
    }
    return MineOptions.model_validate(tables | given)


def run_mine(folder: Path, out: str, data_set: DataSet, **given: Any) -> tuple[pa.Table, dict]:
    manifest = mine(options(folder, **given), data_set, folder / out, notify=lambda *a, **k: None)
    files = sorted((folder / out).glob("mined-*.parquet"))
    assert {path.name for path in (folder / out).iterdir()} == {
        "manifest.json",
        *(path.name for path in files),
    }
    return pa.concat_tables([pq.read_table(file) for file in files]), manifest


def known(data_set: DataSet, source: str) -> tuple[dict, dict]:
    """({user: positives}, {user: whatever it responded to, or that is a positive})."""
    responded: dict[Any, set] = {}
    positive: dict[Any, set] = {}
    for batch in data_set.read("lists"):
        for row in batch.to_pylist():
            own = responded.setdefault(row["user_id"], set())
            own |= {i for i, c in zip(row["item_id"], row["click"], strict=True) if c and c > 0}
    if source == "pointwise":
        for batch in data_set.read("pointwise"):
            for row in batch.to_pylist():
                if row["label"] == 1:
                    positive.setdefault(row["user_id"], set()).add(row["item_id"])
    else:
        positive = {user: set(own) for user, own in responded.items()}
    out = {user: responded.get(user, set()) | positive.get(user, set()) for user in responded}
    return positive, out


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
