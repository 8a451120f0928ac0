"""Lists with columns of every kind and feature tables beside them, for the tests of fields."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.features.join import Join
from rankdistill.lists.batch import Lists
from rankdistill.student.fields.columns import Tables
from rankdistill.student.fields.options import FieldsOptions
from tests.builders import make_lists

DAY = 86_400_000_000
EVERY_KIND = FieldsOptions.model_validate(
    {
        "user": [
            {"kind": "id", "column": "user_id", "min_count": 2},
            {"kind": "category", "column": "scene"},
            {"kind": "category", "column": "user_city", "buckets": 3},
            {"kind": "number", "column": "user_age"},
            {"kind": "history", "column": "user_clicked", "last": 3},
        ],
        "item": [
            {"kind": "id", "column": "item_id", "min_count": 2},
            {"kind": "category", "column": "category"},
            {"kind": "values", "column": "tags", "separator": "|"},
            {"kind": "quantiles", "column": "item_price", "num": 4},
            {"kind": "number", "column": "item_price"},
        ],
    }
)


def listed(num_requests: int, seed: int = 0) -> Lists:
    """Requests an hour apart; of an item the tags change with time, the category does not."""
    rng = np.random.default_rng(seed)
    rows = []
    for request in range(num_requests):
        for rank, item in enumerate(rng.permutation(30)[: rng.integers(1, 8)].tolist(), 1):
            time = request * DAY // 24
            rows.append(
                {
                    "request_id": request,
                    "user_id": f"u{rng.integers(8)}" if rank == 1 else rows[-1]["user_id"],
                    "request_time": time,
                    "item_id": item,
                    "rank": rank,
                    "stage": "ranked",
                }
            )
    lists = make_lists(rows)
    items = lists.candidates.column("item_id").to_pylist()
    days = [row["request_time"] // DAY for row in rows]
    tags = [None if i % 7 == 0 else f"t{i % 3}|t{d % 4}" for i, d in zip(items, days, strict=True)]
    kinds = pa.array([f"c{item % 5}" if item % 6 else None for item in items])
    candidates = lists.candidates.append_column("category", kinds)
    candidates = candidates.append_column("tags", pa.array(tags))
    scene = pa.array([["home", "feed", None][at % 3] for at in range(num_requests)])
    return replace(
        lists, candidates=candidates, requests=lists.requests.append_column("scene", scene)
    )


PRICES = [
    (item, day * DAY, float(item * 10 + day) if day != 1 else None)
    for item in range(25)
    for day in range(item % 4)
]
PEOPLE = [(f"u{n}", f"city{n % 4}", 20 + n if n % 3 else None, [*range(n)]) for n in range(7)]


def tables(folder: Path) -> Tables:
    """Prices of items by day, some unknown, and people."""
    item, time, price = zip(*PRICES, strict=True)
    times = pa.array(time, pa.timestamp("us", tz="UTC"))
    prices = pa.table({"k0": item, "time": times, "c0": price})
    user, city, age, clicked = zip(*PEOPLE, strict=True)
    people = pa.table({"k0": user, "c0": city, "c1": age, "c2": clicked})
    files = str(folder / "features" / "prices.parquet"), str(folder / "features" / "people.parquet")
    (folder / "features").mkdir(exist_ok=True)
    for file, table in zip(files, (prices, people), strict=True):
        pq.write_table(table, file)
    return Tables.load(
        [
            Join("item", "item", ("item_id",), True, ("item_price",), files[:1], "features.0"),
            Join(
                "user",
                "user",
                ("user_id",),
                False,
                ("user_city", "user_age", "user_clicked"),
                files[1:],
                "features.1",
            ),
        ]
    )
