"""The order in which training sees a build: a function of seed, epoch and what is read alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from rankdistill.hashing import mix, name_key
from rankdistill.student.reading import ListsSource, Piece

PIECES, REQUESTS = "train.pieces", "train.requests"


def piece_order(num_pieces: int, seed: int, epoch: int) -> np.ndarray:
    """Row groups in the order of their hashes, int64 [num_pieces]."""
    lot = mix(seed, name_key(PIECES), np.arange(num_pieces), epoch)
    return np.argsort(lot, kind="stable")


def request_order(request_key: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Requests of a pool in the order of their hashes, int64 [R]; request_key: uint64 [R]."""
    lot = mix(seed, name_key(REQUESTS), request_key, epoch)
    return np.argsort(lot, kind="stable")


def time_order(time: np.ndarray, request_key: np.ndarray) -> np.ndarray:
    """Requests by their times (int64 [R]), those of one time by their keys; int64 [R]."""
    return np.lexsort((request_key, time))


def shuffled(source: ListsSource, pool_rows: int, seed: int, epoch: int) -> list[list[Piece]]:
    """The pools of an epoch: row groups in the order of their hashes."""
    order = piece_order(len(source.pieces), seed, epoch)
    pieces = [source.pieces[at] for at in order.tolist()]
    return [pieces[first:last] for first, last in pools(source.num_rows[order], pool_rows)]


def in_time(source: ListsSource, pool_rows: int) -> list[list[Piece]]:
    """Pools of about `pool_rows` requests, each of a stretch of time after the one before.

    Of a pool the row groups that have requests of its stretch; where the parts of a build are
    not in the order of time, a row group is read again for each. Requests without a time are in
    none.
    """
    times = [np.sort(source.times(piece).compressed()) for piece in source.pieces]
    every = np.sort(np.concatenate([np.zeros(0, np.int64), *times]))
    if not len(every):
        return []
    edges = np.append(np.unique(every[::pool_rows]), every[-1] + 1)
    return [
        [
            replace(piece, between=(first, last))
            for piece, own in zip(source.pieces, times, strict=True)
            if np.searchsorted(own, last) > np.searchsorted(own, first)
        ]
        for first, last in pairwise(edges.tolist())
    ]


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
