"""Data sets of literal rows, and exports of them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankdistill.contract import arrow_schema
from rankdistill.export.asked import Asked
from rankdistill.export.export import export_samples
from rankdistill.store.dataset import BuildInfo, DataSet, DayFacts, PartWriter

INFO = BuildInfo(config_hash="chosen", seed=1, input_fingerprint="f", code_version="0")
DAY = "2026-11-01"
OF_REQUEST = {"user_id": 7, "request_time": None, "split": "train", "dt": DAY}
DEFAULTS: dict[str, dict[str, Any]] = {
    "pairwise": {"weight": 1.0, "margin": None, "source": "tail", "probability": 1.0},
    "negatives": {"pos_item_id": None, "source": "tail", "probability": 1.0, "item_q": 0.5}
    | {"mixture_q": 0.5},
    "listwise": {"weight": 1.0, "source": "order", "probability": 1.0},
    "pointwise": {"weight": 1.0, "stage": 3, "source": "top_k", "probability": 1.0},
    "lists": {},
    "items": {},
}
INT, TEXT = pa.int64(), pa.string()
ITEMS = pa.schema([("item_id", INT), ("dt", TEXT), ("num_positive", INT)])


def data_set(
    root: Path,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    ids: pa.DataType = INT,
    **groups: pa.Schema,
) -> DataSet:
    """One build of literal rows; what a row leaves out has a default, or is null.

    ids: the type of all ids. groups: further columns, as `arrow_schema` takes them.
    """
    kinds = dict.fromkeys(("request_id", "user_id", "item_id"), ids)
    schemas = {t: ITEMS if t == "items" else arrow_schema(t, kinds, **groups) for t in tables}
    days = {row.get("dt", DAY) for rows in tables.values() for row in rows} or {DAY}
    data = DataSet.create_or_open(root)
    staging = data.begin()
    with PartWriter(data.root, staging.build_id, "t0", schemas=schemas) as writer:
        for table, rows in tables.items():
            for dt in sorted(days):
                mine = [row for row in rows if row.get("dt", DAY) == dt]
                writer.write(table, dt, _batch(table, mine, schemas[table]))
    facts = {dt: DayFacts(config_hash="c", fingerprint="f") for dt in days}
    data.publish(staging, writer.close(), schemas, facts, INFO)
    return data


def _batch(table: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    full = [OF_REQUEST | DEFAULTS[table] | dict(row) for row in rows]
    for row in full:
        for name in ("grade", "item_probability") if table == "listwise" else ():
            row.setdefault(name, [1.0] * len(row["item_id"]))
        if table == "lists":
            row.setdefault("stage", [3] * len(row["item_id"]))
    return pa.RecordBatch.from_pylist(full, schema)


def pairs(request: Any, positive: Any, *negatives: Any, **more: Any) -> list[dict[str, Any]]:
    """Rows of `pairwise`: one positive of a request against each negative."""
    row = {"request_id": request, "pos_item_id": positive, **more}
    return [row | {"neg_item_id": negative} for negative in negatives]


def export(data: DataSet, out: Path, kind: str, **options: Any) -> dict[str, Any]:
    """The manifest; options of `Asked`, and build and dts."""
    more = {name: options.pop(name) for name in ("build", "dts", "notify") if name in options}
    return export_samples(data, out, kind, Asked(**options), **more)


def rows_of(file: Path) -> list[dict[str, Any]]:
    return pq.read_table(file).to_pylist()


def library(name: str) -> Any:
    """The trainer's own library; where it is missing the test is skipped, and fails in CI."""
    if os.environ.get("CI") == "true":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed")
