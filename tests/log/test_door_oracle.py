"""The door against the plain-Python oracle: the same lists, the same reasons, no row lost."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from rankdistill.log import duplicates
from tests.explored import explored
from tests.log.door_kit import (
    admitted,
    as_lists,
    assert_as_told,
    cases,
    id_type,
    in_lists,
    log_block,
    reasons,
    table,
)
from tests.oracle import Options, Row, oracle


@pytest.fixture(autouse=True, scope="module")
def several_blocks():
    """Logs as small as these are looked through in several blocks, as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BLOCK", 4)
        yield


@pytest.mark.fault("20", "the door, rows: the lists and reasons of an oracle", times=4)
@explored(cases(), examples=300)
def test_rows_become_the_lists_that_the_oracle_makes(case):
    rows, options = case
    found = admitted(table(rows), log_block(options))
    told = oracle(rows, options)
    assert_as_told(as_lists(found.lists), told, options)
    assert reasons(found.counts) == dict(told.reasons)
    assert found.counts["rows_in"] == len(rows)


@pytest.mark.fault("20", "the door, lists: the lists and reasons of an oracle", times=5)
@explored(cases("lists"), examples=200)
def test_lists_become_the_lists_that_the_oracle_makes(case):
    rows, options = case
    own = {row["request_id"]: (row["user_id"], row["city"]) for row in rows}
    for row in rows:
        row["user_id"], row["city"] = own[row["request_id"]]
    # A null item would cost its whole request.
    rows = [row for row in rows if row["item_id"] is not None]
    assume(rows)
    told = oracle(rows, options)
    found = admitted(in_lists(rows), log_block(options, "lists"))
    assert_as_told(as_lists(found.lists), told, options)
    assert reasons(found.counts) == dict(told.reasons)


def feedback_rows(ids: list[Any]) -> Any:
    row = {"request_id": st.sampled_from(ids), "item_id": st.sampled_from(ids)}
    return st.lists(st.fixed_dictionaries({**row, "click": st.sampled_from([None, 0.0, 2.0])}))


@examples(max_examples=150)
@given(st.data(), st.sampled_from(["rows", "lists"]))
def test_a_feedback_table_is_joined_as_the_oracle_joins_it(data, layout):
    rows, options = data.draw(cases(layout, odd=False))
    rows = [{k: v for k, v in row.items() if k != "click"} for row in rows]
    if layout == "lists":
        rows = [row for row in rows if row["item_id"] is not None]
    assume(rows)
    ids = [row[k] for row in rows for k in ("request_id", "item_id")] or ["1"]
    feedback: list[Row] = data.draw(feedback_rows(ids))
    kind = id_type(rows, "request_id", "item_id")
    logged = (in_lists if layout == "lists" else table)(rows)
    logged = logged.cast(_ids(logged.schema, kind))
    second = pa.table(
        {n: pa.array([r[n] for r in feedback], kind) for n in ("request_id", "item_id")}
        | {"click": pa.array([r["click"] for r in feedback], pa.float64())}
    )
    keys = {"request_id": "request_id", "item_id": "item_id", "feedback": ["click"]}
    block = log_block(options, layout, feedback={"path": "y", "columns": keys})
    block["columns"]["feedback"] = {}
    told = oracle(rows, options, feedback)
    found = admitted(logged, block, second)
    assert_as_told(as_lists(found.lists), told, options)
    fates = {n: c for n, c in found.counts.items() if n.startswith("feedback.")}
    assert fates.pop("feedback.rows_in", 0) == len(feedback)
    assert fates == {f"feedback.{n}": c for n, c in told.feedback.items()}


def _ids(schema: pa.Schema, kind: pa.DataType) -> pa.Schema:
    """The schema with ids of one type, whatever the rows happen to hold."""
    for name in ("request_id", "item_id"):
        if name in schema.names:
            listed = pa.types.is_list(schema.field(name).type)
            place = schema.get_field_index(name)
            schema = schema.set(place, pa.field(name, pa.list_(kind) if listed else kind))
    return schema


def test_the_oracle_is_not_empty_handed():
    row = {
        "item_id": 1,
        "user_id": "u",
        "city": None,
        "rank": 2,
        "teacher_score": 1.0,
        "click": 1.0,
    }
    rows = [{**row, "request_id": 5}, {**row, "request_id": 5, "item_id": 2, "rank": 1}]
    told = oracle(rows, Options())
    assert [r["item_id"] for r in told.lists[5]] == [2, 1]
    assert not told.reasons
