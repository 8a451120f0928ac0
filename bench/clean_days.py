"""Logs without a fault, simulated, built and judged: on their days no gate may fire.

Worlds of differing seed, size, shape and student; the days of one world stand in one data set,
so that what compares a day with its past has one. Some have a day a week, for what compares a
weekday with itself. Of a list with `log.ranks` sampled, of probabilities, of several splits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from rankdistill.build import build
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.measuring import days_of
from rankdistill.quality.metrics import metrics
from rankdistill.quality.words import line
from rankdistill.settings import Settings
from rankdistill.store.dataset import DataSet

START = date(2026, 9, 6)
RECALL: dict[str, Any] = {
    "pointwise": {"top_k": 10, "negatives": {"kind": "ratio", "ratio": 3}},
    "pairwise": {"top_k": 10, "strategy": {"kind": "random", "num_pair_per_sample": 4}},
    "listwise": {"grade": {"kind": "rank_bucket", "width": 5, "levels": 5}, "max_length": 50},
    "negatives": {"num": 20, "history_window": "7d"},
}
PRERANK: dict[str, Any] = {
    "pointwise": {"top_k": 5, "negatives": {"kind": "all"}, "weight": {"kind": "log2"}},
    "pairwise": {"top_k": 5, "strategy": {"kind": "adjacent"}},
    "listwise": {"grade": {"kind": "score_quantile"}, "max_length": 40},
    "negatives": {"num": 10, "history_window": "1d"},
}
FEEDBACK: dict[str, Any] = {
    **RECALL,
    "negatives": {
        "positives": "feedback",
        "num": 10,
        # Two of a page of eight to ten: three run short where users clicked much of it before.
        "mix": {"exposed_unclicked": 0.2, "tail": 0.5, "popular": 0.3},
        "allow_exposed": True,
        "history_window": "7d",
    },
}


@dataclass(frozen=True)
class World:
    """size: of the simulation, its days apart; blocks: further settings."""

    size: Mapping[str, Any]
    student: str = "recall"
    samples: Mapping[str, Any] = field(default_factory=lambda: RECALL)
    days: int = 10
    apart: int = 1
    blocks: Mapping[str, Any] = field(default_factory=dict)


def worlds(days: int = 100) -> Iterator[World]:
    """Worlds of so many days together, ten each; the same ones each time."""
    for seed in range(-(-days // 10)):
        student, samples = (("recall", RECALL), ("prerank", PRERANK), ("recall", FEEDBACK))[
            seed % 3
        ]
        candidates = (60, 100, 200, 120)[seed % 4]
        size = {
            "seed": 1000 + seed,
            "num_requests": (150, 300, 500, 800, 1200)[seed % 5],
            "num_users": (100, 400, 2000)[seed % 3],
            "num_items": (1500, 4000, 10_000, 30_000)[seed % 4],
            "num_candidates": candidates,
            "num_ranked": candidates * (4, 5, 6)[seed % 3] // 12,
            "num_exposed": (6, 10, 8)[seed % 3],
            "layout": ("rows", "lists")[seed % 2],
            "id_kind": ("int", "string")[seed // 2 % 2],
        }
        yield World(
            size,
            student,
            samples,
            min(10, days - 10 * seed),
            (1, 7)[seed % 2],
            {"split": {"train_until": f"{START + timedelta(days=6)}T00:00:00Z"}}
            if seed % 4 == 0
            else {},
        )


def documents(world: World, folder: Path) -> dict[str, Any]:
    """metrics.json of the data set of a world, made under `folder`."""
    for day in range(world.days):
        first = START + timedelta(days=day * world.apart)
        options = SimulateOptions.model_validate({**world.size, "start_date": first, "days": 1})
        made = simulate(folder / "log", options)
    settings = {
        "output": str(folder / "out"),
        "student": world.student,
        "log": {
            "path": str(made.log),
            "layout": world.size["layout"],
            "stage": {"from": "column", "column": "stage"},
            "response": {"click": 1},
            "columns": {"feedback": ["click", "like"], "request": ["scene"]},
        },
        "catalogue": {"window": "7d", "own_day": True, "allow_short_history": True},
        "samples": world.samples,
        "quality": {"fail_on": "never", "segments": ["scene"]},
        **world.blocks,
    }
    build(Settings.model_validate(settings))
    data_set = DataSet.open(folder / "out")
    return metrics(days_of(data_set, data_set.current()), {})


def fired(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """dt ("" for all days together) -> the gates that fired."""
    found: dict[str, list[str]] = {}
    for measure in document["measures"]:
        if measure["verdict"] not in ("warn", "fail"):
            continue
        days = [dt for dt, day in measure["days"].items() if day["verdict"] in ("warn", "fail")]
        for dt in days or [""]:
            found.setdefault(dt, []).append(line(measure))
    return found


def report(days: int, folder: Path) -> None:
    """Print on how many clean days a gate fired, and which."""
    num, bad = 0, 0
    for world in worlds(days):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            found = fired(documents(world, Path(place)))
        num, bad = num + world.days, bad + len(found)
        size = world.size
        print(
            f"  seed {size['seed']}, {world.student}, {world.days} days of {size['num_requests']:,}"
            f" requests of {size['num_candidates']}: {len(found)} with alarms",
            flush=True,
        )
        for dt, lines in found.items():
            print("\n".join(f"    {dt or 'all days'}: {line}" for line in lines))
    print(f"  gates fired on {bad} of {num} clean days        goal 0")
