"""What measures remember of the data: integers that add, by day, measure and segment.

Made while the parts are written, batch by batch; the sum is the same however the rows were
dealt to batches, tasks and engines. Shapes: R requests, T rows.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.hashing import mix

# Floats of a request or row become integers once, so that their sum has no order.
FIXED_POINT = 2**20
MAX_EXAMPLES = 20
ALL = ""  # the segment of every row

# An integer, integers of a fixed number of bins, or integers by name.
Number = int | list[int] | dict[str, int]
State = dict[str, Number]
Example = list[Any]  # [hash, request_id, item_id, note], plain values


def added(one: Number, other: Number) -> Number:
    """The sum of two numbers of the same name."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: one.get(key, 0) + other.get(key, 0) for key in sorted({*one, *other})}
    if isinstance(one, list) and isinstance(other, list):
        assert len(one) == len(other), (len(one), len(other))
        return [a + b for a, b in zip(one, other, strict=True)]
    assert isinstance(one, int) and isinstance(other, int), (one, other)
    return one + other


@dataclass
class Remembered:
    """The state of one measure on one day: numbers of every segment, and examples of rows.

    examples: those with the lowest hashes, at most MAX_EXAMPLES, so that which ones are kept
    depends on the rows alone.
    """

    segments: dict[str, State] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    def add(self, other: Remembered) -> None:
        for segment, state in other.segments.items():
            own = self.segments.setdefault(segment, {})
            for name, number in state.items():
                own[name] = added(own[name], number) if name in own else number
        if other.examples:
            self.keep(other.examples)

    def add_numbers(self, numbers: Mapping[str, int]) -> None:
        """Plain counts, of all rows."""
        own = self.segments.setdefault(ALL, {})
        for name, number in numbers.items():
            own[name] = added(own.get(name, 0), number)

    def keep(self, examples: Iterable[Example]) -> None:
        known = {tuple(map(str, e)): e for e in [*self.examples, *examples]}
        self.examples = heapq.nsmallest(
            MAX_EXAMPLES, known.values(), key=lambda e: (e[0], *map(str, e[1:]))
        )

    def as_json(self) -> str:
        """Equal states have equal text."""
        found = {"segments": self.segments, "examples": self.examples}
        return json.dumps(found, sort_keys=True, separators=(",", ":"))

    @classmethod
    def of_json(cls, text: str) -> Remembered:
        found = json.loads(text)
        return cls(found["segments"], found["examples"])


class States:
    """(dt, measure) -> Remembered."""

    def __init__(self) -> None:
        self._by_day: dict[str, dict[str, Remembered]] = {}

    def of(self, dt: str, measure: str) -> Remembered:
        return self._by_day.setdefault(dt, {}).setdefault(measure, Remembered())

    def days(self) -> list[str]:
        return sorted(self._by_day)

    def day(self, dt: str) -> Mapping[str, Remembered]:
        return self._by_day.get(dt, {})

    def add(self, other: States) -> None:
        for dt, measure, found in other:
            self.of(dt, measure).add(found)

    def __iter__(self) -> Iterator[tuple[str, str, Remembered]]:
        for dt in sorted(self._by_day):
            for measure in sorted(self._by_day[dt]):
                yield dt, measure, self._by_day[dt][measure]

    def as_json(self) -> str:
        """What a task yields; `of_json` reads it back."""
        rows = [[dt, measure, found.segments, found.examples] for dt, measure, found in self]
        return json.dumps(rows)

    @classmethod
    def of_json(cls, rows: list[list[Any]]) -> States:
        states = cls()
        for dt, measure, segments, examples in rows:
            states.of(dt, measure).add(Remembered(segments, examples))
        return states


@dataclass(frozen=True)
class Segments:
    """The segments of a batch's requests beside ALL. names: one for each code;
    code: int64 [R] of each of several columns."""

    names: tuple[tuple[str, ...], ...] = ()
    code: tuple[np.ndarray, ...] = ()


class Adder:
    """Hands what a measure finds in a batch to its state, for all rows and for each segment."""

    def __init__(self, found: Remembered, segments: Segments) -> None:
        self._found, self._segments = found, segments

    def total(self, name: str, values: np.ndarray) -> None:
        """The sum of int64 or bool [R], one for each request."""
        self._put(ALL, name, int(values.sum()))
        for names, code in zip(self._segments.names, self._segments.code, strict=True):
            # Integers below 2^53 add exactly as floats, which is how bincount weighs.
            for segment, number in zip(names, _summed(code, values, len(names)), strict=True):
                self._put(segment, name, int(number))

    def count(self, name: str, request: np.ndarray) -> None:
        """How many rows, int64 [T]: the request of each."""
        self._put(ALL, name, len(request))
        for names, code in zip(self._segments.names, self._segments.code, strict=True):
            held = np.bincount(code[request], minlength=len(names))
            for segment, number in zip(names, held, strict=True):
                self._put(segment, name, int(number))

    def bins(self, name: str, request: np.ndarray, code: np.ndarray, size: int) -> None:
        """How many rows fall into each bin: request and code (0 .. size - 1) of each, [T]."""
        self._put(ALL, name, np.bincount(code, minlength=size).tolist())
        for names, segment_code in zip(self._segments.names, self._segments.code, strict=True):
            cell = segment_code[request] * size + code
            held = np.bincount(cell, minlength=len(names) * size).reshape(len(names), size)
            for segment, row in zip(names, held, strict=True):
                self._put(segment, name, row.tolist())

    def weigh(
        self, name: str, request: np.ndarray, code: np.ndarray, size: int, weight: np.ndarray
    ) -> None:
        """As `bins`, the sum of int64 weights [T] in place of rows."""
        self._put(ALL, name, _summed(code, weight, size).tolist())
        for names, segment_code in zip(self._segments.names, self._segments.code, strict=True):
            cell = segment_code[request] * size + code
            held = _summed(cell, weight, len(names) * size).reshape(len(names), size)
            for segment, row in zip(names, held, strict=True):
                self._put(segment, name, row.tolist())

    def named(self, name: str, request: np.ndarray, values: pa.Array) -> None:
        """How many rows have each value (as text; null is "null"), [T]."""
        encoded = values.dictionary_encode()
        texts = ["null" if v is None else str(v) for v in encoded.dictionary.to_pylist()]
        codes = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
        names = [*texts, "null"]
        self._put(ALL, name, _by_name(names, np.bincount(codes, minlength=len(names))))
        for found, segment_code in zip(self._segments.names, self._segments.code, strict=True):
            cell = segment_code[request] * len(names) + codes
            held = np.bincount(cell, minlength=len(found) * len(names))
            for segment, row in zip(found, held.reshape(len(found), -1), strict=True):
                self._put(segment, name, _by_name(names, row))

    def examples(
        self,
        key: np.ndarray,
        request_id: pa.Array,
        item_id: pa.Array | None = None,
        note: Iterable[str] | None = None,
    ) -> None:
        """Rows to show a person: uint64 keys [T] that tell them apart, and their ids.

        Rows of one key are one example, so that however they are dealt the same are kept.
        """
        hashes, lowest = (f[:MAX_EXAMPLES] for f in np.unique(mix(0, 0, key), return_index=True))
        at = pa.array(lowest)
        requests = request_id.take(at).to_pylist()
        items = [None] * len(lowest) if item_id is None else item_id.take(at).to_pylist()
        notes = list(note) if note is not None else None
        self._found.keep(
            [h, r, i, notes[row] if notes else ""]
            for h, r, i, row in zip(hashes.tolist(), requests, items, lowest.tolist(), strict=True)
        )

    def _put(self, segment: str, name: str, number: Number) -> None:
        state = self._found.segments.setdefault(segment, {})
        state[name] = added(state[name], number) if name in state else number


def fixed(values: np.ndarray) -> np.ndarray:
    """Floats as fixed point, int64."""
    return np.rint(values * FIXED_POINT).astype(np.int64)


def _by_name(names: list[str], held: np.ndarray) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, number in zip(names, held.tolist(), strict=True):
        if number:
            found[name] = found.get(name, 0) + number
    return dict(sorted(found.items()))


def _summed(code: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """The int64 sum of `values` of each code, int64 [size].

    bincount adds up floats: halves of 26 bits and more keep every partial sum below 2^53.
    """
    values = values.astype(np.int64, copy=False)
    high, low = values >> 26, values & (2**26 - 1)
    sums = np.bincount(code, weights=low, minlength=size).astype(np.int64)
    if high.any():
        more = np.bincount(code, weights=high, minlength=size)
        sums += more.astype(np.int64) << 26
    return sums
