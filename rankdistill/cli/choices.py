"""Values of closed sets: what a shell completes, what an option takes.

Written out here, so that completing imports nothing of what they name; tests/cli/test_completion.py
holds them to the catalogues.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from rankdistill.codes import CODES

ENGINES = ("duckdb", "spark")
FORMATS = ("text", "json")
VERDICTS = ("fail", "warn", "never")
SPLITS = ("valid", "test")
INDEXES = ("flat", "ivf", "ivf_pq", "hnsw")
ANCHORS = ("user", "request")
BASELINES = ("yesterday", "weekday", "last:")
TABLES = (
    *("lists", "pointwise", "pairwise", "listwise", "negatives"),
    *("items", "responses", "rejects", "metrics"),
)
HANDED_OVER = (
    *("triplet", "n-tuple", "n-tuple-scores", "labeled-list"),
    *("libsvm", "lightgbm", "tfrecord", "easyrec"),
)
EXPLAINED = (*CODES, *(f"Q{number:02}" for number in range(1, 35)), "funnel")


def completed(values: tuple[str, ...]) -> Callable[[str], list[str]]:
    """For typer's `autocompletion`: the values that go on as what is typed so far."""

    def going_on(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return going_on


def one_of(values: tuple[str, ...]) -> dict[str, Any]:
    """For an option that takes these values alone: completed, and checked before anything runs."""

    def checked(value: str | None) -> str | None:
        if value is not None and value not in values:
            raise typer.BadParameter(f'"{value}"; known are {", ".join(values)}')
        return value

    return {"autocompletion": completed(values), "callback": checked}
