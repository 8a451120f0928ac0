"""Grouped source rows as raw requests and raw candidates, for both layouts of a log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.lists.batch import not_null, owners, segment_sum, spans
from rankdistill.lists.group import IS_FEEDBACK, Grouped
from rankdistill.log.canonical import evaluate
from rankdistill.log.mapping import Mapping
from rankdistill.log.reasons import Verdict


@dataclass(frozen=True)
class Raw:
    """R raw requests with N raw candidates, before a row is judged.

    offsets: int64 [R + 1]. requests: R rows; rows layout: the first row of each request.
    candidates: N rows of source columns. verdict: against requests.
    feedback: raw rows of the feedback table with the request (0 .. R-1) they belong to;
    num_strays more rows belong to none, num_unreadable of them as their request id is no id.
    """

    offsets: np.ndarray
    requests: pa.RecordBatch
    candidates: pa.RecordBatch
    verdict: Verdict
    feedback: pa.RecordBatch | None = None
    feedback_request: np.ndarray | None = None
    num_strays: int = 0
    num_unreadable: int = 0

    @cached_property
    def request(self) -> np.ndarray:
        """The request (0 .. R-1) of each candidate, int64 [N]."""
        return owners(self.offsets)


def raw_lists(grouped: Grouped, mapping: Mapping) -> Raw:
    """Split off feedback rows and, for a lists log, flatten the lists."""
    if not mapping.feedback_fields:
        return _raw(grouped, mapping)
    rows, offsets = grouped.rows, grouped.offsets
    is_feedback = rows.column(IS_FEEDBACK).to_numpy(zero_copy_only=False).astype(bool)
    own = segment_sum(~is_feedback, offsets)
    logged = own > 0
    owner = np.repeat(np.where(logged, np.cumsum(logged) - 1, -1), np.diff(offsets))
    log = Grouped(
        rows.filter(pa.array(~is_feedback)),
        np.concatenate([[0], np.cumsum(own[logged])]).astype(np.int64),
    )
    if mapping.options.layout == "lists":
        # A request id in several rows is refused whole, so its feedback goes with its first row.
        owner = np.where(owner < 0, -1, log.offsets[owner])
    matched = is_feedback & (owner >= 0)
    strays = is_feedback & (owner < 0)
    _, unreadable = evaluate(mapping.feedback_fields[0], rows.filter(pa.array(strays)))
    return replace(
        _raw(log, mapping),
        feedback=rows.filter(pa.array(matched)),
        feedback_request=owner[matched],
        num_strays=int(strays.sum()),
        num_unreadable=0 if unreadable is None else int(unreadable.sum()),
    )


def _raw(grouped: Grouped, mapping: Mapping) -> Raw:
    rows, offsets = grouped.rows, grouped.offsets
    if mapping.options.layout == "rows":
        requests = rows.take(pa.array(offsets[:-1]))
        return Raw(offsets, requests, rows, Verdict(len(offsets) - 1))
    verdict = Verdict(rows.num_rows)
    verdict.against(np.repeat(np.diff(offsets) > 1, np.diff(offsets)), "request_repeated")
    return _flattened(rows, mapping, verdict)


def _flattened(rows: pa.RecordBatch, mapping: Mapping, verdict: Verdict) -> Raw:
    """A row per element of the lists, which are brought to the longest of their request."""
    aliases = _list_aliases(mapping)
    lists = {alias: _list_column(rows.column(alias)) for alias in aliases}
    lengths = np.vstack([_lengths(column) for column in lists.values()])
    longest = lengths.max(axis=0) if rows.num_rows else np.zeros(0, dtype=np.int64)
    verdict.against((lengths != longest).any(axis=0), "list_lengths_differ")
    offsets = np.concatenate([[0], np.cumsum(longest)])
    flat = {
        alias: _flat(column, own, longest)
        for (alias, column), own in zip(lists.items(), lengths, strict=True)
    }
    candidates = pa.RecordBatch.from_pydict(flat)
    _against_null_elements(mapping, candidates, offsets, verdict)
    return Raw(offsets, rows, candidates, verdict)


def _list_aliases(mapping: Mapping) -> list[str]:
    """Aliases of candidate columns: fields and stage sources that are lists."""
    own = [a for f in mapping.candidate for a in f.aliases]
    stage = [a for _, found in mapping.stage for a in found]
    return list(dict.fromkeys([*own, *stage]))


def _list_column(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_list(kind):
        return column
    return column.cast(pa.list_(kind.value_type))


def _lengths(column: pa.Array) -> np.ndarray:
    """Elements per row, int64 [R]; a null list has none."""
    return pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)


def _flat(column: pa.Array, own: np.ndarray, longest: np.ndarray) -> pa.Array:
    """The elements, padded with nulls where a list is shorter than its request's longest."""
    values = column.flatten()
    if np.array_equal(own, longest):
        return values
    starts = np.cumsum(own) - own
    indices = spans(starts, longest)
    inside = spans(np.zeros_like(longest), longest) < np.repeat(own, longest)
    return values.take(pa.array(indices, mask=~inside))


def _against_null_elements(
    mapping: Mapping, candidates: pa.RecordBatch, offsets: np.ndarray, verdict: Verdict
) -> None:
    item = mapping.candidate_field("item_id")
    assert item is not None
    for alias in item.aliases:
        column = candidates.column(alias)
        if column.null_count:
            verdict.against(segment_sum(~not_null(column), offsets) > 0, "list_null_element")
