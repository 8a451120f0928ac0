"""Cells of measures as plain values: a value and an interval of each student, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rankdistill.student.evaluation.conventions import Conventions
from rankdistill.student.evaluation.intervals import (
    Quantity,
    Summed,
    goodness,
    interval,
    verdict,
)
from rankdistill.student.evaluation.measures import AUC, GAUC, MEASURES
from rankdistill.student.evaluation.options import EvaluateOptions
from rankdistill.student.evaluation.policies import WHAT

DIGITS = 9  # of what is kept: sums in another order may differ behind them
CATALOGUE = {
    "catalogue_ndcg": "NDCG of responses among all items",
    "catalogue_recall": "responses in the student's top k of all items",
    "catalogue_mrr": "1 / place of the first response among all items",
}


@dataclass(frozen=True)
class Cell:
    """One figure: of which block, measure, segment and label; n: requests or candidates behind
    it; quantities: of each student."""

    block: Literal["measures", "segments", "policies"]
    measure: str
    segment: str
    label: str
    n: int
    quantities: Sequence[Quantity | Summed]

    @property
    def is_told(self) -> bool:
        """Whether it has a value of any student."""
        return any(np.isfinite(quantity.value) for quantity in self.quantities)


def what_of(name: str, conventions: Conventions) -> str:
    """The measure in words."""
    base = name.split("@")[0]
    if base == AUC:
        return "AUC over all exposed candidates"
    if base == GAUC:
        return f"AUC within {conventions.gauc_by}s"
    return CATALOGUE[base] if base in CATALOGUE else MEASURES[base].what


def better_of(name: str) -> int:
    base = name.split("@")[0]
    return MEASURES[base].better if base in MEASURES else 1


def tell(
    cells: Sequence[Cell], drawn: Sequence[np.ndarray], options: EvaluateOptions
) -> dict[str, list[dict[str, Any]]]:
    """block -> its figures; drawn: the replicates of every quantity of the cells, in order."""
    found: dict[str, list[dict[str, Any]]] = {"measures": [], "segments": [], "policies": []}
    at = 0
    for cell in cells:
        own = drawn[at : at + len(cell.quantities)]
        at += len(own)
        found[cell.block].append(_figure(cell, own, options))
    return found


def _figure(cell: Cell, drawn: Sequence[np.ndarray], options: EvaluateOptions) -> dict[str, Any]:
    confidence, conventions = options.bootstrap.confidence, options.conventions
    names = {
        "measures": {"measure": cell.measure},
        "segments": {"segment": cell.segment, "label": cell.label, "measure": cell.measure},
        "policies": {"policy": cell.label, "keeps": cell.measure},
    }[cell.block]
    what = WHAT[cell.measure] if cell.block == "policies" else what_of(cell.measure, conventions)
    figures = [_value(q, d, confidence) for q, d in zip(cell.quantities, drawn, strict=True)]
    figure: dict[str, Any] = {**names, "what": what, "n": cell.n, **figures[0]}
    if len(figures) > 1:
        figure["against"] = figures[1]
        better = 1 if cell.block == "policies" else better_of(cell.measure)
        figure["difference"] = _difference(cell, drawn, confidence, better)
    return figure


def _value(
    quantity: Quantity | Summed, drawn: np.ndarray, confidence: float
) -> dict[str, float | None]:
    low, high = interval(drawn, confidence)
    return {"value": _rounded(quantity.value), "low": _rounded(low), "high": _rounded(high)}


def _difference(
    cell: Cell, drawn: Sequence[np.ndarray], confidence: float, better: int
) -> dict[str, Any]:
    """This one less the other; the verdict goes by which is better, which of a calibration is
    the one nearer to 1."""
    one, other = (quantity.value for quantity in cell.quantities)
    low, high = interval(drawn[0] - drawn[1], confidence)
    gain = goodness(drawn[0], better) - goodness(drawn[1], better)
    return {
        "value": _rounded(one - other),
        "low": _rounded(low),
        "high": _rounded(high),
        "verdict": verdict(*interval(gain, confidence)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, DIGITS)
