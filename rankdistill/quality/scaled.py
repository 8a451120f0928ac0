"""Sums of floats of any scale as integers that add: by groups of 16 powers of two.

Fixed point loses scores of 1e-9 and overflows at those of 1e9; teachers have both. A value
goes to the group of its size with 30 bits behind that group's point. Sums of a million requests
are good to nine digits, and the same in every order. Shapes: T values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WIDE = 16  # powers of two of a group
SIZE = 16  # groups: from 2^-128 up to 2^128; what is beyond counts as the nearest
BITS = 30


def scaled(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(group, integer) of each value, int64 [T] each."""
    least, most = -SIZE // 2 * WIDE, SIZE // 2 * WIDE
    held = np.nan_to_num(values, nan=0.0, posinf=2.0 ** (most - 1), neginf=-(2.0 ** (most - 1)))
    held = np.clip(held, -(2.0 ** (most - 1)), 2.0 ** (most - 1))
    power = np.clip(np.frexp(held)[1].astype(np.int64), least, most - 1)
    group = (power - least) // WIDE
    point = BITS - (group * WIDE + least)
    return group, np.rint(np.ldexp(held, point)).astype(np.int64)


def unscaled(sums: Sequence[int]) -> float:
    """The sum of the values, of the integers summed by group."""
    least = -SIZE // 2 * WIDE
    return float(sum(n * 2.0 ** (group * WIDE + least - BITS) for group, n in enumerate(sums)))
