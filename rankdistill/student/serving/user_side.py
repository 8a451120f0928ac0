"""The user side as an export describes it: the tower's inputs, the fields, values and their codes.

The tower holds only the rows of the embedding table that user fields have, so codes are numbered
anew. `encoder.py`, which a server has, reads what is written here. Shapes: R users, F fields of one
value, L values of the longest list, V rows of the tower's table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.hashing import mix, name_key, unit
from rankdistill.student.chunk import Bag, Encoded
from rankdistill.student.fields.coders import Edges, Hashed
from rankdistill.student.fields.encode import BagField, Fields, NumberField, RowField
from rankdistill.student.serving.encoder import PADDING
from rankdistill.student.vocabulary import Vocabulary

_SHARE_UNKNOWN = 0.02  # of drawn values
_LONGEST = 20  # drawn list of a field without a bound


@dataclass(frozen=True)
class UserSide:
    """The user fields of a run."""

    fields: Fields

    @property
    def single(self) -> list[RowField]:
        rows = [each for each in self.fields.user if isinstance(each, RowField)]
        return [each for each in rows if not isinstance(each, BagField)]

    @property
    def bags(self) -> list[BagField]:
        return [each for each in self.fields.user if isinstance(each, BagField)]

    @property
    def numbers(self) -> list[NumberField]:
        return [each for each in self.fields.user if isinstance(each, NumberField)]

    @cached_property
    def _first(self) -> dict[int, int]:
        """Where the rows of a field begin in the run's table -> in the tower's."""
        found: dict[int, int] = {}
        total = 0
        for each in sorted([*self.single, *self.bags], key=lambda field: field.first):
            if each.first not in found:
                found[each.first] = total
                total += each.coder.size
        return found

    @property
    def rows(self) -> np.ndarray:
        """The rows of the run's table that the tower has, int64 [V]."""
        sizes = {each.first: each.coder.size for each in (*self.single, *self.bags)}
        parts = [np.arange(first, first + sizes[first]) for first in self._first]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def own_first(self, field: RowField) -> int:
        """The tower's code of the field's unknown value; the others follow."""
        return self._first[field.first]

    def arrays(self, encoded: Encoded) -> list[np.ndarray]:
        """Users, encoded for the run, as the tower's inputs, in the order of `inputs`."""
        held = encoded.plain()
        found = []
        if self.single:
            shift = np.array([self.own_first(each) - each.first for each in self.single])
            found.append(held.codes + shift)
        for each, bag in zip(self.bags, held.bags, strict=True):
            lengths = np.diff(bag.start)
            mask = np.arange(int(lengths.max(initial=1))) < lengths[:, None]
            codes = np.full(mask.shape, PADDING, dtype=np.int64)
            codes[mask] = bag.codes + (self.own_first(each) - each.first)
            found.append(codes)
        if self.numbers:
            found.append(held.dense)
        return found

    def inputs(self) -> list[dict[str, Any]]:
        """The tower's inputs, as the manifest tells them."""
        found: list[dict[str, Any]] = []
        if self.single:
            found.append({"name": "codes", "type": "int64", "shape": ["R", len(self.single)]})
        for each in self.bags:
            found.append({"name": _input_of(each), "type": "int64", "shape": ["R", "L"]})
        if self.numbers:
            shape = ["R", 2 * len(self.numbers)]
            found.append({"name": "numbers", "type": "float32", "shape": shape})
        return found

    def facts(self) -> list[dict[str, Any]]:
        """The fields, as `encoder.Encoder` reads them."""
        return [
            _number_facts(each) if isinstance(each, NumberField) else self._row_facts(each)
            for each in self.fields.user
        ]

    def _row_facts(self, field: RowField) -> dict[str, Any]:
        found: dict[str, Any] = {
            **_named(field.name, field.kind, field.column, _input_of(field)),
            "unknown": self.own_first(field),
            "size": field.coder.size,
        }
        if isinstance(field, BagField):
            found |= {"separator": field.separator, "last": field.last}
        if isinstance(field.coder, Hashed):
            return found | {"coder": "hashed", "buckets": field.coder.buckets}
        if isinstance(field.coder, Edges):
            return found | {"coder": "edges", "edges": field.coder.edge.tolist()}
        return found | {"coder": "vocabulary", "values": str(self.own_first(field))}

    def values(self) -> pa.Table:
        """field, number or text, code: every value of the vocabularies, by code. field: as
        `values` of a field says, for two fields may share one vocabulary."""
        parts = [_no_values()]
        held: dict[int, Any] = {}
        for each in (*self.single, *self.bags):
            held.setdefault(self.own_first(each), each.coder)
        for first, coder in sorted(held.items()):
            if isinstance(coder, Vocabulary):
                parts.append(_values(str(first), coder.id, first))
        return pa.concat_tables(parts)

    def drawn(self, num: int, seed: int) -> Encoded:
        """Users made up to compare by, encoded for the run: each field's value drawn apart from
        the others', by how often training saw it, some unknown or null. By hash."""
        codes = [_drawn_codes(each, _lot(seed, each.name, num)) for each in self.single]
        numbers = [_drawn_numbers(each.name, num, seed) for each in self.numbers]
        return Encoded(
            np.stack(codes, 1) if codes else np.zeros((num, 0), np.int64),
            tuple(_drawn_bag(each, num, seed) for each in self.bags),
            np.concatenate(numbers, 1) if numbers else np.zeros((num, 0), np.float32),
        )


def _named(name: str, kind: str, column: str, of: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "column": column, "input": of}


def _number_facts(field: NumberField) -> dict[str, Any]:
    held = field.standard
    found = _named(field.name, field.kind, field.column, "numbers")
    return found | {"coder": "standard", "mean": held.mean, "deviation": held.deviation}


def _input_of(field: RowField) -> str:
    return field.name.removeprefix("user.") if isinstance(field, BagField) else "codes"


def _values(field: str, ids: pa.Array, first: int) -> pa.Table:
    is_text = pa.types.is_string(ids.type)
    none = pa.nulls(len(ids), pa.int64() if is_text else pa.string())
    return pa.table(
        {
            "field": pa.array([field] * len(ids), pa.string()),
            "number": none if is_text else ids.cast(pa.int64()),
            "text": ids if is_text else none,
            "code": first + 1 + np.arange(len(ids)),
        },
        schema=_no_values().schema,
    )


def _no_values() -> pa.Table:
    kinds = {"field": pa.string(), "number": pa.int64(), "text": pa.string(), "code": pa.int64()}
    return pa.schema(kinds.items()).empty_table()


def _lot(seed: int, name: str, *parts: Any) -> np.ndarray:
    """Hashed numbers in [0, 1), [n]: of 0 .. n - 1 where `parts` is n alone."""
    own = [np.arange(parts[0])] if len(parts) == 1 else list(parts)
    return unit(mix(seed, name_key(f"export.{name}"), *own))


def _drawn_codes(field: RowField, lot: np.ndarray) -> np.ndarray:
    """Codes for the run's table, int64 [n]."""
    coder = field.coder
    count = coder.count if isinstance(coder, Vocabulary) else np.ones(coder.size - 1)
    bounds = np.cumsum(count) / max(count.sum(), 1) * (1 - _SHARE_UNKNOWN)
    code = np.searchsorted(bounds, lot, side="right") + 1
    return np.where(code < coder.size, code, 0).astype(np.int64) + field.first


def _drawn_bag(field: BagField, num: int, seed: int) -> Bag:
    longest = field.last or _LONGEST
    lengths = 1 + (_lot(seed, f"{field.name}.length", num) * longest).astype(np.int64)
    start = np.concatenate([[0], np.cumsum(lengths)])
    row = np.repeat(np.arange(num), lengths)
    place = np.arange(start[-1]) - start[row]
    return Bag(start, _drawn_codes(field, _lot(seed, field.name, row, place)))


def _drawn_numbers(name: str, num: int, seed: int) -> np.ndarray:
    """float32 [n, 2]: a standardised number, and whether it is null."""
    is_null = _lot(seed, f"{name}.null", num) < _SHARE_UNKNOWN
    value = 4 * _lot(seed, name, num) - 2
    return np.stack([np.where(is_null, 0.0, value), is_null], 1).astype(np.float32)
