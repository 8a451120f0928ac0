"""Small `Lists` from literal rows, and large ones from a seed, for the tests of every room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.contract import TYPES
from rankdistill.lists.batch import STAGES, Lists
from rankdistill.samples.facts import LogFacts

# Of a log that can tell everything.
FACTS = LogFacts(
    has_score=True,
    has_rank=True,
    ranks_sampled=False,
    has_feedback=True,
    has_exposure=True,
    feedback=("click",),
)
CANDIDATE_TYPES = {
    "stage": "int8",
    "substage": "int8",
    "rank": "int32",
    "rerank_rank": "int32",
    "position": "int32",
    "teacher_score": "float64",
    "prerank_score": "float64",
}
REQUEST_DEFAULTS = {"user_id": "u", "request_time": None, "split": "train", "dt": "2026-11-21"}


def make_lists(
    rows: Iterable[Mapping[str, Any]],
    *,
    response: Mapping[str, float] | None = None,
    feedback: tuple[str, ...] = ("click",),
    id_type: pa.DataType | None = None,
) -> Lists:
    """`Lists` of candidate rows like {"request_id": 1, "item_id": 7, "rank": 2, ...}.

    Requests stand in order of first sight; candidates by rank, then item_id, those without a
    rank last. stage is a name or a number (default: ranked with a rank, else preranked); what
    is left out is null. A row without item_id makes a request without candidates. `id_type`
    serves an empty list of rows.
    """
    by_request: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        candidates = by_request.setdefault(row["request_id"], [])
        candidates += [dict(row)] if "item_id" in row else []
    for candidates in by_request.values():
        candidates.sort(key=lambda c: (c.get("rank") is None, c.get("rank"), c["item_id"]))
    flat = [candidate for candidates in by_request.values() for candidate in candidates]
    for candidate in flat:
        known = "preranked" if candidate.get("rank") is None else "ranked"
        stage = candidate.get("stage", known)
        candidate["stage"] = STAGES.get(stage, stage)

    columns = {"item_id": pa.array([c["item_id"] for c in flat], type=id_type or _id(flat))}
    for name, kind in CANDIDATE_TYPES.items():
        columns[name] = pa.array([c.get(name) for c in flat], type=TYPES[kind])
    for name in feedback:
        columns[name] = pa.array([c.get(name) for c in flat], type=pa.float64())
    lengths = [len(candidates) for candidates in by_request.values()]
    return Lists(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        _requests(by_request, id_type),
        pa.RecordBatch.from_pydict(columns),
        columns["rank"].fill_null(0).to_numpy(),
        feedback,
        {"click": 1.0} if response is None else response,
    )


def _id(flat: list[dict[str, Any]]) -> pa.DataType:
    return pa.string() if flat and isinstance(flat[0]["item_id"], str) else pa.int64()


def _requests(
    by_request: Mapping[Any, list[dict[str, Any]]], id_type: pa.DataType | None
) -> pa.RecordBatch:
    is_text = any(isinstance(key, str) for key in by_request)
    known = id_type or (pa.string() if is_text else pa.int64())
    columns = {"request_id": pa.array(list(by_request), type=known)}
    types = {"user_id": pa.string(), "request_time": TYPES["timestamp"]}
    for name, default in REQUEST_DEFAULTS.items():
        values = [(c[0] if c else {}).get(name, default) for c in by_request.values()]
        columns[name] = pa.array(values, type=types.get(name, pa.string()))
    return pa.RecordBatch.from_pydict(columns)


def ranked_list(request_id: Any, scores: Iterable[float | None], **columns: Any) -> list[dict]:
    """Rows of one request ranked 1, 2, ... with these scores; columns: a list each."""
    rows = [
        {"request_id": request_id, "item_id": place, "rank": place, "teacher_score": score}
        for place, score in enumerate(scores, start=1)
    ]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return rows


def large_lists(num_requests: int, length: int, *, seed: int = 7) -> Lists:
    """Lists of equal length, all ranked, scores falling: for benchmarks."""
    random = np.random.default_rng(seed)
    num = num_requests * length
    scores = np.sort(random.normal(size=(num_requests, length)), axis=1)[:, ::-1]
    rank = np.tile(np.arange(1, length + 1, dtype=np.int32), num_requests)
    request_id = pa.array(np.arange(num_requests))
    requests = {
        "request_id": request_id,
        "user_id": pa.array(random.integers(0, num_requests, num_requests)),
        "request_time": pa.array(np.arange(num_requests)).cast(TYPES["timestamp"]),
        "split": pa.array(["train"] * num_requests),
        "dt": pa.array(["2026-11-21"] * num_requests),
    }
    candidates = {
        "item_id": pa.array(random.integers(0, 1_000_000, num)),
        "stage": pa.array(np.full(num, STAGES["ranked"], dtype=np.int8)),
        "rank": pa.array(rank),
        "position": pa.nulls(num, pa.int32()),
        "teacher_score": pa.array(scores.ravel()),
    }
    return Lists(
        np.arange(num_requests + 1, dtype=np.int64) * length,
        pa.RecordBatch.from_pydict(requests),
        pa.RecordBatch.from_pydict(candidates),
        rank,
    )


def decoded(schema: pa.Schema) -> pa.Schema:
    """`schema` with the values that its dictionaries stand for."""
    kinds = {f.name: f.type for f in schema}
    kinds |= {name: k.value_type for name, k in kinds.items() if pa.types.is_dictionary(k)}
    return pa.schema([field.with_type(kinds[field.name]) for field in schema])
