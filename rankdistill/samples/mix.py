"""How many negatives of each source a request is asked for: targets, shortages, fills.

Pool sizes are known before anything is drawn, so all of this is certain given the request and
inclusion probabilities stay exact. Shapes: R requests, M sources in their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_UNITS = 10**9  # shares as integers: 0.3 * 10 is 3, and totals up to 10^9 do not overflow


def targets(total: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """total [R] split by `shares` [M] (sum 1) by largest remainder, int64 [R, M].

    Ties go to the earlier source.
    """
    assert total.max(initial=0) <= _UNITS, total.max()
    exact = total[:, None] * np.rint(np.array(shares) / sum(shares) * _UNITS).astype(np.int64)
    target, remainder = np.divmod(exact, _UNITS)
    order = np.argsort(-remainder, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(len(shares)), order.shape), axis=1)
    target += place < (total - target.sum(axis=1))[:, None]
    assert (target.sum(axis=1) == total).all(), shares
    return target


@dataclass(frozen=True)
class Asked:
    """What each source is asked for. int64 [R, M], but unfilled [R].

    num = target - short + filled; the short ones of a request are filled or unfilled.
    """

    num: np.ndarray
    target: np.ndarray
    short: np.ndarray
    filled: np.ndarray
    unfilled: np.ndarray


def ask(target: np.ndarray, capacity: np.ndarray) -> Asked:
    """Targets cut to what each source holds; the rest is taken from the others in their order."""
    own = np.minimum(target, capacity)
    short = target - own
    rest, filled = short.sum(axis=1), np.zeros_like(target)
    for source in range(target.shape[1]):
        filled[:, source] = np.minimum(capacity[:, source] - own[:, source], rest)
        rest = rest - filled[:, source]
    return Asked(own + filled, target, short, filled, rest)
