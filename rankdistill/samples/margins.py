"""How far below the request's weakest positive a negative must stand, by the teacher's score.

Read by the guards. Only scores of the request's own candidates are known. The weakest positive
is the one of the lowest score, so an item that passes is below every positive by the margin.
Shapes: N candidates, R requests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from rankdistill.config import Options
from rankdistill.lists.batch import Lists


class AbsoluteMargin(Options):
    """s_pos - s_neg >= gap."""

    kind: Literal["absolute"] = "absolute"
    gap: float = Field(ge=0)


class RelativeMargin(Options):
    """s_neg <= s_pos - share * |s_pos|: below a positive logit and a negative one alike.

    The usual s_neg < (1 - share) * s_pos lies above s_pos where that is negative.
    """

    kind: Literal["relative"] = "relative"
    share: float = Field(default=0.05, ge=0)


class QuantileMargin(Options):
    """u_pos - u_neg >= least, u the quantile among the request's scored candidates: whatever
    the scale and the sign of the scores."""

    kind: Literal["quantile"] = "quantile"
    least: float = Field(default=0.05, ge=0, lt=1)


Told = tuple[np.ndarray, np.ndarray]  # bool [N] each: fails, is known
Margin = Annotated[AbsoluteMargin | RelativeMargin | QuantileMargin, Field(discriminator="kind")]


def too_close(
    lists: Lists, is_positive: np.ndarray, margin: Options
) -> tuple[np.ndarray, np.ndarray]:
    """(bool [N]: nearer to the weakest positive than the margin, bool [N]: cannot be told).

    It cannot be told for a candidate without a score, nor in a request whose positives have
    none: such a candidate passes, as it was cut before the teacher or is of an unscored log.
    """
    fails, known = MARGINS[margin.kind](lists, is_positive, margin)  # type: ignore[attr-defined]
    return fails & known, ~known


def _by_score(lists: Lists, is_positive: np.ndarray, bound: Any) -> tuple[np.ndarray, np.ndarray]:
    """Candidates that are not at or below `bound(weakest score)`."""
    weakest = weakest_positive(lists.score, np.isnan(lists.score), lists, is_positive)
    weakest = weakest[lists.request]
    known = ~np.isnan(lists.score) & ~np.isnan(weakest)
    return ~bound(lists.score, weakest), known


def _absolute(lists: Lists, is_positive: np.ndarray, margin: AbsoluteMargin) -> Told:
    return _by_score(lists, is_positive, lambda s, weakest: weakest - s >= margin.gap)


def _relative(lists: Lists, is_positive: np.ndarray, margin: RelativeMargin) -> Told:
    return _by_score(
        lists, is_positive, lambda s, weakest: s <= weakest - margin.share * np.abs(weakest)
    )


def _quantile(lists: Lists, is_positive: np.ndarray, margin: QuantileMargin) -> Told:
    half, num_scored = half_ranks(lists)
    weakest = weakest_positive(half.astype(np.float64), half < 0, lists, is_positive)[lists.request]
    # Half ranks are whole numbers; the allowance is for the rounding of least * 2n.
    wanted = margin.least * 2 * num_scored[lists.request] - 1e-9
    return ~(weakest - half >= wanted), (half >= 0) & ~np.isnan(weakest)


MARGINS: dict[str, Callable[[Lists, np.ndarray, Any], Told]] = {
    "absolute": _absolute,
    "relative": _relative,
    "quantile": _quantile,
}


def weakest_positive(
    value: np.ndarray, is_unknown: np.ndarray, lists: Lists, is_positive: np.ndarray
) -> np.ndarray:
    """The lowest known value [N] of each request's positives, float64 [R]; NaN without any."""
    items = np.flatnonzero(is_positive & ~is_unknown)
    bounds = np.searchsorted(items, lists.offsets)
    weakest = np.full(lists.num_requests, np.nan)
    filled = np.flatnonzero(np.diff(bounds))
    if len(filled):
        weakest[filled] = np.minimum.reduceat(value[items], bounds[:-1][filled])
    return weakest


def half_ranks(lists: Lists) -> tuple[np.ndarray, np.ndarray]:
    """(2 * worse + equal [N], scored candidates [R]), int64; -1 where there is no score.

    worse, equal: the request's scored candidates with a lower and with the same score (itself
    among them), so that half / (2 * scored) is the quantile, ties in their middle.
    """
    scored = np.flatnonzero(~np.isnan(lists.score))
    request, score = lists.request[scored], lists.score[scored]
    if ((score[1:] > score[:-1]) & (request[1:] == request[:-1])).any():
        order = np.lexsort((-score, request))
        scored, request, score = scored[order], request[order], score[order]

    is_first = np.ones(len(scored) + 1, dtype=bool)
    is_first[1:-1] = (score[1:] != score[:-1]) | (request[1:] != request[:-1])
    starts = np.flatnonzero(is_first)  # of the runs of one score, and the end
    num_equal = np.diff(starts)
    run = np.repeat(np.arange(len(num_equal)), num_equal)
    bounds = np.searchsorted(request, np.arange(lists.num_requests + 1))
    num_worse = bounds[request + 1] - starts[run + 1]

    half = np.full(len(lists.score), -1, dtype=np.int64)
    half[scored] = 2 * num_worse + num_equal[run]
    return half, np.diff(bounds)
