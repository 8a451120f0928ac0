"""Intervals by drawing requests anew, and what two students differ by on the same requests.

A request's weight in a replicate is a Poisson draw with mean 1 (a bootstrap of requests), hashed
from seed, replicate and the request's key: for any order of requests the same, and for two
students the same, so that their difference is one of pairs. Sums under these weights add up over
batches. Shapes: R requests, B replicates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rankdistill.hashing import mix, name_key
from rankdistill.student.evaluation.options import BootstrapOptions

DRAW = name_key("evaluate.bootstrap")
STEP = 2048  # requests at a time: their weights stay near
DRAWS = 4  # of 16 bits, from one hash
Verdict = Literal["better", "worse", "not told apart"]
Unit = Literal["request", "user"]


def value(sums: np.ndarray) -> np.ndarray:
    """The measure of the sums of its columns [..., c]: top / bottom, or a / p + b / n of four;
    NaN where nothing counts."""
    tops, bottoms = sums[..., 0::2], sums[..., 1::2]
    ratios = np.divide(tops, bottoms, out=np.full(tops.shape, np.nan), where=bottoms > 0)
    return ratios.sum(axis=-1)


@dataclass(frozen=True)
class Quantity:
    """columns: what each of some requests adds, [r, c]; requests: which these are (int64 [r]
    ascending), None = all. unit: what is drawn anew; of users, `requests` counts users."""

    columns: np.ndarray
    requests: np.ndarray | None = None
    unit: Unit = "request"

    @property
    def value(self) -> float:
        """NaN where nothing counts."""
        return float(value(self.columns.sum(axis=0)))


@dataclass(frozen=True)
class Summed:
    """A quantity of which only sums were kept. sums: over all requests, and over those of each
    replicate, float64 [1 + B, c]."""

    sums: np.ndarray

    @property
    def value(self) -> float:
        """NaN where nothing counts."""
        return float(value(self.sums[0]))


def _poisson() -> np.ndarray:
    """The draw of each 16 bits, uint8 [65536]: the inverse of Poisson(1)'s distribution."""
    chances = [math.exp(-1) / math.factorial(count) for count in range(20)]
    upper = np.cumsum(chances) * 2**16
    return np.searchsorted(upper, np.arange(2**16) + 0.5).astype(np.uint8)


POISSON = _poisson()


def weights(key: np.ndarray, num: int, seed: int) -> np.ndarray:
    """The weights of some requests (keys: uint64 [r]) in each replicate, float64 [num, r]."""
    number = np.arange(-(-num // DRAWS))
    bits = np.ascontiguousarray(mix(DRAW, seed, number[:, None], key[None, :]))
    draws = bits.astype("<u8", copy=False).view("<u2").reshape(len(number), len(key), DRAWS)
    block = POISSON[draws].transpose(0, 2, 1).reshape(-1, len(key))
    return block[:num].astype(np.float64)


def replicated(
    quantities: Sequence[Quantity | Summed],
    keys: Mapping[str, np.ndarray],
    options: BootstrapOptions,
    seed: int,
) -> list[np.ndarray]:
    """The value of each quantity in every replicate, float64 [B]; NaN where nothing counts.
    keys: of all that is drawn, by unit."""
    found: dict[int, np.ndarray] = {}
    for unit, key in keys.items():
        own = {
            at: each
            for at, each in enumerate(quantities)
            if isinstance(each, Quantity) and each.unit == unit
        }
        found |= zip(own, sums_of(list(own.values()), key, options, seed), strict=True)
    sums = (q.sums if isinstance(q, Summed) else found[at] for at, q in enumerate(quantities))
    return [value(each[1:]) for each in sums]


def sums_of(
    quantities: Sequence[Quantity], key: np.ndarray, options: BootstrapOptions, seed: int
) -> list[np.ndarray]:
    """The columns of each quantity summed over all requests (keys: uint64 [R]), and over those
    of each replicate, float64 [1 + B, c]. Those of batches add up."""
    groups: dict[int, list[int]] = {}
    for at, quantity in enumerate(quantities):
        groups.setdefault(id(quantity.requests), []).append(at)
    found = [np.zeros((1 + options.replicates, q.columns.shape[1])) for q in quantities]
    for begin in range(0, len(key), STEP) if groups else ():
        drawn = weights(key[begin : begin + STEP], options.replicates, seed)
        for own in groups.values():
            requests = quantities[own[0]].requests
            if requests is None:
                first, last, block = begin, begin + STEP, drawn
            else:
                first, last = np.searchsorted(requests, [begin, begin + STEP])
                block = drawn[:, requests[first:last] - begin]
            parts = [quantities[at].columns[first:last] for at in own]
            sums = block @ np.concatenate(parts, axis=1, dtype=np.float64)
            ends = np.cumsum([part.shape[1] for part in parts])[:-1]
            for at, part, own_sums in zip(own, parts, np.split(sums, ends, axis=1), strict=True):
                found[at][0] += part.sum(axis=0)
                found[at][1:] += own_sums
    return found


def interval(replicates: np.ndarray, confidence: float) -> tuple[float | None, float | None]:
    """The percentiles that hold `confidence` of the replicates; None where hardly one counts."""
    held = replicates[np.isfinite(replicates)]
    if len(held) < len(replicates) / 2:
        return None, None
    tail = (1 - confidence) / 2
    low, high = np.quantile(held, [tail, 1 - tail])
    return float(low), float(high)


def verdict(low: float | None, high: float | None) -> Verdict:
    """Of the interval of how much better the one is than the other."""
    if low is None or high is None or low <= 0 <= high:
        return "not told apart"
    return "better" if low > 0 else "worse"


def goodness(values: np.ndarray, better: int) -> np.ndarray:
    """The values so that more is better: themselves, their negatives, or minus how far they are
    from 1, as a ratio."""
    if better:
        return values * better
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.abs(np.log(values))
