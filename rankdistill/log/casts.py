"""One source column to its canonical type, and which values could not be read.

Each kind has a rule on types, checked when a log is bound, and a cast, applied per batch.
A value that cannot be read becomes null and is marked, so the door can set the row aside.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TIME = pa.timestamp("us", tz="UTC")
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

Cast = tuple[pa.Array, np.ndarray | None]


def kind_fault(kind: str, found: pa.DataType, unit: str | None, *, text: bool) -> str | None:
    """Why a column of type `found` cannot be a column of `kind`; None where it can."""
    found = _plain_type(found)
    is_text = pa.types.is_string(found)
    is_int, is_float = pa.types.is_integer(found), pa.types.is_floating(found)
    is_number = is_int or is_float or pa.types.is_decimal(found)
    if pa.types.is_null(found):
        return None
    if kind == "id" and not (is_int or is_text):
        return "must be an integer or a string to be an id"
    if kind == "time":
        if is_int and unit is None:
            return "is a number: say its unit, {column: ..., unit: s | ms | us | ns}"
        if not (is_int or is_text or pa.types.is_temporal(found)) or pa.types.is_time(found):
            return "must be a timestamp, a date, a number with a unit, or ISO 8601 text"
    if kind == "text" and not (is_int or is_text or pa.types.is_date(found)):
        return "must be a string, an integer or a date"
    if kind in ("rank", "score", "number") and not (is_number or (is_text and text)):
        if kind == "number" and pa.types.is_boolean(found):
            return None
        return "must be a number"
    return None


def cast(kind: str, column: pa.Array, unit: str | None = None) -> Cast:
    """(canonical column, bool mask of unreadable values or None)."""
    return KINDS[kind](plain(column), unit)


def plain(column: pa.Array) -> pa.Array:
    """Without dictionaries, views and large offsets: the type every later step expects."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = _plain_type(column.type)
    return column if kind == column.type else column.cast(kind)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return kind


def _id(column: pa.Array, unit: str | None) -> Cast:
    if pa.types.is_null(column.type):
        return column.cast(pa.string()), None
    if pa.types.is_string(column.type):
        return column, None
    if pa.types.is_uint64(column.type):
        # Beyond int64 an id stays exact as text; the type may not depend on the values.
        return column.cast(pa.string()), None
    return column.cast(pa.int64()), None


def _time(column: pa.Array, unit: str | None) -> Cast:
    kind = column.type
    if pa.types.is_null(kind):
        return column.cast(TIME), None
    if pa.types.is_integer(kind):
        return _from_epoch(column, unit or "us")
    if pa.types.is_string(kind):
        return _tried(column, _parse_time)
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return _tried(column, lambda c: c.cast(pa.timestamp("us"), safe=False).cast(TIME))
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us")).cast(TIME), None
    return column.cast(TIME, safe=False), None


def _from_epoch(column: pa.Array, unit: str) -> Cast:
    per_second = _PER_SECOND[unit]
    values = column.cast(pa.int64())
    if per_second > 1_000_000:
        micros = pc.divide(values, per_second // 1_000_000)
        return micros.cast(TIME), None
    factor = 1_000_000 // per_second
    limit = (2**63 - 1) // factor
    fits = pc.and_(pc.less_equal(values, limit), pc.greater_equal(values, -limit))
    bad = pc.and_(values.is_valid(), pc.invert(fits))
    micros = pc.multiply(pc.if_else(fits, values, None), factor)
    return micros.cast(TIME), _mask(bad)


def _parse_time(column: pa.Array) -> pa.Array:
    """ISO 8601; without an offset it is UTC."""
    has_offset = pc.match_substring_regex(column, r"(Z|[+-]\d\d:?\d\d)$")
    zoned = pc.if_else(has_offset, column, None).cast(TIME)
    local = pc.if_else(has_offset, None, column).cast(pa.timestamp("us")).cast(TIME)
    return pc.coalesce(zoned, local)


def _number(target: pa.DataType | None) -> Callable[[pa.Array, str | None], Cast]:
    def to_number(column: pa.Array, unit: str | None) -> Cast:
        kind = column.type
        if pa.types.is_boolean(kind):
            return column.cast(pa.int8()), None
        if pa.types.is_string(kind):
            stripped = pc.utf8_trim_whitespace(column)
            filled = pc.if_else(pc.equal(stripped, ""), None, stripped)
            return _tried(filled, lambda c: c.cast(pa.float64()))
        if target is None and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return column.cast(portable(kind)), None
        return column.cast(pa.float64(), safe=False), None

    return to_number


def _rank(column: pa.Array, unit: str | None) -> Cast:
    """Whole numbers within int32; floats count where they are whole, NaN is null."""
    bad = None
    if not pa.types.is_integer(column.type):
        column, bad = _number(pa.float64())(column, unit)
        values = column.to_numpy(zero_copy_only=False)
        present = ~np.isnan(values)
        odd = present & ((values != np.floor(values)) | (np.abs(values) > 2**31 - 1))
        keep = present & ~odd
        whole = np.where(keep, values, 0).astype(np.int64)
        ranks = pa.array(whole, mask=~keep)
        return ranks.cast(pa.int32()), _either(bad, odd)
    if column.type in (pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16()):
        return column.cast(pa.int32()), None
    top = 2**31 - 1
    wide = pc.or_(pc.greater(column, top), pc.less(column, -top))
    if pc.any(wide).as_py():
        bad = _mask(wide)
        column = pc.if_else(wide, None, column)
    return column.cast(pa.int32()), bad


def _any(column: pa.Array, unit: str | None) -> Cast:
    kind = portable(column.type)
    return column if kind == column.type else column.cast(kind, safe=False), None


def portable(kind: pa.DataType) -> pa.DataType:
    """The type that every engine and table format can hold: no unsigned, no half floats."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(portable(kind.value_type))
    if pa.types.is_unsigned_integer(kind):
        return pa.int64()
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_timestamp(kind):
        return TIME
    if pa.types.is_null(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind):
        return pa.string()
    return _plain_type(kind)


def _text(column: pa.Array, unit: str | None) -> Cast:
    return column.cast(pa.string()), None


def _tried(column: pa.Array, convert: Callable[[pa.Array], pa.Array]) -> Cast:
    """`convert` the column; where that fails, value by value (distinct ones), marking failures."""
    try:
        return convert(column), None
    except pa.ArrowInvalid:
        pass
    encoded = column.dictionary_encode()
    good = []
    for value in encoded.dictionary:
        try:
            good.append(convert(pa.array([value.as_py()], type=column.type)))
        except pa.ArrowInvalid:
            good.append(None)
    kind = next((g.type for g in good if g is not None), None) or convert(column[:0]).type
    values = pa.concat_arrays([pa.nulls(1, kind) if g is None else g for g in good])
    cast_column = values.take(encoded.indices)
    bad = pc.and_(column.is_valid(), cast_column.is_null())
    return cast_column, _mask(bad)


def _mask(condition: pa.Array) -> np.ndarray | None:
    mask = condition.fill_null(False).to_numpy(zero_copy_only=False)
    return mask if mask.any() else None


def _either(a: np.ndarray | None, b: np.ndarray) -> np.ndarray | None:
    both = b if a is None else a | b
    return both if both.any() else None


KINDS: dict[str, Callable[[pa.Array, str | None], Cast]] = {
    "id": _id,
    "time": _time,
    "rank": _rank,
    "score": _number(pa.float64()),
    "number": _number(None),
    "text": _text,
    "any": _any,
}
