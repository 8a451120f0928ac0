"""Vectors from a seed, some of them hard to tell apart, and items to leave out."""

from __future__ import annotations

import numpy as np

from rankdistill.catalogue.nearest import Excluded, Nearest, Vectors


def vectors(num: int, width: int, seed: int, kind: str = "normal") -> Vectors:
    random = np.random.default_rng(seed)
    value = random.normal(size=(num, width))
    if kind == "few":  # many ties, and vectors without direction
        value = random.integers(-1, 2, size=(num, width)).astype(float)
    if kind == "near":  # differences at the edge of float32
        value = 1 + random.integers(0, 4, size=(num, width)) * 2.0**-22
    if kind == "wild":
        value *= 10.0 ** random.integers(-6, 7, size=(num, 1))
    return Vectors.of(value.astype(np.float32))


def none_of(num_users: int) -> Excluded:
    return Excluded(np.zeros(num_users + 1, dtype=np.int64), np.zeros(0, dtype=np.int64))


def some_of(num_users: int, num_items: int, seed: int) -> Excluded:
    is_out = np.random.default_rng(seed).random((num_users, num_items)) < 0.2
    return Excluded(np.concatenate([[0], np.cumsum(is_out.sum(axis=1))]), np.nonzero(is_out)[1])


def same(a: Nearest, b: Nearest) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
