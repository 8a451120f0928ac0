"""The door: grouped raw rows in, ranked lists out; every row is used or set aside by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rankdistill.hashing import U64, mix, splitmix64, xxh64
from rankdistill.lists.batch import Lists
from rankdistill.lists.group import Grouped
from rankdistill.log.agreement import first_passed, judge_agreement, request_fields
from rankdistill.log.arrange import arrange
from rankdistill.log.canonical import (
    canonical,
    clear_unexposed,
    evaluate,
    missing,
    too_long,
)
from rankdistill.log.days import Days
from rankdistill.log.duplicates import judge_duplicates
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
        requests_in, requests_used, fates of the feedback table's rows (feedback.*), and
        findings that are reported, not repaired. What was not found is not in it.
    other_days: days of good requests that were not asked for.
    """

    lists: Lists
    counts: Counter[str]
    rejected: Rejected | None
    other_days: frozenset[str]


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
    if mapping.options.layout == "rows":
        judge_agreement(raw, mapping, days, verdict)
    elif raw.verdict.code.any():  # what is wrong with a list comes before its elements' faults
        torn = raw.verdict.code[raw.request]
        verdict.code = np.where(torn, torn, verdict.code)
    requests = _requests(raw, mapping, days, verdict)
    _judge_requests(raw, requests, mapping, days, repeated)
    other_days = _leave_out(raw, requests, mapping, days, verdict)
    if raw.feedback is not None:
        assert raw.feedback_request is not None
        counts["feedback.rows_in"] = raw.feedback.num_rows + raw.num_strays
        counts["feedback.value_unreadable"] = raw.num_unreadable
        counts["feedback.without_request"] = raw.num_strays - raw.num_unreadable
        join_feedback(mapping, raw.feedback, raw.feedback_request, candidates, raw.request, counts)
    by_place = mapping.options.teacher_order == "list_order"
    judge_duplicates(raw.candidates, candidates, raw.offsets, by_place=by_place)
    clear_unexposed(mapping, candidates, counts)
    lists = arrange(mapping, requests, candidates, raw.offsets, counts)
    counts = _counted(counts, raw, verdict, lists)
    rejected = _rejected(raw, requests, mapping, days, verdict)
    return Admitted(lists, counts, rejected, other_days)


def repeat_key(request_id: pa.Array, dates: pa.Array | None) -> np.ndarray:
    """What `repeated` holds of a request, uint64; dates where requests are told apart by day."""
    key = xxh64(request_id)
    return key if dates is None else mix(key, xxh64(dates))


def _requests(raw: Raw, mapping: Mapping, days: Days, verdict: Verdict) -> pa.RecordBatch:
    """Canonical request columns, R rows; faults go to raw.verdict."""
    rows = raw.requests
    if mapping.options.layout == "rows":
        rows = raw.candidates.take(pa.array(first_passed(raw.offsets, verdict)))
    columns: dict[str, pa.Array] = {}
    for mapped in request_fields(mapping, days):
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


def _judge_requests(
    raw: Raw,
    requests: pa.RecordBatch,
    mapping: Mapping,
    days: Days,
    repeated: Sequence[int],
) -> None:
    verdict, dates = raw.verdict, requests.column("dt")
    verdict.against(missing(requests.column("request_id")), "request_id_missing")
    for name in ("user_id", "request_time"):
        if mapping.request_field(name):
            verdict.against(missing(requests.column(name)), f"{name}_missing")
    for name in ("request_id", "user_id"):
        verdict.against(too_long(requests.column(name)), "id_too_long")
    verdict.against(missing(dates), "dt_missing")
    if len(repeated):
        by_day = dates if days.is_partition(mapping) else None
        keys = repeat_key(requests.column("request_id"), by_day)
        verdict.against(np.isin(keys, np.array(repeated, dtype=U64)), "request_repeated")


def _leave_out(
    raw: Raw,
    requests: pa.RecordBatch,
    mapping: Mapping,
    days: Days,
    verdict: Verdict,
) -> frozenset[str]:
    """Pass the requests' verdicts on to their rows; what was not asked for is no fault.

    The days of good requests that were not asked for.
    """
    share = mapping.options.sample_requests
    if share < 1:
        keys = requests.column("request_id")
        undrawn = splitmix64(xxh64(keys) ^ _SAMPLE_PURPOSE) >= U64(int(share * 2**64))
        undrawn &= ~missing(keys)
        raw.verdict.excuse(undrawn, "not_sampled")
        verdict.excuse(undrawn[raw.request], "not_sampled")
    if raw.verdict.code.any():
        fault, free = raw.verdict.code[raw.request], verdict.passed
        verdict.code[free] = fault[free]
    dates = requests.column("dt")
    unwanted = days.unwanted(dates)
    if unwanted is None:
        return frozenset()
    others = dates.filter(pa.array(unwanted & raw.verdict.passed)).unique()
    # A fault of another day must not appear in (and so replace) that day's rejects.
    raw.verdict.excuse(unwanted, "other_dt")
    own = _dates_of(raw, requests, mapping, days, np.arange(raw.candidates.num_rows))
    verdict.excuse(days.unwanted(own), "other_dt")
    return frozenset(others.drop_null().to_pylist())


def _dates_of(
    raw: Raw,
    requests: pa.RecordBatch,
    mapping: Mapping,
    days: Days,
    rows: np.ndarray,
) -> pa.Array:
    """dt of single rows: in a rows log that of the row itself, whatever its request holds."""
    if mapping.options.layout == "lists":
        return requests.column("dt").take(pa.array(raw.request[rows]))
    own = raw.candidates.take(pa.array(rows))
    columns = {
        name: evaluate(mapped, own)[0]
        for name in ("dt", "request_time")
        if (mapped := mapping.request_field(name)) is not None
    }
    return days.dates(columns.get("dt"), columns.get("request_time"), len(rows))


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
    fates = sum(n for name, n in counts.items() if name.startswith("feedback."))
    assert fates == 2 * counts["feedback.rows_in"], "a row of feedback was lost at the door"
    return Counter({name: number for name, number in counts.items() if number})


def _rejected(
    raw: Raw,
    requests: pa.RecordBatch,
    mapping: Mapping,
    days: Days,
    verdict: Verdict,
) -> Rejected | None:
    rows = np.flatnonzero(verdict.rejected)
    if not len(rows):
        return None
    owner = pa.array(raw.request[rows])
    own = raw.candidates.take(pa.array(rows))
    columns = {name: own.column(name) for name in own.schema.names}
    for field in raw.requests.schema:
        if field.name not in columns and not pa.types.is_nested(field.type):
            columns[field.name] = raw.requests.column(field.name).take(owner)
    dates = _dates_of(raw, requests, mapping, days, rows)
    return Rejected(pa.RecordBatch.from_pydict(columns), verdict.code[rows], dates)
