"""One request as a page: its candidates, what became of each, and the samples made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rankdistill.lists.batch import STAGES
from rankdistill.quality import words
from rankdistill.quality.preview import Preview
from rankdistill.quality.report.html import template

MAX_ROWS = 1_000  # of a table
TONES = {"exposed": "s1", "reranked": "s2", "ranked": "s3", "preranked": "s4", "recalled": "s0"}
CELL = 40  # characters of a cell from which on it may break over lines
NAMES = {"place": "#", "item_id": "item", "pos_item_id": "preferred", "neg_item_id": "other"}
KINDS = {
    "pointwise": "A row per item: what it is trained to be, and how much it counts.",
    "pairwise": "A row per pair: the preferred item, the other one, and how much the pair counts.",
    "listwise": "The request as one graded list.",
    "negatives": "A row per item drawn as a negative, with the probability of being drawn.",
}


def request_page(shown: Preview, title: str) -> str:
    """The HTML. title: whose request, "build 3 of feed"."""
    head = {k: _cell(k, v) for k, v in shown.head.items() if v is not None and k != "request_id"}
    reasons = None if shown.reasons is None else _table(shown.reasons)
    return template("request.html.j2").render(
        title=words.plain(title),
        request=words.plain(shown.head["request_id"]),
        head=[(_name(name), cell["text"]) for name, cell in head.items()],
        stages=_stages(shown.candidates),
        candidates=_table(shown.candidates),
        reasons=reasons,
        samples=[
            {"key": words.plain(kind), "intro": KINDS.get(kind, ""), **_table(rows)}
            for kind, rows in shown.samples.items()
        ],
        words=words,
    )


def _stages(candidates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many candidates got how far, the furthest first."""
    held = Counter(row["stage"] for row in candidates)
    order = sorted(held, key=lambda name: -STAGES.get(name, -1))
    return [{"name": words.plain(n), "num": held[n], "tone": TONES.get(n, "")} for n in order]


def _table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows as cells; columns without a value are left out."""
    names = list(dict.fromkeys(k for row in rows for k, v in row.items() if v is not None))
    columns = [[_cell(name, row.get(name)) for row in rows[:MAX_ROWS]] for name in names]
    wide = [any(len(cell["text"]) > CELL for cell in column) for column in columns]
    return {
        "header": [
            {"name": _name(n), "is_text": any(c["is_text"] for c in column)}
            for n, column in zip(names, columns, strict=True)
        ],
        "rows": list(zip(*columns, strict=True)),
        "wide": wide,
        "num_rows": len(rows),
        "left_out": max(len(rows) - MAX_ROWS, 0),
    }


def _name(column: str) -> str:
    return NAMES.get(column) or words.plain(column.replace("_", " "))


def _cell(column: str, value: Any) -> dict[str, Any]:
    """The text of a value, whether it is read as text, and the colour of a stage."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    tone = TONES.get(value, "") if column.endswith("stage") and isinstance(value, str) else ""
    is_text = not is_number and value is not None
    return {"text": _text(column, value), "is_text": is_text, "tone": tone}


def _decimal(value: float) -> str:
    """Four decimals at most, so that a column can be compared; 0.00001 as 1e-05."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.4f}".rstrip("0").rstrip(".")
    return f"{value:.4g}"


def _text(column: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or column.endswith("_id"):
        return words.plain(value)
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return words.plain(value)
