"""Pre-rank policies tried on the logs: which candidates each passes on, and what that keeps.

Shapes: R requests, N candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rankdistill.lists.batch import segment_sum
from rankdistill.student.evaluation.judged import Judged
from rankdistill.student.evaluation.options import CutBelow, KeepTop, Tiers

WHAT = {"kept": "candidates", "top": "the teacher's top k", "exposed": "exposed items"}
WHAT |= {"responded": "responses"}


@dataclass
class Logged:
    """What policies need of every candidate, kept over batches: 10 bytes each, and 4 for each
    inner column."""

    inner_names: Sequence[str]
    k: int
    _found: list[dict[str, np.ndarray]] = field(default_factory=list)

    def add(self, judged: Judged) -> None:
        columns = {
            "lengths": judged.lengths,
            "score": judged.score,
            "place": judged.order.place.astype(np.int32),
            "top": judged.is_top(self.k),
            "exposed": judged.columns["exposed"],
            "responded": judged.columns["responded"],
        }
        for name in self.inner_names:
            columns[f"inner.{name}"] = judged.columns[name].astype(np.float32)
        self._found.append(columns)

    def whole(self) -> dict[str, np.ndarray]:
        """name -> [N], and lengths [R]."""
        return {n: np.concatenate([each[n] for each in self._found]) for n in self._found[0]}


def _top(logged: Mapping[str, np.ndarray], policy: KeepTop) -> np.ndarray:
    return logged["place"] <= policy.m


def _cut(logged: Mapping[str, np.ndarray], policy: CutBelow) -> np.ndarray:
    score = logged["score"]
    if policy.keep is None:
        return score >= policy.score
    return score >= np.quantile(score, 1 - policy.keep, method="higher")


def _tiers(logged: Mapping[str, np.ndarray], policy: Tiers) -> np.ndarray:
    """Within a tier candidates without the inner score go last; equal ones as the student has
    them."""
    score, request = logged["score"], np.repeat(*_requests(logged))
    edges = policy.edges
    if edges is None:
        edges = tuple(np.quantile(score, np.arange(1, policy.levels) / policy.levels))
    tier = np.searchsorted(np.array(edges, np.float32), score, side="right")
    inner = np.nan_to_num(logged[f"inner.{policy.inner}"], nan=-np.inf)
    rows = np.lexsort((logged["place"], -inner, -tier, request))
    starts = np.concatenate([[0], np.cumsum(logged["lengths"])])[:-1]
    place = np.empty(len(rows), np.int64)
    place[rows] = np.arange(len(rows)) - starts[request]
    return place < policy.m


def _requests(logged: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(len(logged["lengths"])), logged["lengths"]


KEEPS: dict[str, Callable[[Mapping[str, np.ndarray], Any], np.ndarray]] = {
    "top": _top,
    "cut": _cut,
    "tiers": _tiers,
}


def kept(logged: Mapping[str, np.ndarray], policy: Any) -> dict[str, np.ndarray]:
    """What the policy passes on of each kind in WHAT: (kept, all there are) of every request,
    float64 [R, 2]; the value is their ratio over all requests."""
    passed = KEEPS[policy.kind](logged, policy)
    offsets = np.concatenate([[0], np.cumsum(logged["lengths"])])
    marks = {name: logged[name] for name in ("top", "exposed", "responded")}
    marks["kept"] = np.ones(len(passed), dtype=bool)
    return {
        name: np.stack(
            [segment_sum(passed & marks[name], offsets), segment_sum(marks[name], offsets)], axis=1
        ).astype(np.float64)
        for name in WHAT
    }


def name_of(policy: Any) -> str:
    """The policy in a few words."""
    if policy.kind == "top":
        return f"top {policy.m}"
    if policy.kind == "cut":
        at = f"{policy.score:g}" if policy.keep is None else f"the best {100 * policy.keep:g}%"
        return f"cut below {at}"
    tiers = policy.levels if policy.edges is None else len(policy.edges) + 1
    return f"{tiers} tiers by {policy.inner}, top {policy.m}"
