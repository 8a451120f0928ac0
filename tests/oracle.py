"""The door in plain Python: dict rows and options in, ranked lists and reasons out.

Written from the documentation, row by row, without NumPy or Arrow: what `log.door.admit` does
to batches must come out of here one request at a time. Columns carry our own names.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

STAGES = {"recalled": 1, "preranked": 2, "ranked": 3, "reranked": 4, "exposed": 5}
RANKS = {"rank": 3, "rerank_rank": 4, "position": 5}  # and the stage that gives each
ORDER = {"rank": "rank", "rerank": "rerank_rank", "position": "position"}
NEVER = math.inf

Row = dict[str, Any]


@dataclass
class Options:
    teacher_order: str = "rank"
    rank_base: int = 1
    max_candidates: int = 10_000
    stage: str = "presence"  # or the column "stage"
    request: tuple[str, ...] = ("user_id", "city")
    mapped: tuple[str, ...] = ("rank", "teacher_score")
    feedback: tuple[str, ...] = ("click",)


@dataclass
class Told:
    """lists: request_id -> its candidates in order; reasons: why the other rows are not there."""

    lists: dict[Any, list[Row]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    feedback: Counter[str] = field(default_factory=Counter)


def oracle(rows: list[Row], options: Options, feedback: Iterable[Row] | None = None) -> Told:
    """The ranked lists of `rows`, in any order, and the number of rows per reason."""
    told, passed = Told(), []
    for place, row in enumerate(rows):
        row = {**row, "place": place, "logged": row}
        reason = row_fault(row, options)
        told.reasons[reason or "ok"] += 1
        if not reason:
            passed.append(row)
    del told.reasons["ok"]
    by_request: dict[Any, list[Row]] = {}
    for row in passed:
        by_request.setdefault(row["request_id"], []).append(row)
    joined = None if feedback is None else feedback_by_key(list(feedback), rows, told.feedback)
    for request_id, members in by_request.items():
        if len({tuple(row.get(name) for name in options.request) for row in members}) > 1:
            told.reasons["request_conflict"] += len(members)
            continue
        members = without_duplicates(members, options, told.reasons)
        for row in members:
            judge_feedback(row, options, joined)
        ranked = in_order(members, options)
        told.reasons["over_max_candidates"] += max(0, len(ranked) - options.max_candidates)
        told.lists[request_id] = ranked[: options.max_candidates]
    told.reasons = Counter({name: n for name, n in told.reasons.items() if n})
    return told


def row_fault(row: Row, options: Options) -> str | None:
    """The first reason against a row for itself; brings its ranks to base 1 and finds its stage."""
    own = None
    if row.get("item_id") in (None, ""):
        own = "item_id_missing"
    row["stage"] = stage_of(row, options)
    if row["stage"] is None:
        own = own or "stage_unknown"
        row["stage"] = 0
    for name, stage in RANKS.items():
        if name in options.mapped and row.get(name) is not None:
            if options.stage != "presence" and row["stage"] < stage:
                row[name] = None
            elif row[name] < options.rank_base:
                own = own or "rank_below_base"
            else:
                row[name] += 1 - options.rank_base
    score = row.get("teacher_score")
    if "teacher_score" in options.mapped and own is None:
        if score is None:
            own = "score_null" if row["stage"] >= 3 else None
        elif math.isnan(score):
            own = "score_nan"
        elif math.isinf(score):
            own = "score_infinite"
    for name in ("request_id", "user_id"):
        if own is None and row.get(name) in (None, ""):
            own = f"{name}_missing"
    return own


def stage_of(row: Row, options: Options) -> int | None:
    if options.stage != "presence":
        return STAGES.get(row["stage"])
    evidence = {"prerank_score": 2, "teacher_score": 3, **RANKS}
    return max([1, *(s for n, s in evidence.items() if n in options.mapped and row[n] is not None)])


def without_duplicates(members: list[Row], options: Options, reasons: Counter[str]) -> list[Row]:
    by_item: dict[Any, list[Row]] = {}
    for row in members:
        by_item.setdefault(row["item_id"], []).append(row)
    kept = []
    for same in by_item.values():
        best = min(same, key=lambda row: worth(row, options))
        kept.append(best)
        for row in same:
            if row is not best:
                is_equal = row["logged"] == best["logged"]
                reasons["duplicate_equal" if is_equal else "duplicate_differing"] += 1
    return kept


def worth(row: Row, options: Options) -> tuple:
    """Furthest stage, then highest score, then lowest rank; small is good."""
    score, ranks = row.get("teacher_score"), [row.get(name) for name in RANKS]
    if options.teacher_order == "list_order":
        ranks = [row["place"]]
    lowest = [NEVER if rank is None else rank for rank in ranks]
    return -row["stage"], NEVER if score is None else -score, lowest


def judge_feedback(row: Row, options: Options, joined: dict[tuple, Row] | None) -> None:
    found = {} if joined is None else joined.get((row["request_id"], row["item_id"]), {})
    exposure_known = options.stage != "presence" or "position" in options.mapped
    for name in options.feedback:
        value = row.get(name) if joined is None else found.get(name)
        row[name] = None if exposure_known and row["stage"] < 5 else value


def feedback_by_key(feedback: list[Row], rows: list[Row], fates: Counter[str]) -> dict[tuple, Row]:
    logged = {row["request_id"] for row in rows}
    keys = {(row["request_id"], row["item_id"]) for row in rows}
    best: dict[tuple, Row] = {}
    for row in feedback:
        key = (row["request_id"], row["item_id"])
        if key[0] is None or key[0] not in logged:
            fates["without_request"] += 1
        elif key[1] in (None, ""):
            fates["item_id_missing"] += 1
        elif key in best:
            fates["duplicate"] += 1
            best[key] = max(row, best[key], key=largest)
        else:
            fates["joined" if key in keys else "without_candidate"] += 1
            best[key] = row
    return best


def largest(row: Row) -> float:
    return -NEVER if row["click"] is None else row["click"]


def in_order(members: list[Row], options: Options) -> list[Row]:
    """Candidates in the teacher's order, each with its teacher_rank (0: none) and rank."""
    order = options.teacher_order
    by_score = order == "score" or (
        order == "rank"
        and "teacher_score" in options.mapped
        and all(row.get("rank") is None for row in members)
    )
    for row in members:
        if order == "list_order":
            first = row["place"]
        elif by_score:
            first = NEVER if row["teacher_score"] is None else -row["teacher_score"]
        else:
            first = NEVER if row.get(ORDER[order]) is None else row[ORDER[order]]
        dropped = -row["stage"] if first == NEVER else 0
        rank = NEVER if row.get("rank") is None or order == "rank" else row["rank"]
        row["key"] = (first, dropped, rank, row["item_id"])
    ranked = sorted(members, key=lambda row: row["key"])
    for place, row in enumerate(ranked, start=1):
        first = row["key"][0]
        derived = by_score or order == "list_order"
        row["teacher_rank"] = 0 if first == NEVER else place if derived else first
        if derived and (order == "rank" or "rank" not in options.mapped):
            row["rank"] = row["teacher_rank"] or None
    return ranked
