"""One source column to its canonical type, and which values could not be read.

Each kind has a rule on types, checked when a log is bound, and a cast, applied per batch.
A value that cannot be read becomes null and is marked, so the door can set the row aside.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.log.attempt import Cast, attempt, both, marked, stripped
from rankdistill.log.times import TIME, time

__all__ = ["KINDS", "TIME", "Cast", "cast", "kind_fault", "plain", "portable"]

# One less than int32 holds: ranks from 0 become ranks from 1.
MAX_RANK = 2**31 - 2
# Text that is a whole number, in every engine's regular expressions; SHARP: floats below it are
# exact, so an id that lies there is one id.
WHOLE = r"\A[ \t]*-?[0-9]+[ \t]*\z"
SHARP = 2.0**53
IDS = ("id", "int_id", "text_id")
_FLOAT = r"(?i)^-?(\d+\.?\d*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|nan|inf|infinity)$"


def kind_fault(kind: str, found: pa.DataType, unit: str | None, *, text: bool) -> str | None:
    """Why a column of type `found` cannot be a column of `kind`; None where it can."""
    found = _plain_type(found)
    is_text = pa.types.is_string(found)
    is_int, is_float = pa.types.is_integer(found), pa.types.is_floating(found)
    is_number = is_int or is_float or pa.types.is_decimal(found)
    if pa.types.is_null(found):
        return None
    if kind in IDS and not (is_int or is_text or (is_float and kind == "int_id")):
        more = "; as: int reads whole numbers" if is_float and kind == "id" else ""
        return f"must be an integer or a string to be an id{more}"
    if kind == "time":
        if is_int and unit is None:
            return "is a number: say its unit, {column: ..., unit: s | ms | us | ns}"
        fits = is_int or is_text or pa.types.is_timestamp(found) or pa.types.is_date(found)
        if not (fits or (is_number and unit is not None)):
            return "must be a timestamp, a date, a number with a unit, or ISO 8601 text"
    if kind == "text" and not (is_int or is_text or pa.types.is_date(found)):
        return "must be a string, an integer or a date"
    if kind == "stage" and not (is_int or is_text or pa.types.is_boolean(found)):
        return "must be a string, an integer or a boolean to name the stage"
    if kind in ("rank", "substage", "score", "number", "flag"):
        if kind in ("number", "flag") and pa.types.is_boolean(found):
            return None
        if not (is_number or (is_text and text)):
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


def _int_id(column: pa.Array, unit: str | None) -> Cast:
    """int64; text is unreadable where it is not one whole number, blanks around it aside."""
    kind = column.type
    if pa.types.is_string(kind):
        column = pc.utf8_trim(column, " \t")
        column = pc.if_else(pc.equal(column, ""), None, column)
        # Arrow alone would read 0x1F, too.
        whole = pc.match_substring_regex(column, WHOLE)
        ids, too_large = attempt(
            pc.if_else(whole, column, None), lambda c: c.cast(pa.int64()), WHOLE
        )
        return ids, both(marked(pc.invert(whole)), too_large)
    if pa.types.is_uint64(kind):
        fits = pc.less_equal(column, pa.scalar(2**63 - 1, kind))
    elif pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        is_sharp = pc.less(pc.abs(column), SHARP)
        fits = pc.and_(is_sharp, pc.equal(column, pc.floor(column)))
    else:
        return column.cast(pa.int64()), None
    return pc.if_else(fits, column, None).cast(pa.int64()), marked(pc.invert(fits))


def _text_id(column: pa.Array, unit: str | None) -> Cast:
    return column.cast(pa.string()), None


def _number(column: pa.Array, unit: str | None) -> Cast:
    """float64, whatever a day's files hold: the type of a table may not depend on the day."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8()).cast(pa.float64()), None
    if pa.types.is_string(kind):
        return attempt(stripped(column), lambda c: c.cast(pa.float64()), _FLOAT)
    return column.cast(pa.float64(), safe=False), None


def _rank(column: pa.Array, unit: str | None) -> Cast:
    """Whole numbers within int32; floats count where they are whole, NaN is null."""
    bad = None
    if not pa.types.is_integer(column.type):
        column, bad = _number(column, unit)
        values = column.to_numpy(zero_copy_only=False)
        present = ~np.isnan(values)
        odd = present & ((values != np.floor(values)) | (np.abs(values) > MAX_RANK))
        keep = present & ~odd
        whole = np.where(keep, values, 0).astype(np.int64)
        ranks = pa.array(whole, mask=~keep)
        return ranks.cast(pa.int32()), both(bad, odd if odd.any() else None)
    if column.type in (pa.int8(), pa.int16(), pa.uint8(), pa.uint16()):
        return column.cast(pa.int32()), None
    wide = pc.greater(column, pa.scalar(MAX_RANK, column.type))
    if pa.types.is_signed_integer(column.type):
        wide = pc.or_(wide, pc.less(column, pa.scalar(-MAX_RANK, column.type)))
    if pc.any(wide).as_py():
        bad = marked(wide)
        column = pc.if_else(wide, None, column)
    return column.cast(pa.int32()), bad


def _substage(column: pa.Array, unit: str | None) -> Cast:
    ranks, bad = _rank(column, unit)
    wide = marked(pc.greater(pc.abs(ranks), 127))
    if wide is not None:
        ranks, bad = pc.if_else(pa.array(wide), None, ranks), both(bad, wide)
    return ranks, bad


def _flag(column: pa.Array, unit: str | None) -> Cast:
    """A number, not zero where the flag is set; in text also true and false."""
    if pa.types.is_string(column.type):
        column = pc.replace_substring_regex(column, r"(?i)^\s*true\s*$", "1")
        column = pc.replace_substring_regex(column, r"(?i)^\s*false\s*$", "0")
    return _number(column, unit)


def _any(column: pa.Array, unit: str | None) -> Cast:
    kind = portable(column.type)
    return column if kind == column.type else column.cast(kind, safe=False), None


def portable(kind: pa.DataType) -> pa.DataType:
    """The type that every engine and table format can hold: no unsigned, no half floats."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(portable(kind.value_type))
    if pa.types.is_uint64(kind):
        return pa.string()  # beyond int64 a number stays exact as text
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


KINDS: dict[str, Callable[[pa.Array, str | None], Cast]] = {
    "id": _id,
    "int_id": _int_id,
    "text_id": _text_id,
    "time": time,
    "rank": _rank,
    "substage": _substage,
    "flag": _flag,
    "score": _number,
    "number": _number,
    "text": _text,
    "any": _any,
}
