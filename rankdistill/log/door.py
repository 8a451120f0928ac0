"""The door: grouped raw rows in, ranked lists out; every row is used or set aside by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.hashing import U64, hash_rows, mix, splitmix64, xxh64
from rankdistill.lists.batch import Lists, numbers, segment_sum
from rankdistill.lists.group import Grouped
from rankdistill.lists.order import text_order
from rankdistill.log.arrange import arrange
from rankdistill.log.canonical import Candidates, canonical, evaluate, missing
from rankdistill.log.days import Days
from rankdistill.log.feedback import join_feedback
from rankdistill.log.mapping import Mapping
from rankdistill.log.raw import Raw, raw_lists
from rankdistill.log.reasons import SKIPPED, Verdict

# A 64-bit hash below share * 2^64 is drawn.
_SAMPLE_PURPOSE = U64(0x73616D706C65)


@dataclass(frozen=True)
class Rejected:
    """n raw rows set aside (request and candidate columns, no lists), reasons and days."""

    rows: pa.RecordBatch
    code: np.ndarray
    dt: pa.Array


@dataclass(frozen=True)
class Admitted:
    """What the door made of one batch.

    counts: additive integers: rows_in = rows_used + sum of rejected.* + sum of skipped.*,
        requests_in, requests_used, and findings that are reported, not repaired.
    """

    lists: Lists
    counts: Counter[str]
    rejected: Rejected | None


def admit(grouped: Grouped, mapping: Mapping, days: Days, repeated: Sequence[int] = ()) -> Admitted:
    """Judge a batch and arrange what passes into ranked lists.

    repeated: request keys (uint64) that occur in more than one row of a lists log.
    """
    raw = raw_lists(grouped, mapping)
    counts: Counter[str] = Counter(
        rows_in=raw.candidates.num_rows, requests_in=raw.requests.num_rows
    )
    candidates = canonical(mapping, raw.candidates)
    counts.update(candidates.counts)
    verdict = candidates.verdict
    request = np.repeat(np.arange(raw.requests.num_rows), np.diff(raw.offsets))
    if mapping.options.layout == "rows":
        _judge_request_columns(raw, mapping, request, verdict)
    requests = _requests(raw, mapping, days, verdict)
    _judge_requests(raw, requests, mapping, days, repeated)
    if raw.verdict.code.any():
        fault = raw.verdict.code[request]
        verdict.code[(verdict.code == 0) & (fault != 0)] = fault[(verdict.code == 0) & (fault != 0)]
    if raw.feedback is not None:
        assert raw.feedback_request is not None
        join_feedback(mapping, raw.feedback, raw.feedback_request, candidates, request, counts)
    _judge_duplicates(raw, candidates, request)
    lists = arrange(mapping, requests, candidates, request, counts)
    return Admitted(
        lists, _counted(counts, raw, verdict, lists), _rejected(raw, requests, verdict, request)
    )


def _judge_request_columns(
    raw: Raw, mapping: Mapping, request: np.ndarray, verdict: Verdict
) -> None:
    """Rows layout: request columns must be there, and alike in every row of a request."""
    for name in ("user_id", "request_time"):
        mapped = mapping.request_field(name)
        if mapped and mapped.aliases:
            absent = [missing(raw.candidates.column(alias)) for alias in mapped.aliases]
            verdict.against(np.logical_and.reduce(absent), f"{name}_missing")
    aliases = {a for f in mapping.request for a in f.aliases} - set(mapping.group_aliases)
    same = request[1:] == request[:-1]
    for alias in sorted(aliases):
        column = raw.candidates.column(alias)
        if not (_differs(column.slice(1), column.slice(0, max(len(column) - 1, 0))) & same).any():
            continue
        first = _first_passed(raw.offsets, verdict)
        unlike = verdict.passed & _differs(column, column.take(pa.array(first[request])))
        torn = segment_sum(unlike, raw.offsets) > 0
        verdict.against(torn[request], "request_conflict")


def _differs(a: pa.Array, b: pa.Array) -> np.ndarray:
    differs = pc.not_equal(a, b)
    if differs.null_count:
        differs = pc.coalesce(differs, pc.not_equal(a.is_null(), b.is_null()))
    return differs.to_numpy(zero_copy_only=False)


def _first_passed(offsets: np.ndarray, verdict: Verdict) -> np.ndarray:
    """The first row of each request that has no reason against it (its first row where none)."""
    starts = offsets[:-1]
    if not verdict.code.any():
        return starts
    passed = np.append(np.flatnonzero(verdict.passed), len(verdict.code))
    first = passed[np.searchsorted(passed, starts)]
    return np.where(first < offsets[1:], first, starts)


def _requests(raw: Raw, mapping: Mapping, days: Days, verdict: Verdict) -> pa.RecordBatch:
    """Canonical request columns, R rows; faults go to raw.verdict."""
    rows = raw.requests
    if mapping.options.layout == "rows":
        rows = raw.candidates.take(pa.array(_first_passed(raw.offsets, verdict)))
    columns: dict[str, pa.Array] = {}
    for mapped in mapping.request:
        columns[mapped.name], bad = evaluate(mapped, rows)
        raw.verdict.against(bad, "value_unreadable")
    size = rows.num_rows
    times = columns.get("request_time")
    dates = days.dates(columns.pop("dt", None), times, size)
    ordered = {
        "request_id": columns.pop("request_id"),
        "user_id": columns.pop("user_id", pa.nulls(size, pa.string())),
        "request_time": columns.pop("request_time", pa.nulls(size, pa.timestamp("us", tz="UTC"))),
        "split": days.splits(times, size),
        "dt": dates,
    }
    return pa.RecordBatch.from_pydict({**ordered, **columns})


def repeat_key(request_id: pa.Array, dates: pa.Array | None) -> np.ndarray:
    """What `repeated` holds of a request, uint64; dates where requests are told apart by day."""
    key = xxh64(request_id)
    return key if dates is None else mix(key, xxh64(dates))


def _judge_requests(
    raw: Raw,
    requests: pa.RecordBatch,
    mapping: Mapping,
    days: Days,
    repeated: Sequence[int],
) -> None:
    verdict, options = raw.verdict, mapping.options
    verdict.against(missing(requests.column("request_id")), "request_id_missing")
    for name in ("user_id", "request_time"):
        if mapping.request_field(name):
            verdict.against(missing(requests.column(name)), f"{name}_missing")
    verdict.against(missing(requests.column("dt")), "dt_missing")
    if len(repeated):
        has_day = mapping.request_field("dt") is not None
        has_time = mapping.request_field("request_time") is not None
        by_day = days.source(has_day, has_time) == "partition"
        dates = requests.column("dt") if by_day else None
        keys = repeat_key(requests.column("request_id"), dates)
        verdict.against(np.isin(keys, np.array(repeated, dtype=U64)), "request_repeated")
    if options.sample_requests < 1:
        lot = splitmix64(xxh64(requests.column("request_id")) ^ _SAMPLE_PURPOSE)
        verdict.against(lot >= U64(int(options.sample_requests * 2**64)), "not_sampled")
    verdict.against(days.unwanted(requests.column("dt")), "other_dt")


def _judge_duplicates(raw: Raw, candidates: Candidates, request: np.ndarray) -> None:
    """Of rows with the same request and item one is used: furthest, best scored, best ranked."""
    rows = _duplicate_rows(candidates, request)
    if not len(rows):
        return
    columns, verdict = candidates.columns, candidates.verdict
    picked = pa.array(rows)
    items = text_order(columns["item_id"].take(picked))
    content = hash_rows(raw.candidates.take(picked))
    score, rank = (_float(columns, name, picked) for name in ("teacher_score", "rank"))
    keys = [content, _last(rank), _last(-score), -candidates.stage[rows], items, request[rows]]
    order = np.lexsort(keys)
    rows, items, content = rows[order], items[order], content[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (items[1:] != items[:-1]) | (request[rows][1:] != request[rows][:-1])
    winner = np.maximum.accumulate(np.where(first, np.arange(len(rows)), 0))
    equal = content == content[winner]
    losing = np.zeros(len(verdict.code), dtype=bool)
    losing[rows[~first & equal]] = True
    verdict.against(losing, "duplicate_equal")
    losing[:] = False
    losing[rows[~first & ~equal]] = True
    verdict.against(losing, "duplicate_differing")


def _duplicate_rows(candidates: Candidates, request: np.ndarray) -> np.ndarray:
    """Passed rows whose (request, item) may occur twice, by a 64-bit hash."""
    column = candidates.columns["item_id"]
    if pa.types.is_integer(column.type):
        items = numbers(column, np.int64).view(U64)
    else:
        items = xxh64(column)
    key = splitmix64(items ^ splitmix64(request.astype(U64)))
    if candidates.verdict.code.any():
        key = key[candidates.verdict.passed]
    ordered = np.sort(key)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return np.zeros(0, dtype=np.int64)
    passed = np.flatnonzero(candidates.verdict.passed)
    return passed[np.isin(key, twice)]


def _float(columns: dict[str, pa.Array], name: str, rows: pa.Array) -> np.ndarray:
    if name not in columns:
        return np.full(len(rows), np.nan)
    column = columns[name].take(rows).cast(pa.float64())
    return numbers(column, np.float64)


def _last(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), np.inf, values)


def _counted(counts: Counter[str], raw: Raw, verdict: Verdict, lists: Lists) -> Counter[str]:
    counts["rows_used"] = lists.candidates.num_rows
    counts["requests_used"] = lists.num_requests
    for reason, number in verdict.counts().items():
        counts[f"{'skipped' if reason in SKIPPED else 'rejected'}.{reason}"] += number
    for reason, number in raw.verdict.counts().items():
        counts[f"requests.{reason}"] += number
    counts["requests.list_empty"] += int(((np.diff(raw.offsets) == 0) & raw.verdict.passed).sum())
    set_aside = sum(n for name, n in counts.items() if name.startswith(("rejected.", "skipped.")))
    assert counts["rows_in"] == counts["rows_used"] + set_aside, "a row was lost at the door"
    return counts


def _rejected(
    raw: Raw, requests: pa.RecordBatch, verdict: Verdict, request: np.ndarray
) -> Rejected | None:
    rows = np.flatnonzero(verdict.rejected)
    if not len(rows):
        return None
    owner = pa.array(request[rows])
    own = raw.candidates.take(pa.array(rows))
    columns = {name: own.column(name) for name in own.schema.names}
    for field in raw.requests.schema:
        if field.name not in columns and not pa.types.is_nested(field.type):
            columns[field.name] = raw.requests.column(field.name).take(owner)
    batch = pa.RecordBatch.from_pydict(columns)
    return Rejected(batch, verdict.code[rows], requests.column("dt").take(owner))
