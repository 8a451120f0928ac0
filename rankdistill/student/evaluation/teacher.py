"""Measures of a student against the teacher's order: each a top and a bottom of every request
(or candidate), of which the value is the ratio. Shapes: R requests, N candidates.

The student ranks all logged candidates; the teacher has ranked some of them.
"""

from __future__ import annotations

import numpy as np

from rankdistill.lists.batch import segment_sum, spans
from rankdistill.quality.pairs_within import num_pairs, rising_pairs, sorted_down, tied_pairs
from rankdistill.student.evaluation.judged import Judged, discounts

Ratio = tuple[np.ndarray, np.ndarray]


def pairs_alike(judged: Judged) -> Ratio:
    """OPA: of the pairs that both have a teacher rank, and not the same, those that the student
    orders alike; a tie of its scores counts one half. [R]."""
    strict, rising, tied, _ = _pairs(judged)
    return strict - rising - tied / 2, strict


def tau_b(judged: Judged) -> Ratio:
    """Kendall's tau-b of the two orders of the ranked candidates (Kendall 1945). [R]."""
    strict, rising, tied, untied = _pairs(judged)
    agreed = strict - rising - tied
    return (agreed - rising).astype(np.float64), np.sqrt(strict * untied.astype(np.float64))


def _pairs(judged: Judged) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of the pairs of ranked candidates of each request, int64 [R]: (those the teacher orders;
    of them those that the student turns round, and those that it ties; those it does not tie)."""
    num = judged.num_ranked
    rows = spans(judged.offsets[:-1], num)
    score = judged.score[rows].astype(np.float64)
    offsets = np.concatenate([[0], np.cumsum(num)])
    total, rising, tied = num_pairs(num), *_rising_and_tied(score, offsets)
    untied = total - tied
    rank = judged.columns["teacher_rank"][rows]
    apart = np.append(True, rank[1:] != rank[:-1])[: len(rank)]
    apart[offsets[:-1][num > 0]] = True
    if apart.all():
        return total, rising, tied, untied
    starts = np.append(np.flatnonzero(apart), len(rank))
    of = np.repeat(np.arange(len(num)), num)[starts[:-1]]
    within = (num_pairs(np.diff(starts)), *_rising_and_tied(score, starts))
    same, rose, level = (np.bincount(of, x, len(num)).astype(np.int64) for x in within)
    return total - same, rising - rose, tied - level, untied


def _rising_and_tied(score: np.ndarray, offsets: np.ndarray) -> Ratio:
    falling = sorted_down(score, offsets)
    return rising_pairs(score, offsets), tied_pairs(falling, offsets, 0.0)


def ranked_above_dropped(judged: Judged) -> Ratio:
    """OPA+stage: of the pairs of a candidate that the teacher ranked and one that it was never
    given, those in which the student puts the ranked one higher; a tie is one half. [R]."""
    return apart(judged, judged.is_ranked)


def apart(judged: Judged, is_high: np.ndarray) -> Ratio:
    """Pairs of a marked (bool [N]) and an unmarked candidate of one request in which the marked
    one has the higher score, ties one half; all such pairs: the Mann-Whitney statistic. [R]."""
    from_below = judged.lengths[judged.request] + 1 - (judged.order.first + judged.order.last) / 2
    num = segment_sum(is_high, judged.offsets)
    ranks = segment_sum(np.where(is_high, from_below, 0.0), judged.offsets)
    return ranks - num * (num + 1) / 2, num * (judged.lengths - num)


def ndcg(judged: Judged, k: int) -> Ratio:
    """(DCG@k, ideal DCG@k) of the teacher's grades (Jarvelin & Kekalainen 2002). [R]."""
    return dcg(judged, judged.gain, k)


def dcg(judged: Judged, gain: np.ndarray, k: int) -> Ratio:
    """(DCG@k, ideal DCG@k) of gains [N]: gain / log2(1 + place). [R]."""
    ideal = gain
    if ((gain[1:] > gain[:-1]) & (judged.request[1:] == judged.request[:-1])).any():
        ideal = gain[np.lexsort((-gain, judged.request))]
    by_place = discounts(int(judged.lengths.max(initial=0)), k)
    found = segment_sum(gain * judged.discount(k), judged.offsets)
    return found, segment_sum(ideal * by_place[judged.list_place], judged.offsets)


def recall(judged: Judged, m: int, k: int) -> Ratio:
    """Recall@m@k: of the teacher's top k those in the student's top m. [N]."""
    is_top = judged.is_top(k)
    return np.where(is_top, judged.in_top(m), 0.0), is_top


def rbo(judged: Judged, percent: int) -> Ratio:
    """Rank-biased overlap of the student's order with the teacher's, extrapolated for lists of
    uneven length (Webber, Moffat & Zobel 2010, eq. 32); p = percent / 100, the patience. [R].

    The student's list holds all l candidates, the teacher's the s ranked ones; X_d is the
    overlap at depth d. A ranked candidate counts from the later of its two places on.
    """
    p, length, num = percent / 100, judged.lengths, judged.num_ranked
    depth = np.arange(int(length.max(initial=0)) + 1, dtype=np.float64)
    power = np.where(depth > 0, p**depth, 0.0)
    powers = np.cumsum(power)
    shares = np.cumsum(power / np.maximum(depth, 1))
    later = np.maximum(judged.list_place, judged.order.place)
    end = shares[length]
    gained = np.where(judged.is_ranked, end[judged.request] - shares[later - 1], 0.0)
    overlap = segment_sum(gained, judged.offsets)
    both = segment_sum(judged.is_ranked & (later <= num[judged.request]), judged.offsets)
    s = np.maximum(num, 1)
    behind = both / s * ((powers[length] - powers[num]) - s * (end - shares[num]))
    rest = ((num - both) / np.maximum(length, 1) + both / s) * p ** length.astype(np.float64)
    value = (1 - p) / p * (overlap + behind) + rest
    return np.where(num > 0, value, 0.0), num > 0


def marginal(judged: Judged, m: int, k: int) -> Ratio:
    """Of the teacher's top k those that no other channel brought and that stand in the
    student's top m. column alone: bool [N], no channel but the student's own brought it. [N]."""
    is_top = judged.is_top(k)
    return np.where(is_top & judged.columns["alone"], judged.in_top(m), 0.0), is_top


def joint(judged: Judged, first: int, m: int, k: int) -> Ratio:
    """Of the teacher's top k those that are in the recall student's top `first` (column
    recall_place: its order, [N]) and then in this student's top m of these. [N]."""
    passed = judged.where(judged.columns["recall_place"] <= first)
    kept = np.zeros(len(judged.score))
    kept[judged.columns["recall_place"] <= first] = passed.in_top(m)
    is_top = judged.is_top(k)
    return np.where(is_top, kept, 0.0), is_top
