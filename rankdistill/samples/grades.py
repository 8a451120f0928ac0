"""Graded relevance: the rules that turn rank, score, stage or feedback into a grade.

Unranked and unscored candidates have grade 0 under rules of rank and score. A grade depends
on the whole logged list, never on which of its items a sample keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rankdistill.lists.batch import PRERANKED, STAGES, Lists, numbers
from rankdistill.samples.grade_rules import (
    Blend,
    GradeOptions,
    LogRank,
    RankBucket,
    RankEdges,
    ScoreQuantile,
    ScoreSigmoid,
    ScoreThresholds,
    StagePriority,
)
from rankdistill.samples.weights import table


def grade(lists: Lists, rule: GradeOptions, items: np.ndarray) -> np.ndarray:
    """The grade of the candidates `items` (indices [M]) under `rule`, float64 [M]."""
    return GRADES[rule.kind](lists, rule, items)  # type: ignore[attr-defined]


def _rank_bucket(lists: Lists, rule: RankBucket, items: np.ndarray) -> np.ndarray:
    rank = lists.teacher_rank[items]
    graded = np.maximum(rule.levels - (rank - 1) // rule.width, 0)
    return np.where(rank > 0, graded, 0).astype(np.float64)


def _rank_edges(lists: Lists, rule: RankEdges, items: np.ndarray) -> np.ndarray:
    rank = lists.teacher_rank[items]
    graded = len(rule.edges) - np.searchsorted(np.array(rule.edges), rank, side="left")
    return np.where(rank > 0, graded, 0).astype(np.float64)


def _thresholds(score: np.ndarray, edges: list[float] | tuple[float, ...]) -> np.ndarray:
    graded = 1.0 + np.searchsorted(np.array(edges), score, side="right")
    return np.where(np.isnan(score), 0.0, graded)


def _score_thresholds(lists: Lists, rule: ScoreThresholds, items: np.ndarray) -> np.ndarray:
    return _thresholds(lists.score[items], rule.edges)


def _score_sigmoid(lists: Lists, rule: ScoreSigmoid, items: np.ndarray) -> np.ndarray:
    # Bins in the score's own unit: no exp per candidate, so no last-bit doubt at an edge.
    shares = [level / rule.levels for level in range(1, rule.levels)]
    if rule.score_kind != "probability":
        shares = [math.log(share / (1 - share)) for share in shares]
    return _thresholds(lists.score[items], shares)


def _score_quantile(lists: Lists, rule: ScoreQuantile, items: np.ndarray) -> np.ndarray:
    scored = np.flatnonzero(~np.isnan(lists.score))
    request, score = lists.request[scored], lists.score[scored]
    if ((score[1:] > score[:-1]) & (request[1:] == request[:-1])).any():
        order = np.lexsort((-score, request))
        scored, request, score = scored[order], request[order], score[order]

    place = np.arange(len(scored))
    is_first = np.ones(len(scored), dtype=bool)
    is_first[1:] = (score[1:] != score[:-1]) | (request[1:] != request[:-1])
    run_start = np.maximum.accumulate(np.where(is_first, place, 0))
    starts = np.searchsorted(request, np.arange(lists.num_requests + 1))
    better = run_start - starts[request]

    graded = np.zeros(len(lists.score))
    graded[scored] = rule.levels - rule.levels * better // np.diff(starts)[request]
    return graded[items]


def _log_rank(lists: Lists, rule: LogRank, items: np.ndarray) -> np.ndarray:
    values = table(lambda r: math.log(1 + rule.cap) - math.log(r), rule.cap)
    return values[np.minimum(lists.teacher_rank[items], rule.cap)]


def _stage(lists: Lists, rule: StagePriority, items: np.ndarray) -> np.ndarray:
    priority = rule.priorities
    by_stage = np.array([0.0, *(priority[name] for name in STAGES)])
    stage = lists.stage[items]
    graded = by_stage[stage]
    if "substage" in lists.candidates.schema.names:
        substage = numbers(lists.candidates.column("substage"), np.int8)[items]
        graded[(stage == PRERANKED) & (substage == 2)] = priority["coarse_dropped"]
    graded[lists.responded[items]] = priority["responded"]
    return graded


def _blend(lists: Lists, rule: Blend, items: np.ndarray) -> np.ndarray:
    graded = grade(lists, rule.base, items)
    for name, bonus in rule.feedback.items():
        value = numbers(lists.candidates.column(name), np.float64)[items]
        least = lists.response.get(name)
        graded += bonus * (value > 0 if least is None else value >= least)
    return np.minimum(graded, rule.max)


GRADES: dict[str, Callable[[Lists, Any, np.ndarray], np.ndarray]] = {
    "rank_bucket": _rank_bucket,
    "rank_edges": _rank_edges,
    "score_thresholds": _score_thresholds,
    "score_quantile": _score_quantile,
    "score_sigmoid": _score_sigmoid,
    "log_rank": _log_rank,
    "stage": _stage,
    "blend": _blend,
}
