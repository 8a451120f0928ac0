"""The histograms of a measure as what is drawn and told: series over shared bins, in shares.

Histograms of one measure that have the same labels and unit are series of one picture: what was
drawn against what was wanted, samples against the log.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankdistill.quality.words import number, part_name, percent, plain, share_text

MAX_SERIES, MAX_NAMES, MAX_ROWS = 4, 24, 12
ORDERED = re.compile(r"[-+<>=~.\[(]*\s*[\d.]")
GRID = re.compile(r" (?:/|over) ")
PARTS = re.compile(r"(share|rate)s?\b")
# Units of which bins do not add up to a whole.
NO_COUNT = re.compile(r"(mean|median|share|rate|score|probability|nat|number|g?auc)s?\b", re.I)


@dataclass(frozen=True)
class Series:
    """name: "" where there is only one. values: one for each label; total: their sum."""

    name: str
    values: tuple[float, ...]

    @property
    def total(self) -> float:
        return sum(self.values)

    def shares(self) -> tuple[float, ...]:
        return tuple(value / self.total if self.total else 0.0 for value in self.values)


@dataclass(frozen=True)
class Bins:
    """title: of the picture. is_count: whether shares mean something. left_out: what of the
    labels is not here, as a sentence."""

    title: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    unit: str
    is_count: bool
    left_out: str = ""

    @property
    def is_ordered(self) -> bool:
        """Whether the labels are ranges or places, not names."""
        found = sum(bool(ORDERED.match(label)) for label in self.labels)
        return found * 2 > len(self.labels)

    @property
    def is_funnel(self) -> bool:
        """Whether each bin is within those before it, so that shares are of the first."""
        return self.title == "funnel" and self.series[0].values[0] > 0

    @property
    def is_grid(self) -> bool:
        """Whether the labels are "row / column" or "row over column"."""
        rows, columns = self.sides()
        return len(self.series) == 1 and min(len(rows), len(columns)) > 1

    def sides(self) -> tuple[list[str], list[str]]:
        """The labels' rows and columns; ([], []) where they have none."""
        if not all(len(GRID.findall(label)) == 1 for label in self.labels):
            return [], []
        pairs = [GRID.split(label) for label in self.labels]
        first, second = (list(dict.fromkeys(pair[side] for pair in pairs)) for side in (0, 1))
        return sorted(first, key=_leading), sorted(second, key=_leading)

    def cells(self) -> dict[tuple[str, ...], float]:
        """(row, column) -> value of a grid; 0 where there is no label."""
        labels = (tuple(GRID.split(label)) for label in self.labels)
        found = dict(zip(labels, self.series[0].values, strict=True))
        rows, across = self.sides()
        return {(row, name): found.get((row, name), 0) for row in rows for name in across}

    @property
    def in_shares(self) -> bool:
        """Whether the picture shows shares: where several series of differing totals meet."""
        return self.is_count and len(self.series) > 1

    def drawn(self, series: Series) -> tuple[float, ...]:
        """The values as the picture shows them."""
        return series.shares() if self.in_shares else series.values

    def header(self) -> list[str]:
        """The header of the table beside the picture."""
        if self.is_grid:
            return ["", *self.sides()[1]]
        if not self.is_count and len(self.series) > 1:
            return ["", *(series.name for series in self.series)]
        share = "of all" if self.is_funnel else "share"
        if not self.in_shares:
            return ["", self.unit, *([share] if self.is_count else [])]
        return ["", *(f"{s.name} ({number(s.total)})" for s in self.series)]

    @property
    def caption(self) -> str:
        """What the picture shows, and in what."""
        unit = f"share of {self.unit}" if self.in_shares else self.unit
        title = f"{self.title[:1].upper()}{self.title[1:]}"
        sides = ", down and across" if self.is_grid else ""
        return title if unit == self.title else f"{title} ({unit}{sides})"

    def tables(self) -> list[list[list[str]]]:
        """The rows beside the picture, in two tables where there are many."""
        rows = list(self.rows())
        half = (len(rows) + 1) // 2
        is_narrow = len(self.header()) < 4
        return [rows] if len(rows) <= MAX_ROWS or not is_narrow else [rows[:half], rows[half:]]

    def rows(self) -> Iterator[list[str]]:
        """The rows of the table: label, then the numbers."""
        if self.is_grid:
            yield from self._grid_rows()
            return
        shares = [series.shares() for series in self.series]
        if self.is_funnel:
            shares = [tuple(value / s.values[0] for value in s.values) for s in self.series]
        for place, label in enumerate(self.labels):
            if self.in_shares:
                yield [label, *(share_text(share[place]) for share in shares)]
            else:
                own = [self.told(series.values[place]) for series in self.series]
                yield [label, *own, *([share_text(shares[0][place])] if self.is_count else [])]

    def told(self, value: float) -> str:
        """One of the values in its unit."""
        return percent(value) if PARTS.match(self.unit) else number(value)

    def _grid_rows(self) -> Iterator[list[str]]:
        cells = self.cells()
        rows, across = self.sides()
        for row in rows:
            yield [row, *(number(cells[row, name]) for name in across)]


def _leading(label: str) -> float:
    """Ranges by where they begin; names stay where they are, behind."""
    found = re.match(r"\d+", label)
    return float(found[0]) if found else math.inf


def bins_of(histograms: Mapping[str, Mapping[str, Any]]) -> list[Bins]:
    """The pictures of a measure, in the order of its histograms' names; empty ones are none."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, found in histograms.items():
        if any(found["counts"]):
            key = (tuple(found["labels"]), found["unit"], _is_count(found))
            groups.setdefault(key, []).append(name)
    pictures = []
    for (labels, unit, is_count), names in groups.items():
        for start in range(0, len(names), MAX_SERIES):
            some = names[start : start + MAX_SERIES]
            chosen = [histograms[name]["counts"] for name in some]
            pictures.append(_made(some, labels, chosen, unit, is_count))
    return pictures


def _is_count(found: Mapping[str, Any]) -> bool:
    return min(found["counts"]) >= 0 and not NO_COUNT.match(found["unit"])


def _made(
    names: Sequence[str],
    labels: Sequence[str],
    values: Sequence[Sequence[float]],
    unit: str,
    is_count: bool,
) -> Bins:
    shown, title = _named([part_name(name) for name in names])
    series = tuple(
        Series(name if len(names) > 1 else "", tuple(v))
        for name, v in zip(shown, values, strict=True)
    )
    found = Bins(
        title, tuple(plain(label, 60) for label in labels), series, plain(unit, 40), is_count
    )
    if found.is_grid:
        return found
    return _between(found) if found.is_ordered else _largest(found)


def _named(names: list[str]) -> tuple[list[str], str]:
    """The series' names without the words that all begin or end with, and the title."""
    words = [name.split() for name in names]
    alike: list[str] = []
    for end in (0, -1):
        while len(names) > 1 and min(map(len, words)) > 1 and len({w[end] for w in words}) == 1:
            alike.append(words[0][end])
            words = [w[1:] if end == 0 else w[:-1] for w in words]
    own = [" ".join(w) for w in words]
    told = own[0] if len(own) == 1 else " and ".join([", ".join(own[:-1]), own[-1]])
    return own, f"{' '.join(alike)}: {told}" if alike else told


def _between(found: Bins) -> Bins:
    """Without the empty bins at both ends, but for one."""
    filled = [i for i in range(len(found.labels)) if any(s.values[i] for s in found.series)]
    first, last = max(filled[0] - 1, 0), min(filled[-1] + 2, len(found.labels))
    empty = len(found.labels) - (last - first)
    note = f"{empty} more bins at the ends are empty." if empty else ""
    return _kept(found, list(range(first, last)), note)


def _largest(found: Bins) -> Bins:
    """The names of most rows, in their own order."""
    by_size = sorted(
        range(len(found.labels)), key=lambda i: -max(s.values[i] for s in found.series)
    )
    kept = sorted(by_size[:MAX_NAMES])
    rest = by_size[MAX_NAMES:]
    note = f"{len(rest)} smaller ones are left out." if rest else ""
    return _kept(found, kept, note)


def _kept(found: Bins, places: list[int], note: str) -> Bins:
    series = tuple(_Part(s.name, tuple(s.values[i] for i in places), s.total) for s in found.series)
    labels = tuple(found.labels[i] for i in places)
    return Bins(found.title, labels, series, found.unit, found.is_count, note)


@dataclass(frozen=True)
class _Part(Series):
    """Some values of a series; shares are of all of it."""

    whole: float = 0

    @property
    def total(self) -> float:
        return self.whole
