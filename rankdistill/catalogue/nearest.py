"""The nearest items of each user by their vectors, exactly: the candidates of mined negatives.

Float32 matrix products find what may be near; float64 products summed in one fixed order then
decide. A product's last bits depend on the shape of its blocks, and on the machine; what comes
out here does not. Shapes: U users, I items, D the width of a vector, T found in all.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from rankdistill.lists.batch import owners, spans

Metric = Literal["inner_product", "cosine"]
_EXACT_ELEMENTS = 2**21  # float64 products held at once: 16 MB
# A score takes 9 bytes, and 60 where all tie and each is worked out exactly.
_BLOCK_USERS, _PAIR_BYTES = 256, 60
# A product of norms beyond it could overflow float32 in the search.
MAX_PRODUCT = 1e37
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
# Products that each take all cores hinder each other when taken at once: five times as slow.
_IS_ALONE = any(os.environ.get(name) == "1" for name in BLAS_THREADS)
_PRODUCT: AbstractContextManager = nullcontext() if _IS_ALONE else threading.Lock()


@dataclass(frozen=True)
class Vectors:
    """value: float32 [V, D], finite, perhaps mapped from a file; norm: float64 [V]."""

    value: np.ndarray
    norm: np.ndarray

    @classmethod
    def of(cls, value: np.ndarray) -> Vectors:
        """With the norms worked out."""
        return cls(value, norms(value))

    def take(self, rows: np.ndarray | slice) -> Vectors:
        return Vectors(self.value[rows], self.norm[rows])


class Excluded(NamedTuple):
    """Items that user i shall not get: item[offsets[i] : offsets[i + 1]] (indices, int64)."""

    offsets: np.ndarray
    item: np.ndarray

    def rows(self) -> np.ndarray:
        """The user of each entry, int64."""
        return owners(self.offsets)

    def take(self, users: np.ndarray) -> Excluded:
        length = np.diff(self.offsets)[users]
        ends = np.concatenate([[0], np.cumsum(length)])
        return Excluded(ends, self.item[spans(self.offsets[:-1][users], length)])


class Nearest(NamedTuple):
    """Items found, by user, then rank. user, item: int64 [T]; score: float64 [T]; rank: int64
    [T], from 1 among the items that are not excluded."""

    user: np.ndarray
    item: np.ndarray
    score: np.ndarray
    rank: np.ndarray


def block_sizes(k: int, max_bytes: int) -> tuple[int, int]:
    """(block_users, block_items) of a search for k items that holds about max_bytes at most."""
    num_users = max(1, min(_BLOCK_USERS, max_bytes // (4 * _PAIR_BYTES * k)))
    return num_users, max(1, max_bytes // (_PAIR_BYTES * num_users))


def nearest(
    users: Vectors,
    items: Vectors,
    k: int,
    excluded: Excluded,
    metric: Metric,
    *,
    block_users: int = 256,
    block_items: int = 8192,
) -> Nearest:
    """The k items of highest score of each user, those excluded left out.

    Ties go to the item of the lower index; items without direction (norm 0) have no cosine and
    are never found. The blocks bound the memory (see `block_sizes`); they change no bit of what
    is found.
    """
    assert k >= 1 and block_users >= 1 and block_items >= 1
    found = []
    for start in range(0, len(users.norm), block_users):
        rows = np.arange(start, min(start + block_users, len(users.norm)))
        best = _Best(len(rows), k)
        _search(users.take(rows), items, excluded.take(rows), metric, block_items, best)
        found.append(best.found(start))
    return _joined(found)


def rescored(
    users: Vectors, items: Vectors, user: np.ndarray, item: np.ndarray, k: int, metric: Metric
) -> Nearest:
    """The k best of each user among the given (user, item) pairs, all distinct."""
    best = _Best(len(users.norm), k)
    best.add(user, item, score_pairs(users, items, user, item, metric))
    return best.found(0)


def score_pairs(
    users: Vectors, items: Vectors, user: np.ndarray, item: np.ndarray, metric: Metric
) -> np.ndarray:
    """The score of each (user, item) pair, float64 [T]: a function of the two vectors alone.

    Products of float32 are exact in float64, and they are added as a tree of halves, so that no
    block, library or processor shows. Cosines of vectors without direction are NaN.
    """
    score = np.empty(len(user))
    step = max(1, _EXACT_ELEMENTS // max(1, users.value.shape[1]))
    for start in range(0, len(user), step):
        part = slice(start, start + step)
        left = users.value[user[part]].astype(np.float64)
        left *= items.value[item[part]]
        score[part] = _tree_sum(left)
    if metric == "cosine":
        with np.errstate(invalid="ignore"):
            score /= users.norm[user] * items.norm[item]
    return score + 0.0  # no -0.0


def norms(value: np.ndarray) -> np.ndarray:
    """The Euclidean length of each row, float64 [V]."""
    squares = np.empty(len(value))
    step = max(1, _EXACT_ELEMENTS // max(1, value.shape[1]))
    for start in range(0, len(value), step):
        part = value[start : start + step].astype(np.float64)
        part *= part
        squares[start : start + step] = _tree_sum(part)
    return np.sqrt(squares)


def _tree_sum(terms: np.ndarray) -> np.ndarray:
    """The sum of each row, halves added to halves; `terms` [T, D] is used up."""
    while terms.shape[1] > 1:
        half = (terms.shape[1] + 1) // 2
        terms[:, : terms.shape[1] - half] += terms[:, half:]
        terms = terms[:, :half]
    return terms[:, 0] if terms.shape[1] else np.zeros(len(terms))


def directed(vectors: Vectors, metric: Metric) -> np.ndarray:
    """What float32 products are taken of, [V, D]: unit vectors for the cosine."""
    if metric == "inner_product":
        return np.ascontiguousarray(vectors.value)
    norm = np.where(vectors.norm > 0, vectors.norm, 1.0)
    return (vectors.value / norm[:, None]).astype(np.float32)


def _search(
    users: Vectors,
    items: Vectors,
    excluded: Excluded,
    metric: Metric,
    block_items: int,
    best: _Best,
) -> None:
    of_users = directed(users, metric)
    by_item = np.argsort(excluded.item, kind="stable")
    excluded_user, excluded_item = excluded.rows()[by_item], excluded.item[by_item]
    for start in range(0, len(items.norm), block_items):
        block = items.take(slice(start, start + block_items))
        with _PRODUCT:
            score = of_users @ directed(block, metric).T
        first, last = np.searchsorted(excluded_item, [start, start + len(block.norm)])
        score[excluded_user[first:last], excluded_item[first:last] - start] = -np.inf
        if metric == "cosine":
            score[:, block.norm == 0] = -np.inf
        user, item = _may_be_best(score, best, _slack(users, block, metric))
        item += start
        best.add(user, item, score_pairs(users, items, user, item, metric))


def _slack(users: Vectors, items: Vectors, metric: Metric) -> np.ndarray:
    """How far a float32 score of each user may lie from the exact one, float64 [U].

    |error| <= D u / (1 - D u) |user| |item| with u = 2^-24, whatever the order of the sum
    (Higham, Accuracy and Stability of Numerical Algorithms, 3.1); twice that for unit vectors'
    own rounding, and what underflow may lose.
    """
    width = users.value.shape[1]
    size = users.norm * items.norm.max(initial=0.0) if metric == "inner_product" else 1.0
    assert np.max(size, initial=0.0) <= MAX_PRODUCT, "float32 products would overflow"
    return np.broadcast_to(2 * (width + 2) * 2.0**-24 * size + width * 2.0**-125, users.norm.shape)


def _may_be_best(
    score: np.ndarray, best: _Best, slack: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(user, item) of the block's scores that the exact ones may put among the best k."""
    num_items = score.shape[1]
    lower = best.least() - slack
    passing = score >= _below(lower)
    if num_items > best.k and np.count_nonzero(passing) > 4 * best.k * len(score):
        # The best k of this block alone are few; with slack on both sides none is lost.
        place = num_items - best.k
        kth = np.partition(score, place, axis=1)[:, place].astype(np.float64)
        passing = score >= _below(np.maximum(lower, kth - 2 * slack))
    return np.divmod(np.flatnonzero(passing), num_items)


def _below(bound: np.ndarray) -> np.ndarray:
    """float32 [U, 1], not above `bound`, and above the -inf of what is excluded."""
    low = np.nextafter(bound.astype(np.float32), np.float32(-np.inf))
    return np.maximum(low, np.finfo(np.float32).min)[:, None]


class _Best:
    """The k best pairs of each of U users so far: by exact score, ties to the lower item."""

    def __init__(self, num_users: int, k: int) -> None:
        self.k = k
        self._score = np.full((num_users, k), -np.inf)
        self._item = np.full((num_users, k), -1, dtype=np.int64)
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._num_waiting = 0

    def least(self) -> np.ndarray:
        """No more than the k-th score of each user, float64 [U]; -inf where there are fewer."""
        return self._score[:, -1]

    def add(self, user: np.ndarray, item: np.ndarray, score: np.ndarray) -> None:
        """Take in pairs that were not there before; sorted in once there are many of them."""
        self._waiting.append((user, item, score))
        self._num_waiting += len(user)
        if self._num_waiting >= self._score.size:
            self._settle()

    def _settle(self) -> None:
        if not self._num_waiting:
            return
        user, item, score = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._num_waiting = [], 0
        touched = np.unique(user)
        row, place = np.nonzero(self._item[touched] >= 0)
        row = touched[row]
        user = np.concatenate([row, user])
        item = np.concatenate([self._item[row, place], item])
        score = np.concatenate([self._score[row, place], score])

        order = np.lexsort((item, -score, user))
        user = user[order]
        rank = np.arange(len(user)) - np.searchsorted(user, user)
        kept = rank < self.k
        order, place, row = order[kept], rank[kept], user[kept]
        self._item[row, place], self._score[row, place] = item[order], score[order]

    def found(self, first_user: int) -> Nearest:
        self._settle()
        user, place = np.nonzero(self._item >= 0)
        item, score = self._item[user, place], self._score[user, place]
        return Nearest(user + first_user, item, score, place + 1)


def _joined(parts: list[Nearest]) -> Nearest:
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Nearest(none, none, np.zeros(0), none)
    return Nearest(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
