"""From a kernel's indices to the sample tables: copies ids and passthrough columns by take.

The only place where samples meet ids: kernels never see whether they are integers or strings.
Columns stand in the order of schemas/*.json.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rankdistill.contract import arrow_schema
from rankdistill.lists.batch import Lists
from rankdistill.samples.facts import SOURCES
from rankdistill.samples.listwise import GradedLists
from rankdistill.samples.pairwise import Pairs
from rankdistill.samples.pointwise import Points

REQUEST_COLUMNS = ("request_id", "user_id", "request_time", "split", "dt")


def points_table(lists: Lists, points: Points) -> pa.RecordBatch:
    """The `pointwise` table of one batch, key (request_id, item_id)."""
    items = _indices(points.item)
    copied = ("item_id", "position", "stage", "teacher_score", *lists.feedback)
    columns = _request_columns(lists, points.request)
    columns |= {name: lists.candidates.column(name).take(items) for name in copied}
    columns |= {
        "label": pa.array(points.label),
        "weight": pa.array(points.weight),
        "rank": _ranks(lists.teacher_rank[points.item]),
        "source": _sources(points.source),
        "probability": pa.array(points.probability),
    }
    return _conform(columns, sample_schema("pointwise", lists))


def pairs_table(lists: Lists, pairs: Pairs) -> pa.RecordBatch:
    """The `pairwise` table of one batch, key (request_id, pos_item_id, neg_item_id)."""
    item_id, rank = lists.candidates.column("item_id"), lists.teacher_rank
    columns = _request_columns(lists, pairs.request)
    columns |= {
        "pos_item_id": item_id.take(_indices(pairs.pos)),
        "neg_item_id": item_id.take(_indices(pairs.neg)),
        "weight": pa.array(pairs.weight),
        "margin": pa.array(pairs.margin, from_pandas=True),
        "pos_rank": _ranks(rank[pairs.pos]),
        "neg_rank": _ranks(rank[pairs.neg]),
        "source": _sources(pairs.source),
        "probability": pa.array(pairs.probability),
    }
    return _conform(columns, sample_schema("pairwise", lists))


def lists_table(lists: Lists, graded: GradedLists) -> pa.RecordBatch:
    """The `listwise` table of one batch, key request_id."""
    items = _indices(graded.item)
    copied = ("item_id", "teacher_score", *lists.feedback)
    inner = {name: lists.candidates.column(name).take(items) for name in copied}
    inner |= {
        "grade": pa.array(graded.grade),
        "rank": _ranks(lists.teacher_rank[graded.item]),
        "item_probability": pa.array(graded.item_probability),
    }
    offsets = pa.array(graded.offsets.astype(np.int32))
    columns = _request_columns(lists, graded.request)
    columns |= {name: pa.ListArray.from_arrays(offsets, values) for name, values in inner.items()}
    columns |= {
        "weight": pa.array(graded.weight),
        "source": _sources(graded.source),
        "probability": pa.array(graded.probability),
    }
    return _conform(columns, sample_schema("listwise", lists))


def sample_schema(table: str, lists: Lists) -> pa.Schema:
    """The contract of a sample table for the ids and feedback columns of `lists`."""
    ids = {
        "request_id": lists.requests.schema.field("request_id").type,
        "user_id": lists.requests.schema.field("user_id").type,
        "item_id": lists.candidates.schema.field("item_id").type,
    }
    feedback = pa.schema([lists.candidates.schema.field(name) for name in lists.feedback])
    return arrow_schema(table, ids, feedback=feedback)


def _request_columns(lists: Lists, request: np.ndarray) -> dict[str, pa.Array]:
    at = _indices(request)
    return {name: lists.requests.column(name).take(at) for name in REQUEST_COLUMNS}


def _indices(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.int32))


def _ranks(rank: np.ndarray) -> pa.Array:
    return pa.array(rank.astype(np.int32, copy=False), mask=rank == 0)


def _sources(code: np.ndarray) -> pa.Array:
    return pa.array(SOURCES).take(pa.array(code))


def _conform(columns: dict[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """`columns` as a batch of exactly `schema`."""
    arrays = [
        columns[field.name]
        if columns[field.name].type == field.type
        else columns[field.name].cast(field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
