"""The rows of a request in a rows log: what they say of the request must be alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.hashing import hash_rows
from rankdistill.lists.batch import segment_sum
from rankdistill.log.canonical import absent_parts, evaluate
from rankdistill.log.days import Days
from rankdistill.log.lookup import MappedField
from rankdistill.log.mapping import Mapping
from rankdistill.log.raw import Raw
from rankdistill.log.reasons import Verdict


def judge_agreement(raw: Raw, mapping: Mapping, days: Days, verdict: Verdict) -> None:
    """Rows layout: request columns must be there, and alike in every row of a request."""
    for name in ("request_id", "user_id", "request_time"):
        mapped = mapping.request_field(name)
        if mapped and mapped.aliases:
            parts = [raw.candidates.column(alias) for alias in mapped.aliases]
            verdict.against(absent_parts(mapped, parts), f"{name}_missing")
    same = np.ones(raw.candidates.num_rows, dtype=bool)  # as the request of the row before
    same[raw.offsets[:-1]] = False
    for mapped, column in _must_agree(raw, mapping, days, verdict):
        if not _is_torn(column, same[1:]):
            continue
        if mapped.kind == "time" and pa.types.is_string(column.type):
            column, bad = evaluate(mapped, raw.candidates)  # a moment may be written in two zones
            verdict.against(bad, "value_unreadable")
        first = first_passed(raw.offsets, verdict)
        unlike = verdict.passed & _differs(column, column.take(pa.array(first[raw.request])))
        torn = segment_sum(unlike, raw.offsets) > 0
        verdict.against(torn[raw.request], "request_conflict")


def request_fields(mapping: Mapping, days: Days) -> list[MappedField]:
    """The request's columns that are read; a day column that does not name the day is not."""
    by_day = days.is_partition(mapping)
    return [mapped for mapped in mapping.request if mapped.name != "dt" or by_day]


def first_passed(offsets: np.ndarray, verdict: Verdict) -> np.ndarray:
    """The first row of each request that has no reason against it (its first row where none)."""
    starts = offsets[:-1]
    if not verdict.code.any():
        return starts
    passed = np.append(np.flatnonzero(verdict.passed), len(verdict.code))
    first = passed[np.searchsorted(passed, starts)]
    return np.where(first < offsets[1:], first, starts)


def _is_torn(column: pa.Array, same: np.ndarray) -> bool:
    """Whether neighbours of one request differ in it."""
    unlike = _differs(column.slice(1), column.slice(0, max(len(column) - 1, 0)))
    return bool((unlike & same).any())


def _must_agree(
    raw: Raw, mapping: Mapping, days: Days, verdict: Verdict
) -> Iterator[tuple[MappedField, pa.Array]]:
    """Columns to be alike in all rows of a request; ids are compared as what they are read as."""
    seen = set(mapping.key_aliases)
    for mapped in sorted(request_fields(mapping, days), key=lambda field: field.aliases):
        if mapped.column.read_as is not None:
            ids, bad = evaluate(mapped, raw.candidates)
            verdict.against(bad, "value_unreadable")
            if mapped.name != "request_id":
                yield mapped, ids
            continue
        for alias in mapped.aliases:
            if alias not in seen:
                seen.add(alias)
                yield mapped, raw.candidates.column(alias)


def _differs(a: pa.Array, b: pa.Array) -> np.ndarray:
    """bool [n]; nulls are alike, and so are NaNs."""
    if pa.types.is_integer(a.type) and not (a.null_count or b.null_count):
        return a.to_numpy() != b.to_numpy()
    if pa.types.is_null(a.type):
        return np.zeros(len(a), dtype=bool)
    if pa.types.is_nested(a.type):
        return hash_rows(pa.record_batch([a], ["a"])) != hash_rows(pa.record_batch([b], ["a"]))
    differs = pc.not_equal(a, b)
    if pa.types.is_floating(a.type):
        differs = pc.and_(differs, pc.invert(pc.and_(pc.is_nan(a), pc.is_nan(b))))
    if differs.null_count:
        differs = pc.coalesce(differs, pc.not_equal(a.is_null(), b.is_null()))
    return differs.to_numpy(zero_copy_only=False)
