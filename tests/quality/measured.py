"""Logs as pandas frames, built and measured: what the tests of measures hold against oracles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rankdistill.build import build
from rankdistill.measuring import days_of
from rankdistill.quality.metrics import Day, as_text, metrics
from rankdistill.quality.metrics_file import read_metrics
from rankdistill.settings import Settings
from rankdistill.store.dataset import DataSet

START = pd.Timestamp("2026-11-01", tz="UTC")


def clean_log(
    *, seed: int = 1, days: int = 2, per_day: int = 60, items: int = 300, length: int = 40
) -> pd.DataFrame:
    """Rows of a clean log: scores fall with the rank, the first ten shown, some clicked."""
    random = np.random.default_rng(seed)
    popular = 1 / np.arange(1, items + 1) ** 0.5
    rows = []
    for number in range(days * per_day):
        day, within = divmod(number, per_day)
        second = within * 86_400 // per_day + int(random.integers(0, 86_400 // per_day))
        chosen = random.choice(items, length, replace=False, p=popular / popular.sum())
        shown = np.arange(1, length + 1) <= 10
        rows.append(
            pd.DataFrame(
                {
                    "request_id": number,
                    "user_id": int(random.integers(0, 25)),
                    "request_time": START + pd.Timedelta(days=day, seconds=second),
                    "item_id": chosen,
                    "rank": np.arange(1, length + 1),
                    "teacher_score": np.sort(random.normal(size=length))[::-1],
                    "position": np.where(shown, np.arange(1, length + 1), np.nan),
                    "click": np.where(shown, random.random(length) < 0.2, np.nan),
                    "teacher_version": "v1",
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def built(folder: Path, log: pd.DataFrame, /, **settings: Any) -> DataSet:
    """The data set of a log; settings: blocks of the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    log.astype({"position": "Int32", "click": "Int32"}).to_parquet(folder / "log.parquet")
    columns = {"feedback": ["click"], "request": ["teacher_version"]}
    chosen = {
        "output": str(folder / "out"),
        "log": {"path": str(folder / "log.parquet"), "columns": columns},
        "samples": {"pointwise": {}},
        **settings,
    }
    chosen["quality"] = {"fail_on": "never", **chosen.get("quality", {})}
    build(Settings.model_validate(chosen))
    return DataSet.open(folder / "out")


def days(data_set: DataSet) -> list[Day]:
    """What its metrics hold."""
    return days_of(data_set, data_set.current())


def measures(data_set: DataSet) -> dict[str, dict[str, Any]]:
    """Q01 ... of its metrics.json."""
    document = metrics(days(data_set), {})
    assert read_metrics(as_text(document), "they contradict themselves")
    return {m["id"]: m for m in document["measures"]}


def bad(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Measures whose verdict is warn or fail."""
    return {i: m["verdict"] for i, m in found.items() if m["verdict"] in ("warn", "fail")}


def frame(data_set: DataSet, table: str) -> pd.DataFrame:
    """A table as it was written."""
    return pa.Table.from_batches(data_set.read(table), data_set.schema(table)).to_pandas()
