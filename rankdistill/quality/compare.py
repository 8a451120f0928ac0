"""Two sets of metrics held side by side: what `diff` says. A pure function of both documents.

Rows that only one side has are found by the roof (`differ.py`) and handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from rankdistill.quality.judged import SEVERITY
from rankdistill.quality.measures.drift import drifts
from rankdistill.quality.metrics import Day, together
from rankdistill.quality.state import ALL

PSI_WARN, PSI_FAIL = 0.10, 0.25  # as Q30


@dataclass(frozen=True)
class Side:
    """One side of a comparison. name: as a person gave it; dts: its days; schemas, rows: of each
    table; days: what its metrics, the document, were made of."""

    name: str
    dts: Sequence[str]
    schemas: Mapping[str, pa.Schema]
    rows: Mapping[str, int]
    days: Sequence[Day] = ()
    document: Mapping[str, Any] | None = None


def compared(
    a: Side, b: Side, only: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """What B changed against A, as plain JSON values.

    only: of tables whose rows differ on days of both sides, how many keys one side alone has
    (only_a, only_b), and the first of them (examples_a, examples_b).
    """
    found: dict[str, Any] = {
        "a": a.name,
        "b": b.name,
        "days": {"a": list(a.dts), "b": list(b.dts)},
        "schema": schema_changes(a.schemas, b.schemas),
        "rows": _pairs(a.rows, b.rows),
        "only": dict(only or {}),
        "metrics": {"a": a.document is not None, "b": b.document is not None},
        "config": [],
        "counts": [],
        "funnel": [],
        "drift": [],
        "measures": [],
    }
    if a.document is not None and b.document is not None:
        found["config"] = flat_changes(a.document["facts"], b.document["facts"])
        found["counts"] = _changed(_pairs(a.document["counts"], b.document["counts"]))
        found["funnel"] = _pairs(_funnel(a.document), _funnel(b.document))
        found["drift"] = drift_rows(a.days, b.days)
        found["measures"] = measure_rows(a.document, b.document)
    # Of a side that was not measured only schema and rows are known: too little to say so.
    is_whole = list(a.dts) == list(b.dts) and all(found["metrics"].values())
    found["equal"] = is_whole and not any(found[k] for k in ("schema", "config", "counts", "only"))
    return found


def schema_changes(
    a: Mapping[str, pa.Schema], b: Mapping[str, pa.Schema]
) -> list[dict[str, str | None]]:
    """Tables and columns that one side lacks or has in another type."""
    found: list[dict[str, str | None]] = []
    for table in sorted({*a, *b}):
        one, other = (
            {field.name: str(field.type) for field in side[table]} if table in side else None
            for side in (a, b)
        )
        if one is None or other is None:
            kinds = ["table" if side is not None else None for side in (one, other)]
            found.append({"table": table, "column": None, "a": kinds[0], "b": kinds[1]})
            continue
        for column in [*one, *(name for name in other if name not in one)]:
            if one.get(column) != other.get(column):
                row = {"table": table, "column": column}
                found.append({**row, "a": one.get(column), "b": other.get(column)})
    return found


def flat_changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Keys of two nested mappings with unlike values, as dotted paths."""
    one, other = _flat(a), _flat(b)
    return [
        {"key": key, "a": one.get(key), "b": other.get(key)}
        for key in sorted({*one, *other})
        if one.get(key) != other.get(key)
    ]


def drift_rows(a: Sequence[Day], b: Sequence[Day]) -> list[dict[str, Any]]:
    """PSI and JS distance of each distribution that both sides have, farthest first."""
    states = [
        {name: found.segments.get(ALL, {}) for name, found in together(days).states.items()}
        for days in (a, b)
    ]
    found = drifts(lambda m: states[1].get(m, {}), lambda m: states[0].get(m, {}))
    rows = [
        {"distribution": name, **told, "verdict": _drift_verdict(told)}
        for name, told in found.items()
    ]
    return sorted(rows, key=lambda row: -row["psi"])


def measure_rows(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every measure of both sides; those whose verdict got worse first."""
    before = {m["id"]: m for m in a["measures"]}
    after = {m["id"]: m for m in b["measures"]}
    rows = []
    for name in sorted({*before, *after}):
        one, other = before.get(name, {}), after.get(name, {})
        verdicts = [side.get("verdict", "not applicable") for side in (one, other)]
        rows.append(
            {
                "id": name,
                "name": (other or one)["name"],
                "unit": (other or one)["unit"],
                "a": one.get("value"),
                "b": other.get("value"),
                "verdict_a": verdicts[0],
                "verdict_b": verdicts[1],
                "worse": SEVERITY[verdicts[1]] > max(SEVERITY[verdicts[0]], 1),
                "better": SEVERITY[verdicts[0]] > SEVERITY[verdicts[1]] > 0,
            }
        )
    return sorted(rows, key=lambda row: (not row["worse"], row["id"]))


def _drift_verdict(told: Mapping[str, float]) -> str:
    psi = told["psi"] if told["psi"] > told["noise"] else 0.0
    return "fail" if psi > PSI_FAIL else "warn" if psi > PSI_WARN else "ok"


def _funnel(document: Mapping[str, Any]) -> dict[str, int]:
    """stage -> candidates, from the measure that keeps the funnel."""
    for measure in document["measures"]:
        if found := measure["histogram"].get("funnel"):
            return dict(zip(found["labels"], found["counts"], strict=True))
    return {}


def _pairs(a: Mapping[str, int], b: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"name": name, "a": a.get(name), "b": b.get(name)} for name in dict.fromkeys([*a, *b])]


def _changed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["a"] != row["b"]]


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{path}.{key}" if path else str(key))
        return found
    return {path: value}
