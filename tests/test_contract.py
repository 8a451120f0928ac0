"""The tables' contract as Arrow schemas."""

from __future__ import annotations

import pyarrow as pa
import pytest

from rankdistill.contract import SAMPLE_TABLES, TABLES, TYPES, arrow_schema, table_contract

TEXT_IDS = {name: pa.string() for name in ("request_id", "user_id", "item_id")}
MIXED_IDS = {"request_id": pa.string(), "user_id": pa.int64(), "item_id": pa.int64()}


@pytest.mark.parametrize("table", TABLES)
def test_every_column_has_a_known_type_a_meaning_and_a_unit_or_null(table: str) -> None:
    contract = table_contract(table)
    assert contract["table"] == table
    for column in contract["columns"]:
        assert set(column) == {"name", "type", "nullable", "unit", "meaning"}, column
        inner = column["type"].removeprefix("list<").removesuffix(">")
        assert inner in {*TYPES, "id"}
        assert column["meaning"]


@pytest.mark.parametrize("table", TABLES)
def test_key_and_partition_are_columns_that_are_never_null(table: str) -> None:
    contract = table_contract(table)
    schema = arrow_schema(table, TEXT_IDS)
    assert len(schema.names) == len(set(schema.names))
    for name in (*contract["key"], *contract["partition_by"]):
        assert not schema.field(name).nullable


@pytest.mark.parametrize("table", SAMPLE_TABLES)
def test_every_sample_row_says_where_it_is_from(table: str) -> None:
    names = ["request_id", "user_id", "request_time", "split", "dt", "source", "probability"]
    assert set(names) <= set(arrow_schema(table, TEXT_IDS).names)


def test_ids_take_the_types_of_the_data_set() -> None:
    schema = arrow_schema("pairwise", MIXED_IDS)
    assert schema.field("request_id").type == pa.string()
    assert schema.field("pos_item_id").type == schema.field("neg_item_id").type == pa.int64()
    assert arrow_schema("lists", MIXED_IDS).field("item_id").type == pa.list_(pa.int64())


def test_open_groups_become_lists_in_lists_and_flat_columns_in_pointwise() -> None:
    feedback = pa.schema({"click": pa.int8()})
    request = pa.schema({"city": pa.string()})
    lists = arrow_schema("lists", TEXT_IDS, feedback=feedback, request=request)
    assert lists.field("click").type == pa.list_(pa.int8())
    assert lists.field("city").type == pa.string()
    pointwise = arrow_schema("pointwise", TEXT_IDS, feedback=feedback, request=request)
    assert pointwise.field("click").type == pa.int8()
    assert "city" not in pointwise.names


def test_times_are_utc_microseconds() -> None:
    field = arrow_schema("lists", TEXT_IDS).field("request_time")
    assert field.type == pa.timestamp("us", tz="UTC")
