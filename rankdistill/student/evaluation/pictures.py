"""Values with their intervals as marks on a line, top down: of one student or of two.

Drawn for a narrow screen and let grow: 380 points wide, texts of 10.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from rankdistill.quality.report.svg import LETTER, Sheet
from rankdistill.quality.words import number

WIDTH, ROW, SPACE, FOOT, MAX_LABEL = 380, 13, 7, 20, 22
Mark = tuple[float | None, float | None, float | None]  # value, low, high


def forest(rows: Sequence[tuple[str, Sequence[Mark]]], zero: bool = False) -> Sheet:
    """A row for each label with a mark of each student; zero: with a line at 0."""
    labels = [label if len(label) <= MAX_LABEL else f"{label[:20]}.." for label, _ in rows]
    num = max(len(marks) for _, marks in rows)
    each = ROW * num + SPACE
    left = max(map(len, labels)) * LETTER + 10
    held = [x for _, marks in rows for mark in marks for x in mark if x is not None]
    low, high, ticks = _range([*held, *([0.0] if zero else [])])
    sheet = Sheet(WIDTH, each * len(rows) + FOOT)

    def along(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - 16)

    bottom = each * len(rows)
    for tick in ticks:
        sheet.line([(along(tick), 0), (along(tick), bottom)], "rule")
        sheet.text(along(tick), bottom + 11, number(tick), ha="center")
    if zero:
        sheet.line([(along(0.0), 0), (along(0.0), bottom)], "ink")
    for at, (_, marks) in enumerate(rows):
        top = each * at + SPACE / 2
        sheet.text(left - 6, top + ROW * num / 2, labels[at], "ink", ha="right")
        for place, mark in enumerate(marks):
            _mark(sheet, along, mark, top + ROW * (place + 0.5), f"s{place + 1}")
    return sheet


def _mark(sheet: Sheet, along: object, mark: Mark, y: float, cls: str) -> None:
    assert callable(along)
    value, low, high = mark
    if low is not None and high is not None:
        left, right = along(low), along(high)
        ends = [(left, y - 3, 1, 6), (right - 1, y - 3, 1, 6)]
        sheet.boxes([(left, y - 0.75, max(right - left, 1), 1.5), *ends], cls)
    if value is not None:
        sheet.boxes([(along(value) - 2.5, y - 2.5, 5, 5)], cls)


def _range(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """(low, high, ticks) that hold all values."""
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    ticks = [float(tick) for tick in MaxNLocator(4).tick_values(low, high)]
    return ticks[0], ticks[-1], ticks
