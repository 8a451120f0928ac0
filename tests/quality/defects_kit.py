"""A clean cascade log of days a week apart, built and told with its past; and faults for it.

Scores are probabilities of a click and make the order; a page of eight in any order, one page
in a request; dropped candidates below. Frames as `measured.clean_log` makes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rankdistill.quality.metrics import Day, as_text, metrics
from rankdistill.quality.metrics_file import read_metrics
from tests.quality.measured import built, days

FIRST = pd.Timestamp("2026-09-06", tz="UTC")
PAST_DAYS, PER_DAY = 8, 120
LAST = FIRST + pd.Timedelta(days=7 * PAST_DAYS)
SPLIT = LAST + pd.Timedelta("18h30s")  # within a minute, so that content can be on either side
RANKED, SHOWN, PRERANKED, RECALLED = 24, 8, 8, 8
LENGTH, ITEMS, USERS = RANKED + PRERANKED + RECALLED, 3000, 40
SETTINGS: dict[str, Any] = {
    "student": "recall",
    "split": {"train_until": str(SPLIT)},
    "catalogue": {"window": "1d", "own_day": True, "allow_short_history": True},
    "samples": {
        "pointwise": {"top_k": 5},
        "pairwise": {"top_k": 5},
        "listwise": {"grade": {"kind": "score_quantile"}, "max_length": 20},
        "negatives": {
            "positives": "feedback",
            "num": 10,
            "mix": {
                "exposed_unclicked": 0.1,
                "tail": 0.3,
                "prerank_dropped": 0.2,
                "recall_dropped": 0.2,
                "popular": 0.2,
            },
            "allow_exposed": True,
            "history_window": "1d",
            "popular": {"count_of": "click"},
        },
    },
    "quality": {"min_margin": 0.002, "attribution_window": "10m", "segments": []},
}


def log(dates: list[pd.Timestamp], seed: int = 3) -> pd.DataFrame:
    """The rows of some days; nobody clicks in the last hour of a day, which ends the log."""
    random = np.random.default_rng(seed)
    popular = 1 / np.arange(1, ITEMS + 1) ** 0.3
    stage = ["exposed"] * SHOWN + ["ranked"] * (RANKED - SHOWN)
    stage += ["preranked"] * PRERANKED + ["recalled"] * RECALLED
    rows = []
    for number in range(len(dates) * PER_DAY):
        day, within = divmod(number, PER_DAY)
        second = within * 86_400 // PER_DAY + int(random.integers(0, 86_400 // PER_DAY))
        score = np.sort(1 / (1 + np.exp(-random.normal(-1.2, 1.5, RANKED))))[::-1]
        clicked = (random.random(SHOWN) < score[:SHOWN]) & (second < 82_800)
        rows.append(
            pd.DataFrame(
                {
                    "request_id": 100_000 * dates[day].dayofyear + within,
                    "user_id": int(random.integers(0, USERS)),
                    "request_time": dates[day] + pd.Timedelta(seconds=second),
                    "item_id": random.choice(
                        ITEMS, LENGTH, replace=False, p=popular / popular.sum()
                    ),
                    "stage": stage,
                    "rank": padded(np.arange(1, RANKED + 1)),
                    "teacher_score": padded(score),
                    "position": padded(random.permutation(SHOWN) + 1),
                    "click": padded(clicked),
                    "teacher_version": "v1",
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def padded(values: np.ndarray) -> np.ndarray:
    """As float64 [LENGTH], NaN behind."""
    return np.concatenate([values.astype(float), np.full(LENGTH - len(values), np.nan)])


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`change` laid over `base`, block by block; a mix or grade rule replaces the whole one."""
    found = dict(base)
    for name, value in change.items():
        is_block = isinstance(value, dict) and isinstance(found.get(name), dict)
        replaces = name in ("mix", "grade", "tail", "weight")
        found[name] = merged(found[name], value) if is_block and not replaces else value
    return found


def build_days(folder: Path, rows: pd.DataFrame, change: dict[str, Any] | None = None) -> list[Day]:
    """What the table `metrics` holds of a build of the rows."""
    chosen = merged(SETTINGS, change or {})
    chosen["log"] = {
        "path": str(folder / "log.parquet"),
        "stage": {"from": "column", "column": "stage"},
        "score_kind": "probability",
        "response": {"click": 1},
        "columns": {"feedback": ["click"], "request": ["teacher_version"]},
    }
    return days(built(folder, rows.astype({"rank": "Int32"}), **chosen))


def fired(found: list[Day], past: list[Day]) -> dict[str, str]:
    """measure -> verdict, of those that warn or fail."""
    document = read_metrics(as_text(metrics(found, {}, past)), "they contradict themselves")
    return {m["id"]: m["verdict"] for m in document["measures"] if m["verdict"] in ("warn", "fail")}
