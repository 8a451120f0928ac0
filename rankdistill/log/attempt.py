"""Casts that may fail for single values: what can be read is, what cannot is marked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# (canonical column, bool mask of values that could not be read; None where there are none)
Cast = tuple[pa.Array, np.ndarray | None]


def attempt(
    column: pa.Array, convert: Callable[[pa.Array], pa.Array], pattern: str | None = None
) -> Cast:
    """`convert` the column; where that fails, the distinct values that can be, marking the rest.

    pattern: what no value can be converted without; it spares the trials.
    """
    try:
        return convert(column), None
    except pa.ArrowInvalid:
        pass
    encoded = column.dictionary_encode()
    values = encoded.dictionary
    if pattern is not None:
        values = pc.if_else(pc.match_substring_regex(values, pattern), values, None)
    converted = _halved(values, convert).take(encoded.indices)
    bad = pc.and_(column.is_valid(), converted.is_null())
    return converted, marked(bad)


def _halved(values: pa.Array, convert: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Each value converted or null: what fails as a whole is tried in halves."""
    try:
        return convert(values)
    except pa.ArrowInvalid:
        if len(values) == 1:
            return convert(pa.nulls(1, values.type))
    half = len(values) // 2
    return pa.concat_arrays(
        [_halved(values.slice(0, half), convert), _halved(values.slice(half), convert)]
    )


def marked(condition: pa.Array) -> np.ndarray | None:
    mask = condition.fill_null(False).to_numpy(zero_copy_only=False)
    return mask if mask.any() else None


def both(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    if a is None or b is None:
        return b if a is None else a
    return a | b


def stripped(column: pa.Array) -> pa.Array:
    """Text without blanks around it; what is then empty is null."""
    stripped = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(stripped, ""), None, stripped)
