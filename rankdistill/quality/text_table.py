"""Rows of plain values as an aligned text table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rankdistill.errors import on_a_line

MAX_CELL = 240
# Integers that name something: no thousands separators.
NAMES = ("build", "place", "position", "seed", "stage", "label")


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A header and a line per row; numbers to the right, the rest to the left.

    rows: all with the keys of the first. Empty input gives "(no rows)".
    """
    if not rows:
        return "(no rows)"
    names = list(rows[0])
    cells = [[_cell(row.get(name), name) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    right = [all(_is_number(row[name]) for row in rows) for name in names]
    lines = [names, *cells]
    return "\n".join(
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: Any, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value}" if name.endswith(("_id", "rank", *NAMES)) else f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = on_a_line(str(value))
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 3] + "..."


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
