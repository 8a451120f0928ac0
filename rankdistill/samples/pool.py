"""Urns of candidates to pair with: contiguous spans of a fixed order, less the tied ones.

`pairwise` draws the partners of a candidate by index from such a span, so that nothing is
expanded per pair; candidates with the same teacher score are cut out exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rankdistill.lists.batch import Lists, spans


def tie_groups(lists: Lists) -> np.ndarray | None:
    """int64 [N]: candidates of one request with one teacher score share a number > 0; 0 where
    no other has the score. None where the whole batch has no tie (the common case)."""
    score = lists.score
    if not lists.has_score:
        return None
    # A list whose scores fall strictly, then stop, has no tie: only the others are sorted.
    has_next = ~np.isnan(score[1:])
    doubtful = ~(score[:-1] > score[1:]) & has_next
    borders = lists.offsets[(lists.offsets > 0) & (lists.offsets < len(score))]
    doubtful[borders - 1] = False
    at = np.flatnonzero(doubtful)
    if not len(at):
        return None
    requests = np.unique(np.searchsorted(lists.offsets, at, side="right") - 1)
    items = spans(lists.offsets[requests], lists.lengths[requests])
    items = items[~np.isnan(score[items])]
    request, score = lists.request[items], score[items]

    order = np.lexsort((score, request))
    is_same = (score[order][1:] == score[order][:-1]) & (request[order][1:] == request[order][:-1])
    group = np.cumsum(np.concatenate([[True], ~is_same]))
    is_tied = np.concatenate([[False], is_same]) | np.concatenate([is_same, [False]])
    groups = np.zeros(lists.candidates.num_rows, dtype=np.int64)
    groups[items[order]] = np.where(is_tied, group, 0)
    return groups if is_tied.any() else None


@dataclass(frozen=True)
class Span:
    """For each of Q candidates, an urn: places first : last of a pool, less num_tied of them."""

    who: np.ndarray
    first: np.ndarray
    last: np.ndarray
    num_tied: np.ndarray

    @property
    def num_available(self) -> np.ndarray:
        return self.last - self.first - self.num_tied


@dataclass(frozen=True)
class Pool:
    """items: candidate indices [E] in some order; groups: see `tie_groups`."""

    items: np.ndarray
    groups: np.ndarray | None

    def span(self, who: np.ndarray, first: np.ndarray, last: np.ndarray) -> Span:
        """The urns of candidates `who`: pool places first : last that do not tie with them."""
        num_tied = np.zeros(len(who), dtype=np.int64)
        if self.groups is not None:
            rows = np.flatnonzero(self.groups[who])
            lowest, highest = self._members(who[rows], first[rows], last[rows])
            num_tied[rows] = highest - lowest
        return Span(who, first, last, num_tied)

    def pick(self, span: Span, row: np.ndarray, index: np.ndarray) -> np.ndarray:
        """The candidates at `index` of the urns `row`, counted without the tied ones."""
        place = span.first[row] + index
        if self.groups is not None:
            at = np.flatnonzero(span.num_tied[row])
            place[at] += self._num_tied_before(span, row[at], index[at])
        return self.items[place]

    @cached_property
    def _tied(self) -> tuple[np.ndarray, np.ndarray]:
        """(group, pool place) of the tied members, by group, then place."""
        assert self.groups is not None
        group = self.groups[self.items]
        place = np.flatnonzero(group)
        order = np.argsort(group[place], kind="stable")
        return group[place][order], place[order]

    def _members(
        self, who: np.ndarray, first: np.ndarray, last: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The range of `_tied` that ties with `who` and stands at pool places first : last."""
        assert self.groups is not None
        base = len(self.items) + 1
        group, place = self._tied
        keys, mine = group * base + place, self.groups[who] * base
        return np.searchsorted(keys, mine + first), np.searchsorted(keys, mine + last)

    def _num_tied_before(self, span: Span, row: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Tied members that stand before the index-th untied one of the urn.

        Member l of a sorted group stands behind place[l] - l untied or earlier places; this
        never falls within a group, so the count is one binary search.
        """
        assert self.groups is not None
        base = len(self.items) + 1
        group, place = self._tied
        within = np.arange(len(group)) - np.searchsorted(group, group)
        keys = group * base + (place - within)
        who, first = span.who[row], span.first[row]
        lowest, _ = self._members(who, first, span.last[row])
        mine = self.groups[who]
        earlier = lowest - np.searchsorted(group, mine)
        found = np.searchsorted(keys, mine * base + index + first - earlier, side="right")
        return np.clip(found - lowest, 0, span.num_tied[row])
