"""What the measures of a batch's lists look at: its scored candidates, and those shown.

Made once per batch (`Seen.once`). Shapes: R requests, N candidates, M of them scored, E exposed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from rankdistill.hashing import mix
from rankdistill.lists.batch import Lists, numbers, segment_sum, spans
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import Seen
from rankdistill.quality.pairs_within import sorted_down
from rankdistill.quality.state import MAX_EXAMPLES, Adder


@dataclass(frozen=True)
class Scored:
    """Scored candidates in the teacher's order: score float64 [M] (finite), rank int32 [M] (0
    where the teacher gave none); those of request i at offsets[i] : offsets[i + 1]."""

    score: np.ndarray
    rank: np.ndarray
    offsets: np.ndarray

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 [R]."""
        return np.diff(self.offsets)

    @cached_property
    def rising(self) -> np.ndarray:
        """Requests in which some score is above the one before it, ascending, int64."""
        rise = self.score[1:] > self.score[:-1]
        rise[self.borders] = False
        return owners(self.offsets, np.flatnonzero(rise))

    @cached_property
    def borders(self) -> np.ndarray:
        """Candidates (but the batch's last) whose next one is of another request, int64."""
        ends = self.offsets[1:-1]
        return ends[(ends > 0) & (ends < len(self.score))] - 1

    @cached_property
    def falling(self) -> np.ndarray:
        """The scores of each request from the highest down, float64 [M]; sorted only where
        they are not."""
        if not len(self.rising):
            return self.score
        part = self.take(self.rising)
        rows = spans(self.offsets[self.rising], self.lengths[self.rising])
        falling = self.score.copy()
        falling[rows] = sorted_down(part.score, part.offsets)
        return falling

    @cached_property
    def below_best(self) -> np.ndarray:
        """How far each score is below the highest of its request: 0 or less, float64 [M]."""
        held = self.lengths > 0
        best = self.falling[self.offsets[:-1][held]]
        with np.errstate(over="ignore"):
            return self.score - np.repeat(best, self.lengths[held])

    def take(self, requests: np.ndarray) -> Scored:
        """Those of some requests."""
        lengths = self.lengths[requests]
        rows = spans(self.offsets[requests], lengths)
        return Scored(self.score[rows], self.rank[rows], np.concatenate([[0], np.cumsum(lengths)]))

    @cached_property
    def ranked(self) -> Scored:
        """Those that the teacher gave a rank."""
        has_rank = self.rank > 0
        if has_rank.all():
            return self
        rows = np.flatnonzero(has_rank)
        return Scored(self.score[rows], self.rank[rows], np.searchsorted(rows, self.offsets))


@dataclass(frozen=True)
class Shown:
    """The exposed candidates. request: int64 [E]; score: float64 [E], NaN for none; position:
    int64 [E], 0 for none; responded: bool [E]."""

    rows: np.ndarray
    request: np.ndarray
    score: np.ndarray
    position: np.ndarray
    responded: np.ndarray


def scored(seen: Seen) -> Scored:
    """The scored candidates of a batch."""
    return seen.once("scored", lambda: _scored(seen.lists))


def shown(seen: Seen) -> Shown:
    """The exposed candidates of a batch."""
    return seen.once("shown", lambda: _shown(seen.lists))


def _scored(lists: Lists) -> Scored:
    score, rank, offsets = lists.score, lists.teacher_rank, lists.offsets
    missing = np.isnan(score)
    if not missing.any():
        return Scored(score, rank, offsets)
    rows = np.flatnonzero(~missing)
    return Scored(score[rows], rank[rows], np.searchsorted(rows, offsets))


def _shown(lists: Lists) -> Shown:
    rows = np.flatnonzero(lists.exposed)
    request = owners_of_each(lists.offsets, rows)
    return Shown(
        rows,
        request,
        lists.score[rows],
        numbers(lists.candidates.column("position").take(pa.array(rows)), np.int64),
        responses_of(lists, rows),
    )


def responses_of(lists: Lists, rows: np.ndarray) -> np.ndarray:
    """`Lists.responded` of some candidates only, bool [E]."""
    hit = np.zeros(len(rows), dtype=bool)
    for name in lists.response:
        hit |= hits_of(lists, name, rows)
    return hit


def hits_of(lists: Lists, name: str, rows: np.ndarray) -> np.ndarray:
    """`Lists.hits` of some candidates only, bool [E]."""
    values = numbers(lists.candidates.column(name).take(pa.array(rows)), np.float64)
    return values >= lists.response[name] if name in lists.response else values > 0


def owners(offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The requests that some candidates (ascending) belong to, each once, int64."""
    return np.unique(owners_of_each(offsets, rows))


def owners_of_each(offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The request of each of some candidates (ascending), int64."""
    held = np.diff(np.searchsorted(rows, offsets))
    return np.repeat(np.arange(len(held)), held)


def show_requests(
    add: Adder, lists: Lists, requests: np.ndarray, note: Callable[[int], str]
) -> None:
    """Requests (indices) as examples; only those that may be kept are described."""
    if len(requests):
        hashes = mix(0, 0, lists.request_key[requests])
        requests = requests[np.argsort(hashes, kind="stable")[:MAX_EXAMPLES]]
        ids = lists.requests.column("request_id").take(pa.array(requests))
        add.examples(lists.request_key[requests], ids, note=[note(r) for r in requests.tolist()])


def without_score(facts: Facts) -> str | None:
    """Why measures of the score do not apply."""
    return None if facts.has_score else "no teacher score is mapped"


def without_exposure(facts: Facts) -> str | None:
    """Why measures of what was shown do not apply."""
    return None if facts.has_exposure else "the log does not tell what was exposed"


def without_response(facts: Facts) -> str | None:
    """Why measures of what users did do not apply."""
    return None if facts.response else "no feedback counts as a response"


def segment_means(values: np.ndarray, scored: Scored, held: np.ndarray) -> np.ndarray:
    """The mean of `values` [M] in each of the requests `held` (bool [R], none empty)."""
    return segment_sum(values, scored.offsets)[held] / scored.lengths[held]
