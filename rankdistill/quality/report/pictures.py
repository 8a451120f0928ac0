"""Bins as pictures: columns over ordered bins, bars over names, a grid of two sides, days.

Drawn for a narrow screen and let grow: 380 points wide, texts of 10.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator

from rankdistill.quality.report.bins import Bins
from rankdistill.quality.report.svg import LETTER, Sheet
from rankdistill.quality.words import number, percent, share_text

WIDTH, PLOT_HEIGHT, TOP, ROW = 380, 150, 12, 17
MAX_LABEL = 22  # characters of a label in a picture; the table has it whole
MAX_COLUMNS = 60


def picture(bins: Bins) -> Sheet:
    """The kind of picture that suits the bins."""
    if bins.is_grid:
        return grid(bins)
    is_wide = bins.is_ordered and len(bins.labels) > 2
    return columns(bins) if is_wide and len(bins.labels) <= MAX_COLUMNS else bars(bins)


def columns(bins: Bins) -> Sheet:
    """A group of columns for each bin, left to right."""
    labels = [_short(label) for label in bins.labels]
    drawn = [bins.drawn(series) for series in bins.series]
    low, high, ticks = _scale([v for values in drawn for v in values])
    told = [_tick(bins, tick) for tick in ticks]
    left = max(map(len, told)) * LETTER + 12
    each = (WIDTH - left - 4) / len(labels)
    step, is_turned, below = _labelling(labels, each)
    sheet = Sheet(WIDTH, TOP + PLOT_HEIGHT + below)

    def level(value: float) -> float:
        return TOP + PLOT_HEIGHT * (high - value) / (high - low)

    for tick, text in zip(ticks, told, strict=True):
        sheet.line([(left, level(tick)), (WIDTH, level(tick))], "rule")
        sheet.text(left - 5, level(tick), text, ha="right")
    thick = each * 0.84 / len(drawn)
    for place, values in enumerate(drawn):
        start = left + each * 0.08 + place * thick
        boxes = [
            (start + i * each, *_upright(level, value, thick)) for i, value in enumerate(values)
        ]
        sheet.boxes(boxes, f"s{place + 1}")
    for place in range(0, len(labels), step):
        x = left + each * (place + 0.5)
        if is_turned:
            _turned(sheet, x, TOP + PLOT_HEIGHT, labels[place])
        else:
            sheet.text(x, TOP + PLOT_HEIGHT + 11, labels[place], ha="center")
    return sheet


def _upright(level: Any, value: float, width: float) -> tuple[float, float, float]:
    """top, width, height of a column from 0; what is there is seen, however little."""
    top, foot = level(max(value, 0)), level(min(value, 0))
    return (foot - max(foot - top, 1), width, max(foot - top, 1)) if value else (foot, width, 0)


def _labelling(labels: Sequence[str], each: float) -> tuple[int, bool, float]:
    """(every how many bins, whether turned, height below the plot) that keep labels apart."""
    longest = max(map(len, labels)) * LETTER
    step = math.ceil((longest + 6) / each)
    if step == 1 or (step <= 5 and longest < 34):
        return step, False, 22
    return math.ceil(15 / each), True, longest * 0.64 + 20


def _turned(sheet: Sheet, x: float, foot: float, label: str) -> None:
    """A label below the plot that rises to the right, cut where it would leave the picture."""
    room = int(x / (LETTER * 0.77))
    cut = label if len(label) <= room else f"{label[: max(room - 2, 1)]}.."
    sheet.text(x + 3, foot + 8, cut, ha="right", rotation=40)


def bars(bins: Bins) -> Sheet:
    """A bar for each name, top down, its number at its end."""
    labels = [_short(label) for label in bins.labels]
    drawn = [bins.drawn(series) for series in bins.series]
    thick = ROW if len(drawn) == 1 else 12
    height = thick * len(drawn) + (5 if len(drawn) == 1 else 8)
    left = min(max(map(len, labels)) * LETTER + 8, 150)
    told = [[_tick(bins, value) for value in values] for values in drawn]
    right = max(len(text) for texts in told for text in texts) * LETTER + 8
    sheet = Sheet(WIDTH, height * len(labels) + 4)
    most = max(abs(value) for values in drawn for value in values) or 1
    for place, values in enumerate(drawn):
        tops = [height * i + place * thick + 3 for i in range(len(labels))]
        long = [max(abs(v) / most * (WIDTH - left - right), 1 if v else 0) for v in values]
        boxes = zip(long, tops, strict=True)
        sheet.boxes([(left, top, width, thick - 1) for width, top in boxes], f"s{place + 1}")
        for i, top in enumerate(tops):
            sheet.text(left + long[i] + 4, top + thick / 2, told[place][i])
    for i, label in enumerate(labels):
        middle = height * i + 3 + thick * len(drawn) / 2
        sheet.text(left - 6, middle, label, "ink", ha="right")
    return sheet


def grid(bins: Bins) -> Sheet:
    """A cell for each pair of labels, darker where more is; rows top down."""
    rows, across = bins.sides()
    values = bins.cells()
    left = min(max(len(_short(row)) for row in rows) * LETTER + 8, 110)
    each, high = (WIDTH - left) / len(across), 24
    step, is_turned, below = _labelling([_short(name) for name in across], each)
    sheet = Sheet(WIDTH, high * len(rows) + below)
    most = max(values.values()) or 1
    total = sum(values.values()) or 1
    for down, row in enumerate(rows):
        sheet.text(left - 6, high * (down + 0.5), _short(row), "ink", ha="right")
        for along, name in enumerate(across):
            value = values[row, name]
            shade = min(int(10 * value / most), 9)
            x, y = left + each * along, high * down
            sheet.boxes([(x, y, each - 1, high - 1)], f"h{shade}")
            if value and each >= 34:
                text = share_text(value / total)
                sheet.text(
                    x + each / 2, y + high / 2, text, "paper" if shade > 5 else "ink", ha="center"
                )
    for along in range(0, len(across), step):
        x, y = left + each * (along + 0.5), high * len(rows)
        if is_turned:
            _turned(sheet, x, y, _short(across[along]))
        else:
            sheet.text(x, y + 11, _short(across[along]), ha="center")
    return sheet


def days(by_day: Mapping[str, float], gate: Mapping[str, Any] | None) -> Sheet:
    """A value over days, with the bounds of its gate as lines."""
    edges = [
        (f"{edge}-line", bound)
        for edge in ("warn", "fail")
        for bound in _bounds(gate[edge] if gate else None)
    ]
    values = list(by_day.values())
    reach = max(map(abs, values)) * 3 or 1.0
    shown = [(cls, bound) for cls, bound in edges if abs(bound) <= reach]
    low, high, ticks = _scale([*values, *(bound for _, bound in shown)])
    told = [number(tick) for tick in ticks]
    left = max(map(len, told)) * LETTER + 12
    each = (WIDTH - left - 4) / len(values)
    labels = list(by_day)
    step = math.ceil(len(labels) * (len(labels[0]) + 2) * LETTER / (WIDTH - left))
    tall = PLOT_HEIGHT * 0.6
    sheet = Sheet(WIDTH, TOP + tall + 22)

    def level(value: float) -> float:
        return TOP + tall * (high - value) / (high - low)

    for tick, text in zip(ticks, told, strict=True):
        sheet.line([(left, level(tick)), (WIDTH, level(tick))], "rule")
        sheet.text(left - 5, level(tick), text, ha="right")
    for cls, bound in shown:
        sheet.line([(left, level(bound)), (WIDTH, level(bound))], cls)
    points = [(left + each * (i + 0.5), level(value)) for i, value in enumerate(values)]
    sheet.line(points, "s1")
    sheet.boxes([(x - 2.5, y - 2.5, 5, 5) for x, y in points], "s1")
    for place in range(0, len(labels), step):
        sheet.text(points[place][0], TOP + tall + 11, labels[place], ha="center")
    return sheet


def _bounds(bound: Any) -> list[float]:
    return list(bound) if isinstance(bound, list | tuple) else [] if bound is None else [bound]


def _scale(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """(low, high, ticks) that hold 0 and all values."""
    low, high = min(0.0, *values), max(0.0, *values)
    if low == high:
        high = 1.0
    ticks = [float(tick) for tick in MaxNLocator(4).tick_values(low, high)]
    return ticks[0], ticks[-1], ticks


def _tick(bins: Bins, value: float) -> str:
    if bins.in_shares:
        return percent(value)
    if bins.told(value).endswith("%"):
        return bins.told(value)
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return number(value)


def _short(label: str) -> str:
    return label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 2]}.."
