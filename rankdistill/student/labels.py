"""What the losses of a view are to tell apart in a batch: the labels of its rows.

The views make targets of them; a run is stopped where there are none, or all are one number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rankdistill.student.chunk import Chunk


def responses(chunk: Chunk, label: str = "responded") -> np.ndarray:
    """Of exposed candidates, whether the user responded. label: a column of slots."""
    return np.asarray(chunk.columns[label][chunk.columns["exposed"] > 0])


def of_points(chunk: Chunk) -> np.ndarray:
    """The teacher's logits of the candidates that have one."""
    return np.asarray(chunk.columns["logit"][chunk.columns["has_score"]])


def pairs(chunk: Chunk) -> np.ndarray:
    """The slots of the pairs of the kernel, the positive first, int64 [B, 2]."""
    slots = chunk.drawn["pairwise"].slots
    return np.stack([slots["pos"], slots["neg"]], 1)


def of_pairs(chunk: Chunk) -> np.ndarray:
    """The teacher's logits of pairs that have two."""
    both = pairs(chunk)
    both = both[chunk.columns["has_score"][both].all(1)]
    return np.asarray(chunk.columns["logit"][both]).reshape(-1)


def of_lists(chunk: Chunk) -> np.ndarray:
    """The teacher's logits of requests that have two and more."""
    kept = np.flatnonzero(chunk.columns["has_score"])
    lengths = np.bincount(chunk.request[kept], minlength=chunk.num_requests)
    return np.asarray(chunk.columns["logit"][kept[lengths[chunk.request[kept]] > 1]])


def of_rows(drawn: str) -> Callable[[Chunk], np.ndarray]:
    """1 and 0 of rows that were drawn with what should be above and what below."""
    return lambda chunk: np.array([0.0, 1.0] if chunk.drawn[drawn].start[-1] else [])
