"""Pairs of candidates within a request, counted exactly without making them: ties, inversions.

Scores of a request lie at offsets[i] : offsets[i + 1]. Shapes: R requests, M scores; requests of
like length are worked on together as a matrix of K rows and W columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rankdistill.lists.batch import spans

CELLS = 2**18  # of a matrix: it stays in the cache
BLOCK = 64  # columns within which pairs are compared one by one


def num_pairs(lengths: np.ndarray) -> np.ndarray:
    """Pairs of so many candidates, int64."""
    return lengths * (lengths - 1) // 2


def tied_pairs(falling: np.ndarray, offsets: np.ndarray, eps: float) -> np.ndarray:
    """Pairs with s_i - s_j <= eps in each request, int64 [R]; falling: scores from the highest
    down. A score's ties end where the next gap above eps is, or before: found by halving."""
    with np.errstate(over="ignore"):
        is_near = falling[:-1] - falling[1:] <= eps
        ends = offsets[1:-1]
        is_near[ends[(ends > 0) & (ends < len(falling))] - 1] = False
        first = np.flatnonzero(is_near)
        if not len(first):
            return np.zeros(len(offsets) - 1, dtype=np.int64)
        apart = np.append(np.flatnonzero(~is_near), len(falling) - 1)
        last = _last_tied(falling, first, apart[np.searchsorted(apart, first)], eps)
    held = np.searchsorted(first, offsets)
    running = np.concatenate([[0], np.cumsum(last - first)])
    return running[held[1:]] - running[held[:-1]]


def _last_tied(falling: np.ndarray, first: np.ndarray, end: np.ndarray, eps: float) -> np.ndarray:
    """The last place up to `end` whose score is within eps of the one at `first`."""
    low, high = first + 1, end.copy()
    is_all = falling[first] - falling[high] <= eps
    low[is_all] = high[is_all]
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_] + 1) // 2
        is_tied = falling[first[open_]] - falling[middle] <= eps
        low[open_] = np.where(is_tied, middle, low[open_])
        high[open_] = np.where(is_tied, high[open_], middle - 1)
    return low


def rising_pairs(score: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Pairs i before j with s_i < s_j in each request, int64 [R]: compared within blocks,
    counted while sorted blocks are merged; O(n log n)."""
    found = np.zeros(len(offsets) - 1, dtype=np.int64)
    for requests, matrix, _ in _matrices(score, offsets):
        found[requests] = _rising(matrix)
    return found


def sorted_down(score: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The scores of each request from the highest down, float64 [M]."""
    falling = np.empty_like(score)
    for requests, matrix, inside in _matrices(score, offsets):
        rows = spans(offsets[requests], offsets[requests + 1] - offsets[requests])
        falling[rows] = np.sort(matrix, axis=1)[:, ::-1][inside]
    return falling


def _matrices(
    score: np.ndarray, offsets: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(requests [K], their scores [K, W] with -inf behind the last, bool [K, W]: a score)."""
    lengths = np.diff(offsets)
    width = 1 << np.frexp(np.maximum(lengths - 1, 0).astype(np.float64))[1].astype(np.int64)
    for columns in np.unique(width).tolist():
        alike = np.flatnonzero(width == columns)
        for at in range(0, len(alike), max(1, CELLS // columns)):
            requests = alike[at : at + max(1, CELLS // columns)]
            inside = np.arange(columns) < lengths[requests][:, None]
            matrix = np.full(inside.shape, -np.inf)
            matrix[inside] = score[spans(offsets[requests], lengths[requests])]
            yield requests, matrix, inside


def _rising(matrix: np.ndarray) -> np.ndarray:
    """Pairs of columns i < j with matrix[:, i] < matrix[:, j] in each row, int64 [K]."""
    num, width = matrix.shape
    size = min(width, BLOCK)
    blocks = matrix.reshape(-1, size)
    found = _rising_in_block(blocks).reshape(num, -1).sum(axis=1)
    blocks = np.sort(blocks, axis=1)
    while size < width:
        left, right = blocks[0::2], blocks[1::2]
        both = np.concatenate([right, left], axis=1)
        # Two rising runs: the stable sort merges them, equal ones of the right first, so that
        # before each score of the right stand those of the left that are below it.
        order = np.argsort(both, axis=1, kind="stable")
        place = np.where(order < size, np.arange(2 * size), 0).sum(axis=1)
        found += (place - size * (size - 1) // 2).reshape(num, -1).sum(axis=1)
        blocks, size = np.take_along_axis(both, order, axis=1), 2 * size
    return found


def _rising_in_block(blocks: np.ndarray) -> np.ndarray:
    """As `_rising`, of at most BLOCK columns: each compared with those after it."""
    columns = np.ascontiguousarray(blocks.T)
    lower = np.zeros(columns.shape, dtype=np.uint8)  # scores before each that are below it
    for lag in range(1, len(columns)):
        lower[lag:] += (columns[:-lag] < columns[lag:]).view(np.uint8)
    return lower.sum(axis=0, dtype=np.int64)
