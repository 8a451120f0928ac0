"""From a kernel's indices to the sample tables: copies ids and passthrough columns by take.

The only place where samples meet ids: kernels never see whether they are integers or strings.
Columns stand in the order of schemas/*.json.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rankdistill.contract import arrow_schema, as_batch
from rankdistill.lists.batch import Lists
from rankdistill.samples.facts import SOURCES
from rankdistill.samples.listwise import GradedLists
from rankdistill.samples.negatives import Negatives
from rankdistill.samples.pairwise import Pairs
from rankdistill.samples.pointwise import Points
from rankdistill.samples.side import Side

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
    return as_batch(columns, sample_schema("pointwise", lists))


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
    return as_batch(columns, sample_schema("pairwise", lists))


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
    return as_batch(columns, sample_schema("listwise", lists))


def negatives_table(lists: Lists, drawn: Negatives, side: Side) -> pa.RecordBatch:
    """The `negatives` table of one batch, key (request_id, item_id)."""
    item_id, at = lists.candidates.column("item_id"), _optional(drawn.item)
    columns = _request_columns(lists, drawn.request)
    columns |= {name: lists.candidates.column(name).take(at) for name in ("stage", "teacher_score")}
    columns |= {
        "pos_item_id": item_id.take(_optional(drawn.pos)),
        "item_id": _drawn_ids(item_id, drawn, side),
        "source": _sources(drawn.source),
        "probability": pa.array(drawn.probability),
        "item_q": pa.array(drawn.item_q),
        "mixture_q": pa.array(drawn.mixture_q),
        "difficulty": pa.array(drawn.difficulty, from_pandas=True),
        "rank": _ranks(np.append(lists.teacher_rank, 0)[drawn.item]),
    }
    return as_batch(columns, sample_schema("negatives", lists))


def _drawn_ids(item_id: pa.Array, drawn: Negatives, side: Side) -> pa.Array:
    """The ids of items from the list, the catalogue or the mined items; all of one type."""
    parts, found = [item_id], drawn.item.copy()
    size = len(item_id)
    for given, at in ((side.mined, drawn.mined_item), (side.catalogue, drawn.catalogue_item)):
        is_next = (found < 0) & (at >= 0)
        if given is None or not is_next.any():
            continue
        # Only what was drawn is copied: a catalogue is far longer than a batch.
        parts.append(given.item_id.take(pa.array(at[is_next])).cast(item_id.type))
        found[is_next] = size + np.arange(is_next.sum())
        size += int(is_next.sum())
    assert (found >= 0).all(), "a row without an item"
    return pa.concat_arrays(parts).take(_indices(found))


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
    columns = {name: lists.requests.column(name) for name in REQUEST_COLUMNS}
    # What has few values is copied as codes.
    columns |= {name: columns[name].dictionary_encode() for name in ("split", "dt")}
    at = _indices(request)
    return {name: column.take(at) for name, column in columns.items()}


def _indices(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.int32))


def _optional(values: np.ndarray) -> pa.Array:
    """Indices, null where there is none (-1)."""
    return pa.array(values.astype(np.int32), mask=values < 0)


def _ranks(rank: np.ndarray) -> pa.Array:
    return pa.array(rank.astype(np.int32, copy=False), mask=rank == 0)


def _sources(code: np.ndarray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32)), pa.array(SOURCES))
