"""What the pair strategies work on: positives and eligible negatives of a batch, as urns.

Shapes: P positives, E eligible negatives, T pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rankdistill.lists.batch import Lists, spans
from rankdistill.samples.pool import Pool, Span, tie_groups

BLOCK = 2_000_000  # pairs expanded at a time by the strategies that look at every pair


@dataclass(frozen=True)
class Drawn:
    """T drawn pairs, ordered by (pos, neg). importance: the draw's own factor of the weight."""

    request: np.ndarray
    pos: np.ndarray
    neg: np.ndarray
    probability: np.ndarray
    importance: np.ndarray | None = None
    num_tied: int = 0


@dataclass(frozen=True)
class PairField:
    """A batch as the strategies see it; is_eligible: bool [N], whether it may be a negative."""

    lists: Lists
    top_k: int | None
    is_eligible: np.ndarray

    @cached_property
    def groups(self) -> np.ndarray | None:
        return tie_groups(self.lists)

    @cached_property
    def positives(self) -> Pool:
        rank = self.lists.teacher_rank
        is_positive = rank > 0 if self.top_k is None else (rank > 0) & (rank <= self.top_k)
        return Pool(np.flatnonzero(is_positive), self.groups)

    @cached_property
    def negatives(self) -> Pool:
        """Eligible candidates with a teacher rank, in list order."""
        return Pool(np.flatnonzero(self._is_negative), self.groups)

    @cached_property
    def _is_negative(self) -> np.ndarray:
        return self.is_eligible & (self.lists.teacher_rank > 0)

    @cached_property
    def request(self) -> np.ndarray:
        """The request of each positive [P]."""
        return self.request_of(self.positives.items)

    def request_of(self, items: np.ndarray) -> np.ndarray:
        """The request of each of `items`, which ascend."""
        num = np.diff(np.searchsorted(items, self.lists.offsets))
        return np.repeat(np.arange(self.lists.num_requests), num)

    def place(self, items: np.ndarray, request: np.ndarray) -> np.ndarray:
        return items - self.lists.offsets[request]

    @cached_property
    def _runs(self) -> np.ndarray | None:
        """Where each run of equal teacher ranks begins, and N; None where no rank repeats."""
        rank, offsets = self.lists.teacher_rank, self.lists.offsets
        is_new = np.ones(len(rank) + 1, dtype=bool)
        is_new[1:-1] = (rank[1:] != rank[:-1]) | (rank[1:] == 0)
        is_new[offsets] = True
        return None if is_new.all() else np.flatnonzero(is_new)

    def next_rank(self, who: np.ndarray) -> np.ndarray:
        """The first candidate behind `who` of a later rank: equal ranks are no order."""
        if self._runs is None:
            return who + 1
        return self._runs[np.searchsorted(self._runs, who, side="right")]

    def same_rank(self, who: np.ndarray) -> np.ndarray:
        """The first candidate of the rank of `who`."""
        if self._runs is None:
            return who
        return self._runs[np.searchsorted(self._runs, who, side="right") - 1]

    def later(self, max_length: int | None = None) -> Span:
        """For each positive, the eligible negatives of later rank (in the first max_length
        places)."""
        who, ends = self.positives.items, self.lists.offsets[1:]
        if max_length is not None:
            ends = np.minimum(ends, self.lists.offsets[:-1] + max_length)
        before = np.zeros(len(self._is_negative) + 1, dtype=np.int64)
        np.cumsum(self._is_negative, out=before[1:])
        first = before[self.next_rank(who)]
        last = before[ends][self.request]
        return self.negatives.span(who, first, np.maximum(first, last))

    def every(self, span: Span, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All pairs of the urns `rows`: (urn [T], candidate [T]), tied ones cut out."""
        num = span.num_available[rows]
        row = np.repeat(rows, num)
        return row, self.negatives.pick(span, row, spans(np.zeros_like(num), num))

    def blocks(self, span: Span) -> Iterator[np.ndarray]:
        """The urns in blocks of whole requests, about BLOCK pairs each."""
        num = span.num_available
        first_of_request = np.searchsorted(self.request, self.request)
        block = (np.cumsum(num) - num)[first_of_request] // BLOCK
        return iter(np.split(np.arange(len(num)), np.flatnonzero(np.diff(block)) + 1))


def ordered(drawn: Drawn, rows: np.ndarray) -> Drawn:
    """The pairs `rows` of `drawn`."""
    importance = None if drawn.importance is None else drawn.importance[rows]
    return Drawn(
        drawn.request[rows],
        drawn.pos[rows],
        drawn.neg[rows],
        drawn.probability[rows],
        importance,
        drawn.num_tied,
    )


def joined(parts: list[Drawn], num_tied: int = 0) -> Drawn:
    columns = ("request", "pos", "neg", "probability", "importance")
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in columns
        if getattr(parts[0], name) is not None
    }
    return Drawn(**joined, num_tied=num_tied)


def gap(score: np.ndarray, pos: np.ndarray, neg: np.ndarray) -> np.ndarray:
    """Score of pos less that of neg, NaN where either has none; finite for finite scores."""
    most = np.finfo(np.float64).max
    with np.errstate(over="ignore"):
        rise = score[pos] - score[neg]
        return np.clip(rise, -most, most, out=rise)
