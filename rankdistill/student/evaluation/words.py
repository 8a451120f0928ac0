"""Figures of evaluation.json in words: the same on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rankdistill.quality.words import plain


def digits(value: float | None) -> str:
    """ "0.5935", "-"."""
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.4g}"


def signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def between(figure: Mapping[str, Any], form: Any = digits) -> str:
    """ "0.5911 to 0.5960", "-"."""
    if figure["low"] is None:
        return "-"
    return f"{form(figure['low'])} to {form(figure['high'])}"


def measure_rows(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row per measure for a terminal table."""
    rows = [
        {"measure": figure["measure"], **cells(figure), "what": figure["what"]}
        for figure in document["measures"]
    ]
    if len(document["students"]) == 1:
        return rows
    left_out = ("own interval", "other's interval", "what")
    return [{name: cell for name, cell in row.items() if name not in left_out} for row in rows]


def cells(figure: Mapping[str, Any]) -> dict[str, str]:
    """Value and interval; with another student the verdict, the difference, and its value."""
    if "against" not in figure:
        return {"value": digits(figure["value"]), "interval": between(figure)}
    difference = figure["difference"]
    return {
        "value": digits(figure["value"]),
        "other": digits(figure["against"]["value"]),
        "verdict": difference["verdict"],
        "difference": signed(difference["value"]),
        "its interval": between(difference, signed),
        "own interval": between(figure),
        "other's interval": between(figure["against"]),
    }


def sentence(document: Mapping[str, Any]) -> str:
    """What the evaluation says, in one sentence."""
    by_name = {figure["measure"]: figure for figure in document["measures"]}
    opa = by_name.get("opa_micro")
    if len(document["students"]) == 1:
        if opa is None:
            return "The teacher ordered no two candidates of one request."
        share = f"{100 * opa['value']:.1f}%"
        return f"The student orders {share} of the pairs as the teacher does."
    named: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
    for figure in document["measures"]:
        named[figure["difference"]["verdict"]].append(figure["measure"])
    of, parts = len(document["measures"]), []
    for verdict, names in named.items():
        if names:
            parts.append(f"{verdict} in {len(names)} of {of} measures ({_some(names)})")
    return f"Against the other student: {'; '.join(parts)}."


def _some(names: Sequence[str]) -> str:
    shown = [plain(name) for name in names[:4]]
    return ", ".join([*shown, *([f"{len(names) - 4} more"] if len(names) > 4 else [])])
