"""Times of any make as UTC microseconds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.log.attempt import Cast, attempt, both, marked, stripped

TIME = pa.timestamp("us", tz="UTC")
FIRST_MICRO, LAST_MICRO = -62_135_596_800_000_000, 253_402_300_799_999_999
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_OFFSET = r"(Z|:\d\d(\.\d+)?[+-]\d\d(:?\d\d)?)$"
_NANOS = r"(\.\d{6})\d+"
_ISO = (
    r"^\d{4}-(0\d|1[0-2])-([0-2]\d|3[01])"
    r"([T ][0-2]\d(:?[0-5]\d(:?[0-5]\d(\.\d+)?)?)?(Z|[+-]\d\d(:?\d\d)?)?)?$"
)


def time(column: pa.Array, unit: str | None) -> Cast:
    """UTC; a moment outside of the years 1 to 9999 is unreadable, as it is to most readers."""
    times, bad = _any_time(column, unit)
    micros = _int64(times.cast(pa.int64()))
    strange = (micros < FIRST_MICRO) | (micros > LAST_MICRO)
    if not strange.any():
        return times, bad
    return pc.if_else(pa.array(strange), None, times), both(bad, strange)


def _any_time(column: pa.Array, unit: str | None) -> Cast:
    kind = column.type
    if pa.types.is_null(kind):
        return column.cast(TIME), None
    if pa.types.is_integer(kind):
        return _from_epoch(column, unit or "us")
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _from_float(column.cast(pa.float64()), unit or "us")
    if pa.types.is_string(kind):
        return _from_text(stripped(column), unit)
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return column.cast(pa.timestamp("us"), safe=False).cast(TIME), None
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us")).cast(TIME), None
    return column.cast(TIME, safe=False), None


def _from_text(column: pa.Array, unit: str | None) -> Cast:
    if unit is None:
        return attempt(column, _parse_time, _ISO)
    whole, unreadable = attempt(column, lambda c: c.cast(pa.int64()))
    times, bad = _from_epoch(whole, unit)
    return times, both(bad, unreadable)


def _from_epoch(column: pa.Array, unit: str) -> Cast:
    per_second = _PER_SECOND[unit]
    factor = max(1, 1_000_000 // per_second)
    limit = (2**63 - 1) // factor
    fits = pc.less_equal(column, pa.scalar(limit, column.type)) if _reaches(column, limit) else None
    if fits is not None and pa.types.is_signed_integer(column.type):
        fits = pc.and_(fits, pc.greater_equal(column, pa.scalar(-limit, column.type)))
    bad = None if fits is None else marked(pc.and_(column.is_valid(), pc.invert(fits)))
    values = (column if fits is None else pc.if_else(fits, column, None)).cast(pa.int64())
    if per_second > 1_000_000:
        floored = np.floor_divide(_int64(values), per_second // 1_000_000)
        micros = pa.array(floored, mask=values.is_null().to_numpy(zero_copy_only=False))
    else:
        micros = pc.multiply(values, factor)
    return micros.cast(TIME), bad


def _reaches(column: pa.Array, limit: int) -> bool:
    """Whether the column's type holds numbers beyond `limit`."""
    bits = column.type.bit_width - pa.types.is_signed_integer(column.type)
    return 2**bits - 1 > limit


def _int64(column: pa.Array) -> np.ndarray:
    return column.fill_null(0).to_numpy(zero_copy_only=False)


def _from_float(column: pa.Array, unit: str) -> Cast:
    """Seconds (or another unit) with a fraction, to the nearest microsecond; NaN is null."""
    values = column.to_numpy(zero_copy_only=False)
    micros = np.round(values * (1_000_000 / _PER_SECOND[unit]))
    absent = np.isnan(values)
    bad = ~absent & ~(np.abs(micros) < 2**63)
    whole = np.where(absent | bad, 0, micros).astype(np.int64)
    return pa.array(whole, mask=absent | bad).cast(TIME), bad if bad.any() else None


def _parse_time(column: pa.Array) -> pa.Array:
    """ISO 8601; without an offset it is UTC. What is finer than a microsecond is cut off."""
    column = pc.replace_substring_regex(column, _NANOS, r"\1")
    has_offset = pc.match_substring_regex(column, _OFFSET)
    zoned = pc.if_else(has_offset, column, None).cast(TIME)
    local = pc.if_else(has_offset, None, column).cast(pa.timestamp("us")).cast(TIME)
    return pc.coalesce(zoned, local)
