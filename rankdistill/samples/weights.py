"""Position weights of pointwise positives: a higher teacher rank weighs more.

Negatives weigh 1. Values come from one table per options, filled by `math`, so that a rank
has one weight to the last bit whatever the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from rankdistill.config import Options
from rankdistill.lists.batch import segment_sum

Normalise = Literal["none", "mean", "max"]
MAX_RANK = 2**20  # later ranks weigh as this one


class WeightOptions(Options):
    """normalise: per request, over its positives alone: mean = 1, or max = 1."""

    normalise: Normalise = "none"


class ConstWeight(WeightOptions):
    """1."""

    kind: Literal["const"] = "const"


class InverseWeight(WeightOptions):
    """1 + a / r: no positive weighs less than a negative."""

    kind: Literal["inverse"] = "inverse"
    a: float = Field(default=1.0, ge=0)


class ReciprocalWeight(WeightOptions):
    """1 / r."""

    kind: Literal["reciprocal"] = "reciprocal"


class PowerWeight(WeightOptions):
    """r ^ -alpha."""

    kind: Literal["power"] = "power"
    alpha: float = Field(default=1.0, ge=0)


class Log2Weight(WeightOptions):
    """1 / log2(1 + r), the discount of DCG."""

    kind: Literal["log2"] = "log2"


class LogWeight(WeightOptions):
    """a / ln(e - 1 + r)."""

    kind: Literal["log"] = "log"
    a: float = Field(default=1.0, gt=0)


class ExpWeight(WeightOptions):
    """exp(-r / scale); the scale (lambda in the papers) is in ranks."""

    kind: Literal["exp"] = "exp"
    scale: float = Field(default=10.0, gt=0)


class LinearWeight(WeightOptions):
    """1 - (r - 1) / K for r <= K, then 1 / K, with K the `top_k` of the positives."""

    kind: Literal["linear"] = "linear"


class LogRankWeight(WeightOptions):
    """ln(1 + cap) - ln min(r, cap)."""

    kind: Literal["log_rank"] = "log_rank"
    cap: int = Field(default=100, ge=1)


class TableWeight(WeightOptions):
    """values[r - 1]; the last value beyond the table."""

    kind: Literal["table"] = "table"
    values: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)


Weight = Annotated[
    ConstWeight
    | InverseWeight
    | ReciprocalWeight
    | PowerWeight
    | Log2Weight
    | LogWeight
    | ExpWeight
    | LinearWeight
    | LogRankWeight
    | TableWeight,
    Field(discriminator="kind"),
]

# kind -> weight of rank r >= 1 under options `o`, with `k` the top_k of the positives
WEIGHTS: dict[str, Callable[..., float]] = {
    "const": lambda o, r, k: 1.0,
    "inverse": lambda o, r, k: 1.0 + o.a / r,
    "reciprocal": lambda o, r, k: 1.0 / r,
    "power": lambda o, r, k: math.pow(r, -o.alpha),
    "log2": lambda o, r, k: 1.0 / math.log2(1 + r),
    "log": lambda o, r, k: o.a / math.log(math.e - 1 + r),
    "exp": lambda o, r, k: math.exp(-r / o.scale),
    "linear": lambda o, r, k: max(k - r + 1, 1) / k,
    "log_rank": lambda o, r, k: math.log(1 + o.cap) - math.log(min(r, o.cap)),
    "table": lambda o, r, k: o.values[min(r, len(o.values)) - 1],
}


def table(of_rank: Callable[[int], float], size: int) -> np.ndarray:
    """[0, of_rank(1), ... of_rank(size)]: float64 [size + 1], indexed by rank."""
    return np.array([0.0, *map(of_rank, range(1, size + 1))])


def table_size(rank: np.ndarray) -> int:
    """A power of two that holds every rank, at most MAX_RANK: so tables are made seldom."""
    return 1 << (min(int(rank.max(initial=1)), MAX_RANK) - 1).bit_length()


@lru_cache(maxsize=32)
def weight_table(options: WeightOptions, top_k: int, size: int) -> np.ndarray:
    """The weight of every rank up to `size`; 1 at rank 0 (no rank)."""
    kind = options.kind  # type: ignore[attr-defined]
    values = table(lambda rank: WEIGHTS[kind](options, rank, top_k), size)
    values[0] = 1.0
    return values


def position_weight(options: WeightOptions, rank: np.ndarray, top_k: int) -> np.ndarray:
    """The weight of positives with these teacher ranks (0 = none, weighs 1), float64 [P]."""
    size = table_size(rank)
    return weight_table(options, top_k, size)[np.minimum(rank, size)]


def normalised(weight: np.ndarray, offsets: np.ndarray, normalise: Normalise) -> np.ndarray:
    """`weight` [P] scaled within each segment so that its mean, or its maximum, is 1."""
    if normalise == "none" or not len(weight):
        return weight
    lengths = np.diff(offsets)
    if normalise == "mean":
        scale = segment_sum(weight, offsets) / np.maximum(lengths, 1)
    else:
        scale = np.ones(len(lengths))
        filled = np.flatnonzero(lengths)
        scale[filled] = np.maximum.reduceat(weight, offsets[:-1][filled])
    scale[scale <= 0] = 1.0  # every weight underflowed: nothing to scale by
    return weight / np.repeat(scale, lengths)
