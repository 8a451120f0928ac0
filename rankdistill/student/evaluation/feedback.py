"""Measures of a student against what users did with the candidates that they were shown.

As in `teacher`, a top and a bottom of every request (or candidate). Shapes: R requests, N
candidates. A response is what the log counts as one.
"""

from __future__ import annotations

import numpy as np

from rankdistill.hashing import U64
from rankdistill.lists.batch import segment_sum
from rankdistill.student.evaluation.conventions import Conventions
from rankdistill.student.evaluation.judged import Judged
from rankdistill.student.evaluation.teacher import Ratio, apart, dcg


def survival(judged: Judged, m: int) -> Ratio:
    """Exposed candidates in the student's top m. [N]."""
    return _in_top(judged, judged.columns["exposed"], m)


def response_recall(judged: Judged, k: int) -> Ratio:
    """Responses in the student's top k of all logged candidates; of all there are, or, under
    recall_of reachable, of at most k. [R]."""
    hit, held = (segment_sum(x, judged.offsets) for x in _in_top(judged, _responded(judged), k))
    return hit, np.minimum(held, k) if judged.conventions.recall_of == "reachable" else held


def response_ndcg(judged: Judged, k: int) -> Ratio:
    """NDCG@k with a gain of 1 for a response, over all logged candidates. [R]."""
    return dcg(judged, _responded(judged).astype(np.float64), k)


def response_mrr(judged: Judged, k: int) -> Ratio:
    """1 / the place of the first response, 0 where it is behind k. [R]."""
    responded = _responded(judged)
    place = np.where(responded & (judged.order.place <= k), judged.order.place, np.inf)
    first = np.full(judged.num_requests, np.inf)
    np.minimum.at(first, judged.request, place)
    return 1.0 / first, (segment_sum(responded, judged.offsets) > 0).astype(np.int64)


def gauc(judged: Judged) -> Ratio:
    """The AUC within each list, of its exposed candidates, with the list's weight; lists whose
    candidates all have one label have none. Of lists of whole users (`in_groups`) it is the GAUC
    of Zhu et al. 2017 and Zhou et al. 2018. [R]."""
    shown = judged.exposed()
    above, pairs = apart(shown, shown.columns["responded"])
    weight = np.ones(len(pairs)) if judged.conventions.gauc_weight == "one" else shown.lengths
    held = np.where(pairs > 0, weight, 0)
    return held * above / np.maximum(pairs, 1), held


def in_groups(
    group: np.ndarray, score: np.ndarray, label: np.ndarray, num: int, conventions: Conventions
) -> Judged:
    """Exposed candidates in lists of their groups (int64 [N] below num) instead of requests."""
    rows = np.argsort(group, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=num))])
    columns = {"exposed": np.ones(len(rows), bool), "responded": label[rows]}
    by_place = conventions.model_copy(update={"ties": "place"})  # who is first does not matter here
    return Judged(offsets, np.zeros(num, U64), score[rows], columns, by_place)


def logloss(judged: Judged) -> Ratio:
    """The binary cross-entropy of the logits, in nats, of exposed candidates. [N]."""
    logit, label = judged.score.astype(np.float64), judged.columns["responded"]
    loss = np.logaddexp(0.0, np.where(label, -logit, logit))
    return np.where(judged.columns["exposed"], loss, 0.0), judged.columns["exposed"]


def calibration(judged: Judged) -> Ratio:
    """Responses that the student expects, by the sigmoid of its logits, over those that came,
    of exposed candidates. [N]."""
    exposed = judged.columns["exposed"]
    expected = probability(judged.score)
    return np.where(exposed, expected, 0.0), exposed & judged.columns["responded"]


def probability(logit: np.ndarray) -> np.ndarray:
    """The sigmoid, float64, without overflow."""
    return np.exp(-np.logaddexp(0.0, -logit.astype(np.float64)))


def auc_terms(
    request: np.ndarray, score: np.ndarray, label: np.ndarray, num_requests: int
) -> np.ndarray:
    """The AUC over all candidates as columns of requests, float64 [R, 4]: their sums (a, p, b, n)
    give a / p + b / n; ties one half.

    It is the mean of what the positives win against all negatives, and of what the negatives
    lose to all positives, less the AUC: of all requests exactly, and of requests with weights
    to the first order (its structural components: Sen 1960, DeLong et al. 1988).
    """
    values, group = np.unique(score, return_inverse=True)
    positive = np.bincount(group, label, len(values))
    negative = np.bincount(group, ~label, len(values))
    below = (np.cumsum(negative) - negative / 2) / max(negative.sum(), 1)
    above = (positive.sum() - np.cumsum(positive) + positive / 2) / max(positive.sum(), 1)
    auc = (positive * below).sum() / max(positive.sum(), 1)
    won = np.where(label, below[group] - auc / 2, 0.0)
    lost = np.where(label, 0.0, above[group] - auc / 2)
    columns = [np.bincount(request, x, num_requests) for x in (won, label, lost, ~label)]
    return np.stack(columns, axis=1, dtype=np.float64)


def _responded(judged: Judged) -> np.ndarray:
    return judged.columns["responded"]


def _in_top(judged: Judged, marked: np.ndarray, m: int) -> Ratio:
    return np.where(marked, judged.in_top(m), 0.0), marked
