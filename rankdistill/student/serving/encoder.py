"""From what is known of a user to what the exported user tower takes.

This file is copied into every export and stands alone: it needs NumPy and pyarrow, and nothing of
rankdistill. Values are encoded as training did: one of the vocabulary by its code, all others, and
null, as unknown; 1 is not "1".

    encoder = Encoder("export")
    inputs = encoder.inputs([{"user_id": "u1", "age": 31}, {"user_id": "u2", "age": None}])
    (vectors,) = onnxruntime.InferenceSession("export/user_tower.onnx").run(None, inputs)

Shapes: R users, L values of the longest list.
"""

from __future__ import annotations

import json
import numbers
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PADDING = -1  # behind the codes of a shorter list
_MASK = 2**64 - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5, _SEED = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5, 42


class Encoder:
    """The fields of the user side. columns: what `inputs` reads of a user, all else is ignored."""

    def __init__(self, folder: str | Path) -> None:
        manifest = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))
        self._fields = manifest["user"]["fields"]
        self._inputs = manifest["user"]["inputs"]
        self.columns = list(dict.fromkeys(field["column"] for field in self._fields))
        table = pq.read_table(Path(folder) / manifest["user"]["values"])
        self._codes: dict[str, dict[int | str, int]] = {}
        for field, number, text, code in zip(
            *(table.column(name).to_pylist() for name in ("field", "number", "text", "code")),
            strict=True,
        ):
            value = text if number is None else number
            self._codes.setdefault(field, {})[value] = code

    def inputs(self, users: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """The tower's inputs by name, [R, ...]; a column that a user lacks is null.

        TypeError where `users` are no mappings, or a value is no list or text where the field
        takes one.
        """
        if isinstance(users, Mapping) or not all(isinstance(user, Mapping) for user in users):
            raise TypeError(f"a list of mappings is taken, one for each user: {self.columns}")
        found: dict[str, Any] = {}
        for each in self._inputs:
            fields = [field for field in self._fields if field["input"] == each["name"]]
            if each["name"] == "numbers":
                pairs = [[n for f in fields for n in _number(f, user)] for user in users]
                shape = len(users), 2 * len(fields)
                found[each["name"]] = np.array(pairs, np.float32).reshape(shape)
            elif each["name"] == "codes":
                codes = [[self._code(f, user.get(f["column"])) for f in fields] for user in users]
                found[each["name"]] = np.array(codes, np.int64).reshape(len(users), len(fields))
            else:
                (field,) = fields
                found[each["name"]] = _padded([self._bag(field, user) for user in users])
        return found

    def _code(self, field: Mapping[str, Any], value: Any) -> int:
        unknown = int(field["unknown"])
        if field["coder"] == "edges":
            number = _finite(value)
            place = int(np.searchsorted(field["edges"], number, side="right"))
            return unknown if np.isnan(number) else unknown + 1 + place
        if value is None:
            return unknown
        value = _plain(value)
        if field["coder"] == "hashed":
            return unknown + 1 + _xxh64(value) % int(field["buckets"])
        return self._codes.get(field["values"], {}).get(value, unknown)

    def _bag(self, field: Mapping[str, Any], user: Mapping[str, Any]) -> list[int]:
        """The codes of a list's last values; the unknown one where there is none."""
        values = user.get(field["column"])
        separator = field["separator"]
        if values is not None and not _is_fit(values, separator):
            wanted = "a list" if separator is None else f"text with {separator!r} in it"
            raise TypeError(f"{field['column']} takes {wanted}, not {values!r}")
        if values is not None and separator is not None:
            values = values.split(separator)
        kept = list(values if values is not None else [])[-(field["last"] or 0) :]
        return [self._code(field, value) for value in kept] or [int(field["unknown"])]


def _is_fit(values: Any, separator: str | None) -> bool:
    if separator is not None:
        return isinstance(values, str)
    return isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)


def _padded(bags: Sequence[Sequence[int]]) -> np.ndarray:
    """int64 [R, L]."""
    found = np.full((len(bags), max(map(len, bags), default=1)), PADDING, dtype=np.int64)
    for row, codes in zip(found, bags, strict=True):
        row[: len(codes)] = codes
    return found


def _number(field: Mapping[str, Any], user: Mapping[str, Any]) -> tuple[float, float]:
    """(the standardised number, 0 where there is none; 1 where there is none)."""
    number = _finite(user.get(field["column"]))
    if np.isnan(number):
        return 0.0, 1.0
    return (number - field["mean"]) / (field["deviation"] or 1.0), 0.0


def _finite(value: Any) -> float:
    """A number with the precision of float32; NaN where there is none, or it is not finite."""
    with np.errstate(over="ignore"):
        number = float(np.float32(np.nan if value is None else float(value)))
    return number if np.isfinite(number) else float("nan")


def _plain(value: Any) -> int | str:
    """Integers and text as they are, all else as text."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_):
        return int(value)
    return str(pa.scalar(value).cast(pa.string()).as_py())


def _xxh64(value: int | str) -> int:
    """XXH64 (Yann Collet) with seed 42 of a text's UTF-8, or of an int64's little-endian bytes."""
    data = value.encode() if isinstance(value, str) else value.to_bytes(8, "little", signed=True)
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data) & ~7, 8)]
    state, done = _SEED + _P5, 0
    if len(data) >= 32:
        lanes = [_SEED + _P1 + _P2, _SEED + _P2, _SEED, _SEED - _P1]
        done = len(data) // 32 * 4
        for at in range(done):
            lanes[at % 4] = _round(lanes[at % 4], words[at])
        state = sum(map(_rotated, lanes, (1, 7, 12, 18)))
        for lane in lanes:
            state = ((state ^ _round(0, lane)) * _P1 + _P4) & _MASK
    state = (state + len(data)) & _MASK
    for word in words[done:]:
        state = (_rotated(state ^ _round(0, word), 27) * _P1 + _P4) & _MASK
    rest = data[len(words) * 8 :]
    if len(rest) >= 4:
        state = _rotated(state ^ int.from_bytes(rest[:4], "little") * _P1 & _MASK, 23) * _P2 + _P3
        rest = rest[4:]
    for byte in rest:
        state = _rotated((state ^ byte * _P5) & _MASK, 11) * _P1 & _MASK
    for shift, prime in ((33, _P2), (29, _P3), (32, 1)):
        state = ((state & _MASK) ^ (state & _MASK) >> shift) * prime & _MASK
    return state


def _rotated(x: int, bits: int) -> int:
    x &= _MASK
    return (x << bits | x >> (64 - bits)) & _MASK


def _round(lane: int, word: int) -> int:
    return _rotated(lane + word * _P2, 31) * _P1 & _MASK
