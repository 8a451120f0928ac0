"""Intervals by drawing requests anew, and what two students differ by on the same requests.

A request's weight in a replicate is a Poisson draw with mean 1 (a bootstrap of requests), hashed
from seed, replicate and the request's key: for any order of requests the same, and for two
students the same, so that their difference is one of pairs. Shapes: R requests, B replicates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rankdistill.hashing import mix, name_key
from rankdistill.student.evaluation.collected import value
from rankdistill.student.evaluation.options import BootstrapOptions

DRAW = name_key("evaluate.bootstrap")
CELLS = 2**23  # weights at a time
DRAWS = 4  # of 16 bits, from one hash
Verdict = Literal["better", "worse", "not told apart"]


@dataclass(frozen=True)
class Quantity:
    """columns: what each of some requests adds, float64 [r, c]; requests: which these are
    (int64 [r] ascending), None = all."""

    columns: np.ndarray
    requests: np.ndarray | None = None

    @property
    def value(self) -> float:
        """NaN where nothing counts."""
        return float(value(self.columns.sum(axis=0)))


def _poisson() -> np.ndarray:
    """The draw of each 16 bits, uint8 [65536]: the inverse of Poisson(1)'s distribution."""
    chances = [math.exp(-1) / math.factorial(count) for count in range(20)]
    upper = np.cumsum(chances) * 2**16
    return np.searchsorted(upper, np.arange(2**16) + 0.5).astype(np.uint8)


POISSON = _poisson()


def weights(key: np.ndarray, num: int, seed: int) -> Iterator[np.ndarray]:
    """The weights of requests (keys: uint64 [R]), float64 [b, R], in blocks of replicates."""
    step = max(1, CELLS // max(len(key), 1) // DRAWS)
    rounds = -(-num // DRAWS)
    for first in range(0, rounds, step):
        number = np.arange(first, min(first + step, rounds))
        bits = np.ascontiguousarray(mix(DRAW, seed, number[:, None], key[None, :]))
        draws = bits.astype("<u8", copy=False).view("<u2").reshape(len(number), len(key), DRAWS)
        block = POISSON[draws].transpose(0, 2, 1).reshape(-1, len(key))
        yield block[: num - first * DRAWS].astype(np.float64)


def replicated(
    quantities: Sequence[Quantity], key: np.ndarray, options: BootstrapOptions, seed: int
) -> list[np.ndarray]:
    """The value of each quantity in every replicate, float64 [B]; NaN where nothing counts."""
    groups: dict[int, list[int]] = {}
    for at, quantity in enumerate(quantities):
        groups.setdefault(id(quantity.requests), []).append(at)
    found: list[list[np.ndarray]] = [[] for _ in quantities]
    stacks = {
        of: np.concatenate([quantities[at].columns for at in own], axis=1)
        for of, own in groups.items()
    }
    for block in weights(key, options.replicates, seed):
        for of, own in groups.items():
            requests = quantities[own[0]].requests
            part = block if requests is None else block[:, requests]
            sums, first = part @ stacks[of], 0
            for at in own:
                last = first + quantities[at].columns.shape[1]
                found[at].append(value(sums[:, first:last]))
                first = last
    return [np.concatenate(each) for each in found]


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
