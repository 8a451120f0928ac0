"""The pairs table as most notebooks have it: a Python loop over pandas' groups.

pandas_pairs.py LAYOUT LOG OUT; the same draws as duckdb_pairs.py, by Python's own hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.peers.command_line import chosen

CANDIDATE = ["rank", "item_id", "teacher_score", "click"]


def requests(layout: str, log: str) -> Iterator[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]:
    """((request_id, user_id, request_time), its candidates by rank) of each request."""
    frame = pd.read_parquet(log, columns=["request_id", "user_id", "request_time", *CANDIDATE])
    if layout == "lists":
        for row in frame.itertuples(index=False):
            head = (row.request_id, row.user_id, row.request_time)
            yield head, list(zip(row.rank, row.item_id, row.teacher_score, row.click, strict=True))
        return
    for request_id, group in frame.groupby("request_id", sort=False):
        group = group.sort_values("rank")
        first = group.iloc[0]
        head = (request_id, first.user_id, first.request_time)
        yield head, list(group[CANDIDATE].itertuples(index=False, name=None))


def pairs(head: tuple[Any, ...], candidates: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    for place, (rank, item, score, _) in enumerate(candidates[:10]):
        later = [c for c in candidates[place + 1 :] if not c[3] > 0]
        for k in range(4):
            low, high = k * len(later) // 4, (k + 1) * len(later) // 4
            if low == high:
                continue
            neg_rank, neg_item, neg_score, _ = later[low + hash((head[0], place, k)) % (high - low)]
            chance = min(1.0, 4 / len(later))
            margin = score - neg_score
            yield (*head, item, neg_item, 1.0, margin, rank, neg_rank, "all", "after_k", chance)


def main() -> None:
    given = chosen()
    columns = [
        *("request_id", "user_id", "request_time", "pos_item_id", "neg_item_id", "weight"),
        *("margin", "pos_rank", "neg_rank", "split", "source", "probability"),
    ]
    found = [row for request in requests(given.layout, given.log) for row in pairs(*request)]
    frame = pd.DataFrame.from_records(found, columns=columns)
    frame.to_parquet(given.out, compression="zstd", index=False)


if __name__ == "__main__":
    main()
