"""Builds of one configuration on both engines, told by the content hashes of their tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.build import BuildResult, build
from rankdistill.document import read_document
from rankdistill.settings import Settings, settings_of
from rankdistill.store.dataset import DataSet

ALL_KINDS: dict[str, Any] = {"pointwise": {}, "pairwise": {}, "listwise": {}}


def settings(log: dict[str, Any], out: Path, kind: str = "duckdb", **more: Any) -> Settings:
    """Settings over `log` with all sample kinds; more: top-level keys."""
    config = {"output": str(out), "engine": {"kind": kind}, "samples": ALL_KINDS, "log": log}
    config["quality"] = {"fail_on": "never"}  # logs of the tests are odd on purpose
    return settings_of(read_document(json.dumps({**config, **more}), "test.yaml"))


def built(log: dict[str, Any], out: Path, kind: str, **more: Any) -> BuildResult:
    return build(settings(log, out, kind, **more))


def hashes(log: dict[str, Any], out: Path, kind: str, **more: Any) -> dict[str, str]:
    """{table: content hash} of a build on `engine`, and its counts at the door."""
    made = built(log, out / kind, kind, **more)
    data_set = DataSet.open(out / kind)
    found = {table: str(data_set.content_hash(table)) for table in made.build.tables}
    return {**found, "door": json.dumps(dict(sorted(made.door.items())))}


def of_rows(found: dict[str, str]) -> dict[str, str]:
    """The same without the metrics, which also hold the hash of the config: of the same rows
    under another name (a file, a table of a catalogue) it is another."""
    return {name: text for name, text in found.items() if name != "metrics"}


def assert_alike(log: dict[str, Any], out: Path, **more: Any) -> dict[str, str]:
    """Both engines give the same rows of every table; their hashes."""
    found = hashes(log, out, "duckdb", **more)
    assert hashes(log, out, "spark", **more) == found
    return found


def odd_rows(num: int = 3000, *, text_ids: bool = True, seed: int = 5) -> pa.Table:
    """Rows with nulls, duplicates and ties; about 40 requests, ranks from 1."""
    random = np.random.default_rng(seed)
    request, item = random.integers(0, 40, num), random.integers(0, 60, num)
    score = np.round(random.normal(size=num), 1)
    columns: dict[str, Any] = {
        "request_id": pa.array(request, mask=random.random(num) < 0.02),
        "item_id": pa.array(item, mask=random.random(num) < 0.02),
        "user_id": pa.array(request % 7),
        "rank": pa.array(random.integers(1, 30, num), pa.int32()),
        "teacher_score": pa.array(score, mask=random.random(num) < 0.01),
        "click": pa.array(random.random(num) < 0.1),
        "seen": pa.array(random.integers(0, 2**45, num) * 1000 + 1, pa.timestamp("ns")),
    }
    if text_ids:
        columns["request_id"] = columns["request_id"].cast(pa.string())
        columns["item_id"] = pa.array(
            [None if i is None else f"v{i}" for i in columns["item_id"].to_pylist()]
        )
    return pa.table(columns)


COLUMNS = {"feedback": ["click"], "item": ["seen"]}
ROWS = {"columns": COLUMNS}


def in_parquet(folder: Path, table: pa.Table, num_files: int = 1) -> dict:
    """`table` as files under `folder`/in; the log block that reads them."""
    (folder / "in").mkdir(exist_ok=True)
    size = -(-len(table) // num_files)
    for i in range(num_files):
        pq.write_table(table.slice(i * size, size), folder / "in" / f"{i}.parquet")
    return {"path": str(folder / "in"), **ROWS}


def lists_log(folder: Path, num: int = 50) -> dict:
    random = np.random.default_rng(3)
    rows = []
    for request in [*range(num), 7, 8]:  # two ids occur twice
        size = int(random.integers(0, 9))
        items = random.permutation(20)[:size]
        candidates = [
            {"vid": int(v), "score": float(round(random.normal(), 1)), "a.b": {"click": int(v) % 2}}
            for v in items
        ]
        rows.append({"rid": request, "uid": "u", "cands": candidates, "vids": items.tolist()})
    pq.write_table(pa.Table.from_pylist(rows), folder / "lists.parquet", row_group_size=20)
    return {"path": str(folder / "lists.parquet"), "layout": "lists"}
