"""What the kernels draw: rows as indices into the batch, with weights and probabilities.

Shapes: T rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Points:
    """T candidates. request: index of the request; item: candidate index (int64); label 1 or 0
    (float32); weight, probability: float64; source: int8 into SOURCES."""

    request: np.ndarray
    item: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    probability: np.ndarray
    source: np.ndarray
    counts: dict[str, int]


@dataclass(frozen=True)
class Pairs:
    """T pairs. request: index of the request; pos, neg: candidate indices (int64); weight,
    probability, margin: float64 (margin NaN without scores); source: int8 into SOURCES."""

    request: np.ndarray
    pos: np.ndarray
    neg: np.ndarray
    weight: np.ndarray
    probability: np.ndarray
    source: np.ndarray
    margin: np.ndarray
    counts: dict[str, int]
