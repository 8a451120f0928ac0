"""Which segment a request or a candidate belongs to: a code of each, and the codes' labels.

Shapes: R requests, N candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NONE, OTHER = "(none)", "(other)"


@dataclass(frozen=True)
class Segment:
    """labels: of the codes; code: int64 [R] or [N], below 0 where it is not known."""

    name: str
    labels: tuple[str, ...]
    code: np.ndarray


def binned(name: str, values: np.ndarray, edges: Sequence[float]) -> Segment:
    """Values in bins that begin at the edges; unknown where NaN."""
    code = np.searchsorted(np.array(edges, np.float64), values, side="right")
    return Segment(name, labels_of(edges), np.where(np.isnan(values), -1, code))


def labels_of(edges: Sequence[float]) -> tuple[str, ...]:
    """ "below 1", "1 to 6", "6 and more"; whole ranges as "1 to 5"."""
    is_whole = all(float(edge).is_integer() for edge in edges)
    if not is_whole:
        between = [f"{a:g} to {b:g}" for a, b in pairwise(edges)]
        return (f"below {edges[0]:g}", *between, f"{edges[-1]:g} and more")
    told = [f"below {edges[0]:g}" if edges[0] != 1 else "0"]
    for low, high in pairwise(edges):
        told.append(f"{low:g}" if high == low + 1 else f"{low:g} to {high - 1:g}")
    return (*told, f"{edges[-1]:g} and more")


@dataclass
class Named:
    """Values of a column as codes, over batches."""

    name: str
    _codes: dict[str, int] = field(default_factory=dict)
    _found: list[np.ndarray] = field(default_factory=list)

    def add(self, column: pa.Array) -> None:
        encoded = pc.dictionary_encode(column.cast(pa.string()))
        texts = encoded.dictionary.to_pylist()
        own = np.array([self._codes.setdefault(t, len(self._codes)) for t in texts] + [-1])
        at = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
        self._found.append(own[at])

    def segment(self, most: int) -> Segment:
        """The most frequent values, by number, then by name; the others together."""
        code = np.concatenate([np.zeros(0, np.int64), *self._found])
        texts = [*self._codes, NONE]
        num = np.bincount(np.where(code < 0, len(texts) - 1, code), minlength=len(texts))
        order = sorted(np.flatnonzero(num).tolist(), key=lambda at: (-num[at], texts[at]))
        new = np.full(len(texts), min(len(order), most))
        new[order[:most]] = np.arange(len(order[:most]))
        labels = [texts[at] for at in order[:most]] + ([OTHER] if len(order) > most else [])
        return Segment(self.name, tuple(labels), new[np.where(code < 0, len(texts) - 1, code)])
