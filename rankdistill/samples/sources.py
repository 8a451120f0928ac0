"""The sources of negatives by name: which candidates of a request each may draw.

Logged sources are pools of the request's own candidates, `mined` is a list given for the
request, the others draw from the catalogue. Their order here is the order of everything: an
item belongs to the first source of the mix that would hold it, shortages are filled and rows
stand in it. Shapes: N candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from rankdistill.config import Options
from rankdistill.lists.batch import PRERANKED, RECALLED, STAGES, Lists, segment_sum
from rankdistill.samples.margins import half_ranks
from rankdistill.samples.positives import tail_mask

SourceName = Literal[
    "prerank_dropped",
    "recall_dropped",
    "exposed_unclicked",
    "tail",
    "mined",
    "popular",
    "uniform",
]


class ShareTail(Options):
    """Beyond top_k and in the last `share` of the teacher's list."""

    kind: Literal["share"] = "share"
    share: float = Field(default=0.75, gt=0, le=1)


class RanksTail(Options):
    """Teacher ranks from_rank .. to_rank (None = to the last)."""

    kind: Literal["ranks"] = "ranks"
    from_rank: int = Field(ge=1)
    to_rank: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.to_rank is not None and self.to_rank < self.from_rank:
            raise ValueError(f"tail of ranks {self.from_rank} .. {self.to_rank} is empty")
        return self


class QuantileTail(Options):
    """low <= u < high, u the quantile of the teacher's score among the request's scored
    candidates, in (0, 1), ties in their middle."""

    kind: Literal["quantile"] = "quantile"
    low: float = Field(default=0.0, ge=0, lt=1)
    high: float = Field(default=0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.high <= self.low:
            raise ValueError(f"tail of quantiles {self.low:g} .. {self.high:g} is empty")
        return self


Tail = Annotated[ShareTail | RanksTail | QuantileTail, Field(discriminator="kind")]


def _share_tail(lists: Lists, tail: ShareTail, top_k: int) -> np.ndarray:
    return tail_mask(lists, tail.share, top_k)


def _ranks_tail(lists: Lists, tail: RanksTail, top_k: int) -> np.ndarray:
    rank = lists.teacher_rank
    return (rank >= tail.from_rank) & (rank <= (tail.to_rank or np.iinfo(np.int32).max))


def _quantile_tail(lists: Lists, tail: QuantileTail, top_k: int) -> np.ndarray:
    half, num_scored = half_ranks(lists)
    quantile = half / np.maximum(2 * num_scored, 1)[lists.request]
    return (half >= 0) & (quantile >= tail.low) & (quantile < tail.high)


TAILS: dict[str, Callable[[Lists, Any, int], np.ndarray]] = {
    "share": _share_tail,
    "ranks": _ranks_tail,
    "quantile": _quantile_tail,
}

# source -> bool [N] of (lists, its tail, top_k), before any guard
LOGGED: dict[str, Callable[[Lists, Any, int], np.ndarray]] = {
    "prerank_dropped": lambda lists, tail, top_k: lists.stage == PRERANKED,
    "recall_dropped": lambda lists, tail, top_k: lists.stage == RECALLED,
    "exposed_unclicked": lambda lists, tail, top_k: lists.exposed & ~lists.responded,
    "tail": lambda lists, tail, top_k: TAILS[tail.kind](lists, tail, top_k),
}
MINED = "mined"
CATALOGUE = ("popular", "uniform")
ORDER = (*LOGGED, MINED, *CATALOGUE)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The sources `names` in their order."""
    chosen = set(names)
    assert chosen <= set(ORDER), chosen
    return tuple(name for name in ORDER if name in chosen)


def pools(lists: Lists, sources: tuple[str, ...], tail: Options, top_k: int) -> np.ndarray:
    """The logged source of each candidate as its place in `sources`, -1 for none; int8 [N]."""
    pool = np.full(lists.candidates.num_rows, -1, dtype=np.int8)
    for place, name in reversed(list(enumerate(sources))):
        if name in LOGGED:
            pool[LOGGED[name](lists, tail, top_k)] = place
    return pool


def difficulty(lists: Lists, items: np.ndarray) -> np.ndarray:
    """The percentile of candidates by the teacher's order, float64 in (0, 1]; items: [M].

    1 - place / n with place from 0: 1 is the top, 1 / n the last of n. Candidates without a
    teacher rank stand behind all with one, by stage, each at the mean place of its stage.
    """
    request, is_unranked = lists.request[items], lists.teacher_rank == 0
    place = (items - lists.offsets[request]).astype(np.float64)
    first = lists.num_ranked  # where the dropped of a stage begin
    for stage in sorted(STAGES.values(), reverse=True):
        num = segment_sum(is_unranked & (lists.stage == stage), lists.offsets)
        rows = np.flatnonzero(is_unranked[items] & (lists.stage[items] == stage))
        place[rows] = (first + (num - 1) / 2)[request[rows]]
        first = first + num
    return 1 - place / lists.lengths[request]
