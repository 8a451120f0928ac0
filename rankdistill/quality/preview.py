"""One request as a person wants to see it: candidates, and what each sample kind made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankdistill.lists.batch import STAGES, Lists
from rankdistill.quality.text_table import text_table

STAGE_NAMES = {code: name for name, code in STAGES.items()}
COMMON = ("request_id", "user_id", "request_time", "split", "dt")


@dataclass(frozen=True)
class Preview:
    """head: the request's own columns; candidates and each kind's samples as plain rows."""

    head: Mapping[str, Any]
    candidates: list[dict[str, Any]]
    samples: Mapping[str, list[dict[str, Any]]]

    def text(self) -> str:
        head = "  ".join(f"{k}={v}" for k, v in self.head.items() if v is not None)
        blocks = [f"request {head}", text_table(self.candidates)]
        for kind, rows in self.samples.items():
            blocks += [f"\n{kind} ({len(rows)} rows)", text_table(rows)]
        return "\n".join(blocks)

    def as_dict(self) -> dict[str, Any]:
        return {"request": dict(self.head), "candidates": self.candidates, **self.samples}


def candidate_rows(
    lists: Lists, reasons: Mapping[str, np.ndarray] | None = None
) -> list[dict[str, Any]]:
    """A plain row per candidate of the only request; `reasons` adds a column why per kind."""
    rows = []
    table = lists.candidates.to_pylist()
    for i, candidate in enumerate(table):
        shown = {
            "place": i + 1,
            "item_id": candidate["item_id"],
            "stage": STAGE_NAMES.get(candidate["stage"], candidate["stage"]),
            "teacher_rank": int(lists.teacher_rank[i]) or None,
            **{k: v for k, v in candidate.items() if k not in ("item_id", "stage")},
        }
        for kind, why in (reasons or {}).items():
            shown[f"why {kind}"] = why[i]
        rows.append(shown)
    empty = [k for k in rows[0] if all(row[k] is None for row in rows)] if rows else []
    return [{k: v for k, v in row.items() if k not in empty} for row in rows]


def why_pointwise(lists: Lists, points: Any, options: Any, sources: tuple[str, ...]) -> np.ndarray:
    """For each candidate what the pointwise kernel did with it, in words."""
    why = _why_not(lists, options.allow_exposed)
    for place, label, source, weight, probability in zip(
        points.item, points.label, points.source, points.weight, points.probability, strict=True
    ):
        role = "positive" if label > 0 else "negative"
        chance = "" if probability == 1 else f", drawn with p={probability:.3g}"
        why[place] = f"{role} ({sources[source]}), weight {weight:.3g}{chance}"
    return why


def why_pairwise(lists: Lists, pairs: Any, options: Any) -> np.ndarray:
    """For each candidate in how many pairs it stands, or why in none as a negative."""
    why = _why_not(lists, options.allow_exposed)
    size = lists.candidates.num_rows
    as_pos = np.bincount(pairs.pos, minlength=size)
    as_neg = np.bincount(pairs.neg, minlength=size)
    for i in np.flatnonzero(as_pos + as_neg):
        why[i] = f"positive in {as_pos[i]}, negative in {as_neg[i]}"
    return why


def why_listwise(lists: Lists, graded: Any) -> np.ndarray:
    """For each candidate its grade, or that it lies beyond the cap."""
    why = np.full(lists.candidates.num_rows, "beyond max_length", dtype=object)
    for item, grade, probability in zip(
        graded.item, graded.grade, graded.item_probability, strict=True
    ):
        chance = "" if probability == 1 else f", drawn with p={probability:.3g}"
        why[item] = f"grade {grade:g}{chance}"
    return why


def _why_not(lists: Lists, allow_exposed: bool) -> np.ndarray:
    why = np.full(lists.candidates.num_rows, "not drawn", dtype=object)
    why[lists.teacher_rank == 0] = "not drawn (no teacher rank)"
    if not allow_exposed:
        why[lists.exposed] = "exposed: no negative for this student"
    why[lists.responded] = "responded to: never a negative"
    return why
