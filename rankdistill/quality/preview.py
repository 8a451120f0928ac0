"""One request as a person wants to see it: candidates, and what each sample kind made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankdistill.errors import on_a_line
from rankdistill.lists.batch import STAGES, Lists
from rankdistill.quality.text_table import text_table

STAGE_NAMES = {code: name for name, code in STAGES.items()}
COMMON = ("request_id", "user_id", "request_time", "split", "dt")


@dataclass(frozen=True)
class Preview:
    """head: the request's own columns; candidates and each kind's samples as plain rows.

    build: the number of the build they are read from.
    """

    head: Mapping[str, Any]
    candidates: list[dict[str, Any]]
    samples: Mapping[str, list[dict[str, Any]]]
    reasons: list[dict[str, Any]] | None = None
    build: int = 0

    def text(self) -> str:
        """Candidates and samples; with reasons those alone, a line per candidate."""
        known = {k: v for k, v in self.head.items() if v is not None}
        head = "  ".join(f"{k} {on_a_line(str(v))}" for k, v in known.items())
        blocks = [f"{head}\n"]
        if self.reasons is not None:
            return "\n".join([*blocks, text_table(self.reasons)])
        blocks += [f"candidates ({len(self.candidates)})", text_table(self.candidates)]
        for kind, rows in self.samples.items():
            blocks += [f"\n{kind} ({len(rows)} rows)", text_table(rows)]
        return "\n".join(blocks)

    def as_dict(self) -> dict[str, Any]:
        whole = {"request": dict(self.head), "candidates": self.candidates, **self.samples}
        return whole if self.reasons is None else {**whole, "why": self.reasons}


def candidate_rows(lists: Lists) -> list[dict[str, Any]]:
    """A plain row per candidate of the only request, without columns that are all null."""
    rows = []
    for i, candidate in enumerate(lists.candidates.to_pylist()):
        shown = {
            "place": i + 1,
            "item_id": candidate["item_id"],
            "stage": stage_name(candidate["stage"]),
            "teacher_rank": int(lists.teacher_rank[i]) or None,
            **{k: v for k, v in candidate.items() if k not in ("item_id", "stage")},
        }
        rows.append(shown)
    empty = [k for k in rows[0] if all(row[k] is None for row in rows)] if rows else []
    return [{k: v for k, v in row.items() if k not in empty} for row in rows]


def reason_rows(lists: Lists, reasons: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """A plain row per candidate: place, item, stage, and what each kind made of it."""
    return [
        {
            "place": row["place"],
            "item_id": row["item_id"],
            "stage": row["stage"],
            **{kind: why[i] for kind, why in reasons.items()},
        }
        for i, row in enumerate(candidate_rows(lists))
    ]


def stage_name(code: int) -> str:
    return STAGE_NAMES.get(code, str(code))
