"""Stored samples as what the kernels drew: the inverse of `gather`, for a recount.

Items are looked up among the candidates of their request. Shapes: T rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.hashing import xxh64
from rankdistill.lists.batch import numbers
from rankdistill.quality.among import Places
from rankdistill.samples.facts import SOURCES
from rankdistill.samples.listwise import GradedLists
from rankdistill.samples.negatives import Negatives
from rankdistill.samples.rows import Pairs, Points


class Foreign(ValueError):
    """Rows that no build wrote beside these lists."""


# The columns that are read of each kind's table.
COLUMNS = {
    "pointwise": ("request_id", "item_id", "label", "weight", "source", "probability"),
    "pairwise": (
        *("request_id", "pos_item_id", "neg_item_id", "weight", "margin", "source"),
        "probability",
    ),
    "listwise": (
        *("request_id", "item_id", "grade", "item_probability", "weight", "source"),
        "probability",
    ),
    "negatives": (
        *("request_id", "pos_item_id", "item_id", "source", "probability", "item_q"),
        *("mixture_q", "difficulty"),
    ),
}


class _At:
    """Where the items of rows stand."""

    def __init__(self, places: Places, rows: pa.RecordBatch) -> None:
        self._places, self.rows = places, rows

    def of(self, request: np.ndarray, items: pa.Array) -> np.ndarray:
        """The candidate index of each item, -1 where the request has none such."""
        found = self._places.of(request, xxh64(items))
        if items.null_count:
            found[items.is_null().to_numpy(zero_copy_only=False)] = -1
        return found

    def all_of(self, request: np.ndarray, items: pa.Array) -> np.ndarray:
        """The same of items that must be there."""
        found = self.of(request, items)
        if len(found) and found.min() < 0:
            raise Foreign("rows of items that their list lacks")
        return found

    def floats(self, name: str) -> np.ndarray:
        return numbers(self.rows.column(name), np.float64)

    def source(self) -> np.ndarray:
        encoded = self.rows.column("source").dictionary_encode()
        names = encoded.dictionary.to_pylist()
        if encoded.null_count or not set(names) <= set(SOURCES):
            raise Foreign(f"sources {names}")
        codes = np.array([SOURCES.index(name) for name in names], dtype=np.int8)
        return codes[encoded.indices.to_numpy(zero_copy_only=False)]


def points(at: _At, request: np.ndarray) -> tuple[Points, np.ndarray]:
    item = at.all_of(request, at.rows.column("item_id"))
    label = numbers(at.rows.column("label"), np.float32)
    weight, probability = at.floats("weight"), at.floats("probability")
    return Points(request, item, label, weight, probability, at.source(), {}), item


def pairs(at: _At, request: np.ndarray) -> tuple[Pairs, np.ndarray]:
    pos, neg = (at.all_of(request, at.rows.column(f"{s}_item_id")) for s in ("pos", "neg"))
    weight, probability, margin = (at.floats(n) for n in ("weight", "probability", "margin"))
    drawn = Pairs(request, pos, neg, weight, probability, at.source(), margin, {})
    return drawn, np.concatenate([pos, neg])


def graded(at: _At, request: np.ndarray) -> tuple[GradedLists, np.ndarray]:
    items = at.rows.column("item_id")
    lengths = pc.list_value_length(items).to_numpy(zero_copy_only=False)
    inner = {n: at.rows.column(n).flatten() for n in ("item_id", "grade", "item_probability")}
    item = at.all_of(np.repeat(request, lengths), inner["item_id"])
    drawn = GradedLists(
        request,
        np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        at.floats("weight"),
        at.floats("probability"),
        at.source(),
        item,
        numbers(inner["grade"], np.float32),
        numbers(inner["item_probability"], np.float64),
        {},
    )
    return drawn, item


def negatives(at: _At, request: np.ndarray) -> tuple[Negatives, np.ndarray]:
    """Which item of the catalogue or of the mined ones a row was is not known any more: -1."""
    item = at.of(request, at.rows.column("item_id"))
    drawn = Negatives(
        request=request,
        pos=at.of(request, at.rows.column("pos_item_id")),
        item=item,
        catalogue_item=np.full(len(item), -1),
        mined_item=np.full(len(item), -1),
        source=at.source(),
        probability=at.floats("probability"),
        item_q=at.floats("item_q"),
        mixture_q=at.floats("mixture_q"),
        difficulty=at.floats("difficulty"),
        counts={},
    )
    return drawn, item[item >= 0]


_REBUILT: dict[str, Callable[[_At, np.ndarray], tuple[Any, np.ndarray]]] = {
    **{"pointwise": points, "pairwise": pairs},
    **{"listwise": graded, "negatives": negatives},
}


def drawn_again(
    kind: str, places: Places, rows: pa.RecordBatch, request: np.ndarray
) -> tuple[Any, np.ndarray]:
    """(what was drawn, candidate indices of the items that it holds).

    places: of the candidates; rows: COLUMNS of the kind, request by request; request: of each
    row, int64 [T]. Raises Foreign where a row is none of these lists'.
    """
    return _REBUILT[kind](_At(places, rows), request)
