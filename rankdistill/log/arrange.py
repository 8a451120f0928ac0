"""Judged candidates to ranked lists: the teacher's order, ranks, the cap, and what stands out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.lists.batch import ORDER_COLUMNS, Lists, not_null, numbers, segment_sum
from rankdistill.lists.order import LAST, Order
from rankdistill.log.canonical import Candidates
from rankdistill.log.mapping import Mapping

FIRST_TIME, LAST_TIME = 946_684_800_000_000, 4_102_444_800_000_000  # 2000 and 2100, UTC


def arrange(
    mapping: Mapping,
    requests: pa.RecordBatch,
    candidates: Candidates,
    offsets: np.ndarray,
    counts: Counter[str],
) -> Lists:
    """The passed candidates of each request in the teacher's order; empty requests go.

    offsets: int64 [R + 1], where the rows of each request start. Rows beyond max_candidates are
    marked in the verdict.
    """
    rows = _passed(candidates)
    keys, from_score = _order_keys(mapping, candidates, offsets)
    item_id, starts = candidates.columns["item_id"], offsets
    picked = keys
    if rows is not None:
        picked, item_id = [key[rows] for key in keys], item_id.take(pa.array(rows))
        starts = np.searchsorted(rows, offsets)
    permutation = Order(tuple(picked), item_id).permutation(starts)
    if permutation is not None:
        rows = permutation if rows is None else rows[permutation]

    sizes = np.diff(starts)
    over = mapping.options.max_candidates
    if sizes.max(initial=0) > over:
        rows = np.arange(starts[-1]) if rows is None else rows
        place = np.arange(len(rows)) - np.repeat(starts[:-1], sizes)
        cut = np.zeros(offsets[-1], dtype=bool)
        cut[rows[place >= over]] = True
        candidates.verdict.against(cut, "over_max_candidates")
        rows, sizes = rows[place < over], np.minimum(sizes, over)
    return _lists(mapping, requests, candidates, rows, sizes, keys[0], from_score, counts)


def _passed(candidates: Candidates) -> np.ndarray | None:
    """Indices of the rows without a reason; None where that is all of them."""
    if not candidates.verdict.code.any():
        return None
    return np.flatnonzero(candidates.verdict.passed)


def _order_keys(
    mapping: Mapping, candidates: Candidates, offsets: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """(keys of the teacher's order [N], bool [N] of rows ranked by their score, or None)."""
    columns, teacher_order = candidates.columns, mapping.options.teacher_order
    from_score = None
    if teacher_order == "list_order":
        first = np.arange(offsets[-1], dtype=np.float64)
    elif teacher_order == "score":
        first = _descending(columns)
        from_score = np.ones(offsets[-1], dtype=bool)
    else:
        first = _ascending(columns, ORDER_COLUMNS[teacher_order])
        if teacher_order == "rank" and "teacher_score" in columns:
            from_score = _unranked_requests(first, candidates, offsets)
            if from_score is not None:
                first = np.where(from_score, _descending(columns), first)
    unranked = np.isinf(first)
    if not unranked.any() and teacher_order != "score":
        return [first], from_score
    second = np.where(unranked, -candidates.stage.astype(np.float64), 0)
    if teacher_order == "rank":
        return [first, second], from_score
    return [first, second, _ascending(columns, "rank")], from_score


def _unranked_requests(
    first: np.ndarray, candidates: Candidates, offsets: np.ndarray
) -> np.ndarray | None:
    """Rows of requests in which no candidate has a rank; None where there are none."""
    ranked = ~np.isinf(first) & candidates.verdict.passed
    if ranked.all():
        return None
    has_none = segment_sum(ranked, offsets) == 0
    from_score = np.repeat(has_none, np.diff(offsets))
    return from_score if from_score.any() else None


def _ascending(columns: dict[str, pa.Array], name: str) -> np.ndarray:
    if name not in columns:
        return np.full(len(columns["item_id"]), LAST)
    values = numbers(columns[name], np.int32)
    if not columns[name].null_count:
        return values
    return np.where(not_null(columns[name]), values, LAST)


def _descending(columns: dict[str, pa.Array]) -> np.ndarray:
    score = -numbers(columns["teacher_score"], np.float64)
    return np.where(np.isnan(score), LAST, score)


def _lists(
    mapping: Mapping,
    requests: pa.RecordBatch,
    candidates: Candidates,
    rows: np.ndarray | None,
    sizes: np.ndarray,
    first_key: np.ndarray,
    from_score: np.ndarray | None,
    counts: Counter[str],
) -> Lists:
    columns, size = dict(candidates.columns), len(candidates.stage)
    columns["stage"] = pa.array(candidates.stage)
    if rows is not None:
        indices = pa.array(rows)
        columns = {name: column.take(indices) for name, column in columns.items()}
        first_key, size = first_key[rows], len(rows)
        from_score = None if from_score is None else from_score[rows]
    if not sizes.all():
        requests = requests.filter(pa.array(sizes > 0))
        sizes = sizes[sizes > 0]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    ranked = ~np.isinf(first_key)
    if mapping.options.teacher_order == "list_order" or from_score is not None:
        place = np.arange(size) - np.repeat(offsets[:-1], sizes)
        by_place = np.where(ranked, place + 1, 0).astype(np.int32)
        derived = np.ones(size, dtype=bool) if from_score is None else from_score
        logged = np.where(ranked & ~derived, first_key, 0).astype(np.int32)
        teacher_rank = np.where(derived, by_place, logged)
        if "rank" not in columns or mapping.options.teacher_order == "rank":
            logged_rank = numbers(columns["rank"], np.int32) if "rank" in columns else 0
            rank = np.where(derived, by_place, logged_rank).astype(np.int32)
            columns["rank"] = pa.array(rank, mask=rank == 0)
    else:
        held = first_key if ranked.all() else np.where(ranked, first_key, 0)
        teacher_rank = held.astype(np.int32, copy=False)
    lists = Lists(
        offsets,
        requests,
        _completed(columns, mapping, size),
        teacher_rank,
        mapping.feedback_names,
        mapping.response,
    )
    return lists


def _completed(columns: dict[str, pa.Array], mapping: Mapping, size: int) -> pa.RecordBatch:
    """Candidate columns in the order of the contract, absent ones null."""
    blank = pa.py_buffer(np.zeros(size * 8, np.uint8))  # memory that is touched when it is read

    def column(name: str, kind: pa.DataType) -> pa.Array:
        if name in columns:
            return columns[name]
        return pa.Array.from_buffers(kind, size, [blank, blank], size)

    ordered = {"item_id": columns["item_id"], "stage": columns["stage"]}
    ordered["substage"] = column("substage", pa.int8()).cast(pa.int8())
    for name in ("rank", "rerank_rank", "position"):
        ordered[name] = column(name, pa.int32())
    for name in ("teacher_score", "prerank_score"):
        ordered[name] = column(name, pa.float64())
    for name in (*mapping.feedback_names, *mapping.groups["item"]):
        ordered[name] = columns[name]
    return pa.RecordBatch.from_pydict(ordered)


def findings(lists: Lists, *, sampled: bool) -> dict[str, int]:
    """Gaps, ties and inversions: counted and reported, never repaired.

    rank_gaps: places where the next ranked candidate's rank is not one more (and not tied);
    rank_ties, score_ties: neighbours in the teacher's order with equal ranks or scores;
    score_inversions: neighbours whose score rises along the order;
    scores_outside_unit: scores that are no probability; requests_of_odd_time: before 2000 or
    after 2099, which speaks of a wrong unit.
    """
    rank, score, starts = lists.teacher_rank, lists.score, lists.offsets[:-1]
    goes_on = rank > 0
    goes_on[starts] = False
    goes_on = goes_on[1:]
    step, rise = np.diff(rank), np.diff(score)
    np.copyto(step, 1, where=~goes_on)
    np.copyto(rise, np.nan, where=~goes_on)
    falls, ties, rises = (np.count_nonzero(is_so) for is_so in (rise < 0, rise == 0, rise > 0))
    gaps, late = np.flatnonzero(step > 1) + 1, np.flatnonzero(rank[starts] > 1)
    num_gaps = 0 if sampled else len(gaps) + len(late)
    found: dict[str, Any] = {
        "requests_with_rank_gap": len(np.union1d(lists.request[gaps], late)) if num_gaps else 0,
        "rank_gaps": num_gaps,
        "rank_ties": np.count_nonzero(step == 0),
        "score_neighbours": falls + ties + rises,
        "score_ties": ties,
        "score_inversions": rises,
        "scores_outside_unit": np.count_nonzero(score < 0) + np.count_nonzero(score > 1),
        "requests_of_odd_time": _odd_times(lists.requests.column("request_time")),
        "one_candidate_requests": np.count_nonzero(lists.lengths == 1),
    }
    return {name: int(number) for name, number in found.items()}


def _odd_times(times: pa.Array) -> int:
    micros = times.cast(pa.int64()).drop_null().to_numpy(zero_copy_only=False)
    return int(np.count_nonzero((micros < FIRST_TIME) | (micros >= LAST_TIME)))
