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
    """What policies need of every candidate, batch by batch: 11 bytes each, and 4 for each
    inner column; cuts and tiers of equal shares are known once all scores are."""

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

    def kept(self, policy: Any) -> dict[str, np.ndarray]:
        """What the policy passes on of each kind in WHAT: (kept, all there are) of every request,
        int32 [R, 2]; the value is their ratio over all requests."""
        if policy.kind in SHARES:
            score = np.concatenate([each["score"] for each in self._found])
            policy = SHARES[policy.kind](policy, score)
        found = [_counts(each, KEEPS[policy.kind](each, policy)) for each in self._found]
        return {name: np.concatenate([each[name] for each in found]) for name in WHAT}


def _top(logged: Mapping[str, np.ndarray], policy: KeepTop) -> np.ndarray:
    return logged["place"] <= policy.m


def _cut(logged: Mapping[str, np.ndarray], policy: CutBelow) -> np.ndarray:
    return logged["score"] >= policy.score


def _tiers(logged: Mapping[str, np.ndarray], policy: Tiers) -> np.ndarray:
    """Within a tier candidates without the inner score go last; equal ones as the student has
    them."""
    lengths = logged["lengths"]
    request = np.repeat(np.arange(len(lengths)), lengths)
    tier = np.searchsorted(np.array(policy.edges, np.float32), logged["score"], side="right")
    inner = np.nan_to_num(logged[f"inner.{policy.inner}"], nan=-np.inf)
    rows = np.lexsort((logged["place"], -inner, -tier, request))
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    place = np.empty(len(rows), np.int64)
    place[rows] = np.arange(len(rows)) - starts[request]
    return place < policy.m


KEEPS: dict[str, Callable[[Mapping[str, np.ndarray], Any], np.ndarray]] = {
    "top": _top,
    "cut": _cut,
    "tiers": _tiers,
}


def _cut_score(policy: CutBelow, score: np.ndarray) -> CutBelow:
    """A share as the score that so many reach."""
    if policy.keep is None:
        return policy
    least = np.quantile(score, 1 - policy.keep, method="higher")
    return policy.model_copy(update={"score": float(least)})


def _tier_edges(policy: Tiers, score: np.ndarray) -> Tiers:
    """Equal shares as the scores between them."""
    if policy.edges is not None:
        return policy
    edges = np.quantile(score, np.arange(1, policy.levels) / policy.levels)
    return policy.model_copy(update={"edges": tuple(edges.tolist())})


# What a share of all candidates comes to.
SHARES: dict[str, Callable[[Any, np.ndarray], Any]] = {"cut": _cut_score, "tiers": _tier_edges}


def _counts(logged: Mapping[str, np.ndarray], passed: np.ndarray) -> dict[str, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum(logged["lengths"])])
    marks = {name: logged[name] for name in ("top", "exposed", "responded")}
    marks["kept"] = np.ones(len(passed), dtype=bool)
    return {
        name: np.stack(
            [segment_sum(passed & marks[name], offsets), segment_sum(marks[name], offsets)], axis=1
        ).astype(np.int32)
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
