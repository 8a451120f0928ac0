"""The order in which training sees a build: a function of seed, epoch and what is read alone."""

from __future__ import annotations

import numpy as np

from rankdistill.hashing import mix, name_key

PIECES, REQUESTS = "train.pieces", "train.requests"


def piece_order(num_pieces: int, seed: int, epoch: int) -> np.ndarray:
    """Row groups in the order of their hashes, int64 [num_pieces]."""
    lot = mix(seed, name_key(PIECES), np.arange(num_pieces), epoch)
    return np.argsort(lot, kind="stable")


def request_order(request_key: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Requests of a pool in the order of their hashes, int64 [R]; request_key: uint64 [R]."""
    lot = mix(seed, name_key(REQUESTS), request_key, epoch)
    return np.argsort(lot, kind="stable")


def pools(rows: np.ndarray, pool_rows: int) -> list[tuple[int, int]]:
    """(first, last) of each pool: consecutive pieces until they hold `pool_rows` rows.

    rows: int64 [P], of the pieces in their order.
    """
    found, first, held = [], 0, 0
    for at, num in enumerate(rows.tolist()):
        held += num
        if held >= pool_rows:
            found.append((first, at + 1))
            first, held = at + 1, 0
    return found + [(first, len(rows))] * (first < len(rows))
