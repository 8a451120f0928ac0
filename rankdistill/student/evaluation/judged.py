"""`Judged`, what the measures see: lists of candidates with a student's scores.

Shapes: R requests, N candidates; those of request i stand at offsets[i] : offsets[i + 1], in the
teacher's order (those with a teacher rank first).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rankdistill.hashing import U64, mix, name_key
from rankdistill.lists.batch import owners, segment_sum, spans
from rankdistill.student.evaluation.conventions import Conventions

TIES = name_key("evaluate.ties")
SIGN = np.uint32(1 << 31)


@dataclass(frozen=True)
class Order:
    """The student's order of each list. place: int64 [N] from 1, ties broken; first, last: the
    places that the candidates of this score take, int64 [N]."""

    place: np.ndarray
    first: np.ndarray
    last: np.ndarray


@dataclass(frozen=True)
class Judged:
    """key: of each request (uint64 [R], of its id); score: float32 [N], finite; columns: name ->
    [N]: teacher_rank (0: none), exposed, responded, and grade where it is asked for; id_place:
    int64 [N], each candidate's place by its id as text, for ties by id; user: uint64 [R], the
    key of each request's user, for what is told by user."""

    offsets: np.ndarray
    key: np.ndarray
    score: np.ndarray
    columns: Mapping[str, np.ndarray]
    conventions: Conventions = Conventions()
    gain_kind: str = "exponential"
    id_place: np.ndarray | None = None
    user: np.ndarray | None = None

    @property
    def num_requests(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    @cached_property
    def request(self) -> np.ndarray:
        """The request of each candidate, int64 [N]."""
        return owners(self.offsets)

    @cached_property
    def list_place(self) -> np.ndarray:
        """The place of each candidate in its list, the teacher's order, from 1."""
        return np.arange(1, len(self.score) + 1) - self.offsets[:-1][self.request]

    @cached_property
    def is_ranked(self) -> np.ndarray:
        return self.columns["teacher_rank"] > 0

    @cached_property
    def num_ranked(self) -> np.ndarray:
        """Candidates with a teacher rank of each request, int64 [R]; they stand first."""
        return segment_sum(self.is_ranked, self.offsets)

    def is_top(self, k: int) -> np.ndarray:
        """bool [N]: one of the teacher's top k."""
        return self.is_ranked & (self.list_place <= k)

    @cached_property
    def gain(self) -> np.ndarray:
        """float64 [N], of the teacher's grade."""
        grade = self.columns["grade"].astype(np.float64)
        return np.exp2(grade) - 1.0 if self.gain_kind == "exponential" else grade

    @cached_property
    def order(self) -> Order:
        """The student's order. One sort of whole numbers: request, then falling score."""
        by_score = (self.request.astype(U64) << U64(32)) | falling_bits(self.score)
        rows = np.argsort(by_score, kind="stable")
        ordered = by_score[rows]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
        sizes = np.diff(np.append(starts, len(ordered)))
        begins = self.offsets[:-1][self.request[rows]]
        first = np.repeat(starts, sizes) - begins + 1
        last = first + np.repeat(sizes, sizes) - 1
        tied = np.flatnonzero(np.repeat(sizes, sizes) > 1)
        if len(tied):
            run = np.repeat(np.arange(len(starts)), sizes)[tied]
            rows[tied] = rows[tied][np.lexsort((self._tie_keys(rows[tied]), run))]
        found = (np.empty_like(rows), np.empty_like(first), np.empty_like(last))
        found[0][rows] = np.arange(1, len(rows) + 1) - begins
        found[1][rows], found[2][rows] = first, last
        return Order(*found)

    def _tie_keys(self, rows: np.ndarray) -> np.ndarray:
        """Among equal scores the least of these goes first."""
        ties = self.conventions.ties
        if ties == "place":
            return rows
        if ties == "worst":
            return -rows
        if ties == "id":
            assert self.id_place is not None
            return -self.id_place[rows]
        return mix(TIES, self.key[self.request[rows]], self.list_place[rows])

    def in_top(self, m: int) -> np.ndarray:
        """float64 [N]: whether, or under mean ties how probably, in the student's top m."""
        if self.conventions.ties != "mean":
            return (self.order.place <= m).astype(np.float64)
        first, last = self.order.first, self.order.last
        size = last - first + 1
        return np.clip(m - first + 1, 0, size) / size

    def discount(self, k: int) -> np.ndarray:
        """float64 [N]: 1 / log2(1 + place) up to place k, 0 behind; its mean over mean ties."""
        by_place = discounts(int(self.lengths.max(initial=0)), k)
        if self.conventions.ties != "mean":
            return by_place[self.order.place]
        running = np.cumsum(by_place)
        first, last = self.order.first, self.order.last
        return (running[last] - running[first - 1]) / (last - first + 1)

    def where(self, kept: np.ndarray) -> Judged:
        """The candidates of a bool [N] alone; requests stay, lists may end up empty."""
        num = segment_sum(kept, self.offsets)
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(num)]),
            score=self.score[kept],
            columns={name: column[kept] for name, column in self.columns.items()},
            id_place=None if self.id_place is None else self.id_place[kept],
        )

    def exposed(self) -> Judged:
        """The candidates that were shown."""
        return self._exposed

    @cached_property
    def _exposed(self) -> Judged:
        return self.where(self.columns["exposed"])

    def take(self, requests: np.ndarray) -> Judged:
        """Some of the requests, in that order."""
        lengths = self.lengths[requests]
        rows = spans(self.offsets[:-1][requests], lengths)
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            key=self.key[requests],
            score=self.score[rows],
            columns={name: column[rows] for name, column in self.columns.items()},
            id_place=None if self.id_place is None else self.id_place[rows],
            user=None if self.user is None else self.user[requests],
        )


def discounts(size: int, k: int) -> np.ndarray:
    """float64 [size + 1]: the DCG discount of place 1, 2, ... up to k; 0 at place 0."""
    place = np.arange(size + 1)
    within = (place > 0) & (place <= k)
    return np.where(within, 1.0 / np.log2(1.0 + np.maximum(place, 1)), 0.0)


def falling_bits(score: np.ndarray) -> np.ndarray:
    """Finite float32 as whole numbers below 2^32 (uint64) that rise as the score falls; 0 and
    -0 alike."""
    assert np.isfinite(score).all(), "a score is not finite"
    bits = (score.astype(np.float32) + np.float32(0.0)).view(np.uint32)
    rising = np.where(bits & SIGN, ~bits, bits | SIGN)
    return (~rising).astype(U64)
