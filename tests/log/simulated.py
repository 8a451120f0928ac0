"""Small simulated logs and how to read them, for the tests of the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.log.simulate import SimulateOptions, simulate

SMALL = {
    "num_requests": 60,
    "num_users": 40,
    "num_items": 300,
    "num_candidates": 30,
    "num_ranked": 12,
    "num_exposed": 4,
}
KEY = ["request_id", "item_id"]
FEEDBACK = ["click", "like", "play_time"]
WITHIN = [
    *("item_id", "stage", "rank", "rerank_rank", "position", "teacher_score"),
    *("prerank_score", *FEEDBACK, "category"),
]


def options(**changes: Any) -> SimulateOptions:
    return SimulateOptions(**{**SMALL, **changes})


def read(folder: Path) -> pa.Table:
    """All files of all days, without the partition column."""
    files = sorted(folder.glob("dt=*/part-*.parquet"))
    return pa.concat_tables([pq.ParquetFile(file).read() for file in files])


def rows(folder: Path) -> list[tuple]:
    """The rows of a log in a canonical order, each value exact (lists layout unfolded)."""
    table = read(folder)
    frame = table.to_pandas(types_mapper=None)
    if pa.types.is_list(table.schema.field("item_id").type):
        frame = pd.DataFrame(table.to_pylist()).explode(
            [name for name in WITHIN if name in table.column_names]
        )
    frame = frame[sorted(frame.columns)].sort_values(KEY)
    plain = frame.astype(object).where(frame.notna(), None)
    return [tuple(row) for row in plain.itertuples(index=False)]


def made(out: Path, *, threads: int = 1, block_rows: int = 65_536, **changes: Any) -> Path:
    simulate(out, options(**changes), threads=threads, block_rows=block_rows)
    return out
