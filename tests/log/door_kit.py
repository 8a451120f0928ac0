"""Awkward logs for the door's tests, and how they reach it: as Arrow batches or as files."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from rankdistill.document import read_document
from rankdistill.engines.duckdb import DuckDb
from rankdistill.errors import UserError, UserErrors
from rankdistill.lists.batch import Lists
from rankdistill.lists.group import IS_FEEDBACK, Grouped
from rankdistill.log.bind import bind
from rankdistill.log.days import Days
from rankdistill.log.door import Admitted, admit
from rankdistill.log.mapping import Mapping
from rankdistill.log.source import LogOptions
from rankdistill.prepare import prepare, repeated_requests
from rankdistill.settings import Settings, settings_of
from tests.oracle import RANKS, STAGES, Options, Row, Told

TYPES = {
    "stage": pa.string(),
    "rank": pa.int32(),
    "rerank_rank": pa.int32(),
    "position": pa.int64(),
    "teacher_score": pa.float64(),
    "prerank_score": pa.float64(),
    "user_id": pa.string(),
    "city": pa.string(),
    "click": pa.float64(),
}
# A small log of other names, for tests with literal rows.
KEYS = {"request_id": "r", "item_id": "i", "rank": "k"}
ROW = {"r": "a", "i": "x", "k": 1}
RANK_VALUES = [None, -1, 0, 1, 1, 2, 2, 3, 5, 9]
SCORES = [None, math.nan, math.inf, -math.inf, -0.0, 0.0, 1.5, 1.5, -3.0, 1e308, 5e-324]
STAGE_NAMES = ["recalled", "preranked", "ranked", "ranked", "reranked", "exposed", "lost", None]
ORDERS = {"rank": "rank", "rerank": "rerank_rank", "position": "position", "score": "teacher_score"}


@st.composite
def cases(draw: Any, layout: str = "rows", *, odd: bool = True) -> tuple[list[Row], Options]:
    """A log and the options it is read under. odd: with values that are no JSON numbers."""
    text = draw(st.booleans())
    orders = [*ORDERS, *(["list_order"] if layout == "lists" else [])]
    order = draw(st.sampled_from(orders))
    needed = [ORDERS[order]] if order in ORDERS else []
    more = draw(st.sets(st.sampled_from([*ORDERS.values(), "prerank_score"])))
    mapped = tuple(dict.fromkeys([*needed, *sorted(more)]))
    stage = draw(st.sampled_from(["presence", "column"]))
    options = Options(
        teacher_order=order,
        rank_base=draw(st.sampled_from([0, 1])),
        max_candidates=draw(st.sampled_from([2, 10_000])),
        stage=stage,
        mapped=mapped,
    )
    ids = ["", "1", "01", "a", "é", None] if text else [None, 0, 1, -7, 2**63 - 1]
    scores = SCORES if odd else [s for s in SCORES if s is None or math.isfinite(s)]
    values = {
        "request_id": st.sampled_from(ids),
        "item_id": st.sampled_from([*ids, *ids[1:-1]]),
        "user_id": st.sampled_from(["u", "u", "u", "u", "v", "", None] if odd else ["u"]),
        "city": st.sampled_from([None, None, None, "c"] if odd else [None]),
        "stage": st.sampled_from(STAGE_NAMES),
        "click": st.sampled_from([0.0, 1.0, None]),
        **{n: st.sampled_from(RANK_VALUES) for n in ("rank", "rerank_rank", "position")},
        **{n: st.sampled_from(scores) for n in ("teacher_score",)},
        "prerank_score": st.sampled_from([None, 0.5]),
    }
    rows = draw(st.lists(st.fixed_dictionaries(values), min_size=1, max_size=12))
    # A column that nothing is mapped to makes no two rows differ.
    told_by = {"stage"} if stage == "column" else set()
    kept = {"request_id", "item_id", "user_id", "city", "click", *told_by, *mapped}
    return like_where_equal(
        [{k: v for k, v in row.items() if k in kept} for row in rows], options
    ), options


def like_where_equal(rows: list[Row], options: Options) -> list[Row]:
    """Of rows that are equal in what chooses between duplicates, copies of the first: which of
    them is used is decided by a hash, which the oracle does not know."""
    names = ("request_id", "item_id", "stage", "teacher_score")

    def key(row: Row) -> str:
        ranks = {n: row.get(n) for n in RANKS}
        if options.stage == "column":  # a rank from beyond a row's stage does not count
            reached = STAGES.get(row["stage"], 0)
            ranks = {n: rank if reached >= RANKS[n] else None for n, rank in ranks.items()}
        return repr([*(row.get(n) for n in names), ranks])

    first: dict[str, Row] = {}
    return [dict(first.setdefault(key(row), row)) for row in rows]


def table(rows: list[Row], names: list[str] | None = None) -> pa.Table:
    """Typed columns; ids are integers or text as they are in the rows, text where none is."""
    names = names or (list(rows[0]) if rows else ["request_id", "item_id", "click", "stage"])
    arrays = {
        n: pa.array([row[n] for row in rows], TYPES.get(n) or id_type(rows, n)) for n in names
    }
    return pa.table(arrays)


def id_type(rows: list[Row], *names: str) -> pa.DataType:
    is_int = any(isinstance(row[n], int) for row in rows for n in names)
    return pa.int64() if is_int else pa.string()


def in_lists(rows: list[Row]) -> pa.Table:
    """One row per request, candidate columns as lists in the order of `rows`."""
    by_request: dict[Any, list[Row]] = {}
    for row in rows:
        by_request.setdefault(row["request_id"], []).append(row)
    flat = table(rows)
    columns: dict[str, pa.Array] = {}
    for name in flat.column_names:
        kind = flat.schema.field(name).type
        if name in ("request_id", "user_id", "city"):
            values = [members[0][name] for members in by_request.values()]
            columns[name] = pa.array(values, kind)
        else:
            lists = [[row[name] for row in members] for members in by_request.values()]
            columns[name] = pa.array(lists, pa.list_(kind))
    return pa.table(columns)


def log_block(options: Options, layout: str = "rows", **more: Any) -> dict[str, Any]:
    """The `log` block that reads such a table under `options`."""
    own = ("rank", "rerank_rank", "position", "teacher_score", "prerank_score")
    columns: dict[str, Any] = {n: n if n in options.mapped else None for n in own}
    columns |= {"request": ["city"], "feedback": ["click"]}
    block = {
        "layout": layout,
        "columns": columns,
        "teacher_order": options.teacher_order,
        "rank_base": options.rank_base,
        "max_candidates": options.max_candidates,
        **more,
    }
    if options.stage != "presence":
        block["stage"] = {"from": "column", "column": "stage"}
    return block


def settings(log: dict[str, Any], out: str | Path = "out", **more: Any) -> Settings:
    # Logs of the tests are odd on purpose.
    config = {"output": str(out), "log": log, "quality": {"fail_on": "never"}, **more}
    return settings_of(read_document(json.dumps(config), "test.yaml"))


def log_options(log: dict[str, Any]) -> LogOptions:
    return settings({"path": "x", **log}).log


def grouped(mapping: Mapping, source: pa.Table, feedback: pa.Table | None = None) -> Grouped:
    """What an engine would deliver: raw rows under their aliases, request by request."""
    raw = {alias: source.column(".".join(p)) for alias, p in mapping.paths.items()}
    (key,) = mapping.group_aliases
    parts = pa.table(raw)
    if feedback is not None:
        other = {a: feedback.column(".".join(p)) for a, p in mapping.feedback_paths.items()}
        other[key] = other[mapping.feedback_fields[0].aliases[0]]
        marks = [pa.repeat(False, len(parts)), pa.repeat(True, len(feedback))]
        both = [
            parts.append_column(IS_FEEDBACK, marks[0]),
            pa.table(other | {IS_FEEDBACK: marks[1]}),
        ]
        parts = pa.concat_tables(both, promote_options="default")
    rows = parts.sort_by([(key, "ascending"), *([(IS_FEEDBACK, "ascending")] if feedback else [])])
    ids = rows.column(key).to_pylist()
    starts = [i for i, v in enumerate(ids) if i == 0 or v is None or v != ids[i - 1]]
    batch = rows.combine_chunks().to_batches()
    empty = pa.RecordBatch.from_pylist([], schema=rows.schema)
    return Grouped(batch[0] if batch else empty, np.array([*starts, len(ids)] if ids else [0]))


def admitted(
    source: pa.Table,
    log: dict[str, Any],
    feedback: pa.Table | None = None,
    days: Days | None = None,
) -> Admitted:
    options = log_options(log)
    mapping = bind(options, source.schema, None if feedback is None else feedback.schema)
    return admit(grouped(mapping, source, feedback), mapping, days or Days())


def as_lists(lists: Lists) -> dict[Any, list[Row]]:
    """request_id -> candidates in order, as plain rows."""
    rows = lists.candidates.to_pylist()
    for row, rank in zip(rows, lists.teacher_rank.tolist(), strict=True):
        row["teacher_rank"] = rank
    ids = lists.requests.column("request_id").to_pylist()
    spans = zip(ids, lists.offsets[:-1], lists.offsets[1:], strict=True)
    return {key: rows[start:end] for key, start, end in spans}


def assert_as_told(found: dict[Any, list[Row]], told: Told, options: Options) -> None:
    """Equal requests, and in each equal candidates in equal order, column by column."""
    names = ["item_id", "stage", "teacher_rank", "rank", "click", *options.mapped]
    expected = {
        key: [[row.get(n) for n in names] for row in ranked] for key, ranked in told.lists.items()
    }
    assert {k: [[row.get(n) for n in names] for row in v] for k, v in found.items()} == expected


def reasons(counts: Any) -> dict[str, int]:
    return {n.removeprefix("rejected."): c for n, c in counts.items() if n.startswith("rejected.")}


def read_log(log: dict[str, Any], **more: Any) -> tuple[dict[Any, Row], Counter[str]]:
    """(request_id -> its request columns and "items", counts) of a log that DuckDB reads."""
    found = settings(log, **more)
    made: list[Admitted] = []
    with closing(DuckDb(found.engine)) as engine:
        prepared = prepare(found, engine)
        repeated = repeated_requests(prepared, engine)

        def work(batches: Iterator[Grouped], task: str) -> Iterator[dict[str, Any]]:
            made.extend(admit(b, prepared.mapping, prepared.days, repeated) for b in batches)
            return iter(())

        list(engine.run(prepared.query, work, lambda rows: None))
        num_rows = engine.count(prepared.query)[0]
    counts: Counter[str] = Counter()
    requests = {}
    for one in made:
        counts.update(one.counts)
        for row in one.lists.rows().to_pylist():
            names = one.lists.candidates.schema.names
            items = zip(*(row.pop(n) for n in names), strict=True)
            row["items"] = [dict(zip(names, item, strict=True)) for item in items]
            requests[row["request_id"]] = row
    seen = counts["rows_in" if found.log.layout == "rows" else "requests_in"]
    assert seen == num_rows
    return requests, counts


def refused(log: dict[str, Any], **more: Any) -> list[UserError]:
    """The errors that reading the log ends with; each says what was found and what to do."""
    with pytest.raises((UserError, UserErrors)) as caught:
        read_log(log, **more)
    errors = caught.value.errors if isinstance(caught.value, UserErrors) else (caught.value,)
    for error in errors:
        assert error.found, error.message
        assert error.help, error.message
    return list(errors)


def read(tmp_path: Path, rows: Any, columns: Any = None, **more: Any) -> tuple[list, dict, Counter]:
    """(items of all requests, requests, counts) of a Parquet log with these rows."""
    source = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    pq.write_table(source, tmp_path / "log.parquet")
    log = {"path": str(tmp_path / "log.parquet"), "columns": {**KEYS, **(columns or {})}, **more}
    requests, counts = read_log(log)
    return [item for row in requests.values() for item in row["items"]], requests, counts


def faults(tmp_path: Path, rows: Any, columns: Any = None, **more: Any) -> list[UserError]:
    """What is said where such a log is refused."""
    source = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    pq.write_table(source, tmp_path / "log.parquet")
    log = {"path": str(tmp_path / "log.parquet"), "columns": {**KEYS, **(columns or {})}, **more}
    return refused(log)
