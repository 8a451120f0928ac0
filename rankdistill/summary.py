"""What a build made, for the terminal: counts per table, and a look at weights and grades."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.build import BuildResult, describe_door
from rankdistill.quality.text_table import text_table
from rankdistill.store.dataset import DataSet

WHY_EMPTY = {
    "requests_without_row": "gave nothing",
    "pairs_tied_skipped": "pairs of tied scores skipped",
    "pairs_gap_not_positive": "pairs without a positive gap skipped",
    "rows_capped": "rows over the cap left out",
}


def build_summary(made: BuildResult, output: str) -> str:
    """The build, the door, and a line per table with its rows and what was left out."""
    build = made.build
    days = sorted(made.by_dt)
    span = f"{days[0]} .. {days[-1]}" if len(days) > 1 else (days[0] if days else "none")
    state = (
        f"build {build.number} of {output}"
        if made.is_new
        else (f"up to date: build {build.number} of {output}; nothing written")
    )
    total = made.totals
    rows = []
    if "lists" in build.tables:
        note = _findings(total)
        rows.append({"table": "lists", "rows": total["requests"], "note": note})
    for kind in ("pointwise", "pairwise", "listwise"):
        if kind in build.tables:
            rows.append(
                {"table": kind, "rows": total[f"{kind}.rows"], "note": _left_out(kind, total)}
            )
    lines = [state, f"days      {span} ({len(days)})"]
    if made.is_new:
        lines.append(f"door      {describe_door(made.door)}")
    return "\n".join([*lines, "", text_table(rows)])


def _findings(total: Counter[str]) -> str:
    notes = [f"{total['candidates']:,} candidates"]
    for name, text in (
        ("one_candidate_requests", "with one candidate"),
        ("requests_with_rank_gap", "with gaps in rank"),
        ("rank_ties", "tied ranks"),
        ("score_ties", "tied neighbours by score"),
        ("score_inversions", "neighbours with rising score"),
    ):
        if total[name]:
            notes.append(f"{total[name]:,} {text}")
    return "; ".join(notes)


def _left_out(kind: str, total: Counter[str]) -> str:
    notes = []
    if total["requests"] and not total[f"{kind}.rows"]:
        notes.append(_why_empty(kind, total))
    for name, text in WHY_EMPTY.items():
        number = total[f"{kind}.{name}"]
        if number:
            unit = "requests " if name == "requests_without_row" else ""
            notes.append(f"{number:,} {unit}{text}")
    return "; ".join(notes)


def _why_empty(kind: str, total: Counter[str]) -> str:
    if total["one_candidate_requests"] == total["requests"]:
        return "empty: every request has one candidate"
    return "empty: no request has what this kind needs"


def sample_shape(data_set: DataSet) -> str:
    """Weights, sources and grades of each sample kind of the current build, as a table."""
    build = data_set.current()
    assert build is not None
    rows = [
        _shape(kind, list(data_set.read(kind, columns=_columns(kind))))
        for kind in ("pointwise", "pairwise", "listwise")
        if kind in build.tables
    ]
    return text_table(rows)


def _columns(kind: str) -> list[str]:
    return {
        "pointwise": ["source", "weight", "label"],
        "pairwise": ["source", "weight"],
        "listwise": ["source", "weight", "grade"],
    }[kind]


def _shape(kind: str, batches: list[pa.RecordBatch]) -> dict[str, Any]:
    weights = [batch.column("weight").to_numpy(zero_copy_only=False) for batch in batches]
    weight = np.concatenate(weights) if weights else np.zeros(0)
    sources: Counter[str] = Counter()
    for batch in batches:
        sources.update(dict(_counts(batch.column("source"))))
    what = ", ".join(f"{name} {n:,}" for name, n in sorted(sources.items()))
    if kind == "listwise":
        grades: Counter[float] = Counter()
        for batch in batches:
            grades.update(dict(_counts(batch.column("grade").flatten())))
        what = "grades " + ", ".join(f"{g:g}: {n:,}" for g, n in sorted(grades.items()))
    return {
        "kind": kind,
        "rows": len(weight),
        "weight min": float(weight.min()) if len(weight) else None,
        "mean": float(weight.mean()) if len(weight) else None,
        "max": float(weight.max()) if len(weight) else None,
        "of which": what,
    }


def _counts(column: pa.Array) -> Iterator[tuple[Any, int]]:
    for entry in pc.value_counts(column).to_pylist():
        yield entry["values"], entry["counts"]
