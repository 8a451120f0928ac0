"""Feature tables of Spark's catalogue join as files do."""

from __future__ import annotations

import engine_kit as kit
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankdistill.errors import UserErrors
from rankdistill.store.dataset import DataSet

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]


@pytest.fixture
def tables(tmp_path, spark):
    """{name: path} of catalogue tables: users by id; prices of items that changed, partitioned."""
    users = pa.table({"uid": list(range(6)), "age": list(range(20, 26)), "likes": [["a", "b"]] * 6})
    (tmp_path / "users").mkdir()
    pq.write_table(users, tmp_path / "users" / "0.parquet")
    prices = {"vid": [f"v{i % 40}" for i in range(80)], "since": list(range(80))}
    prices |= {"price": [i / 8 for i in range(80)], "region": ["a", "b"] * 40}
    pq.write_to_dataset(pa.table(prices), tmp_path / "prices", partition_cols=["region"])
    spark.sql("CREATE DATABASE IF NOT EXISTS shop")
    for name in ("users", "prices"):
        spark.catalog.createTable(f"shop.{name}", path=str(tmp_path / name), source="parquet")
    spark.catalog.recoverPartitions("shop.prices")
    yield {name: str(tmp_path / name) for name in ("users", "prices")}
    for name in ("users", "prices"):
        spark.sql(f"DROP TABLE shop.{name}")
    spark.sql("DROP DATABASE shop")


def features(users, prices, **more):
    since = {"column": "since", "unit": "s"}
    return [
        {"of": "user", **users, "key": "uid", "materialize": True, **more},
        {"of": "item", **prices, "key": "vid", "time": since, "materialize": True},
    ]


def log_of(tmp_path):
    table = kit.odd_rows(600)
    at = [None if r is None else 2 * 10**6 * int(r) for r in table["request_id"].to_pylist()]
    table = table.append_column("at", pa.array(at, pa.timestamp("us", tz="UTC")))
    columns = {"feedback": ["click"], "request_time": "at"}
    return kit.in_parquet(tmp_path, table) | {"columns": columns}


def test_a_catalogue_table_joins_as_its_files_do(tmp_path, tables):
    log = log_of(tmp_path)
    by_path = features(*({"path": tables[name]} for name in ("users", "prices")))
    by_name = features(*({"table": f"shop.{name}"} for name in ("users", "prices")))
    expected = kit.hashes(log, tmp_path, "duckdb", features=by_path)
    assert kit.of_rows(kit.hashes(log, tmp_path, "spark", features=by_name)) == kit.of_rows(
        expected
    )
    schema = DataSet.open(tmp_path / "spark").schema("pointwise")
    assert {"user_age", "user_likes", "item_price", "item_region"} <= set(schema.names)
    rows = [r for b in DataSet.open(tmp_path / "spark").read("pointwise") for r in b.to_pylist()]
    assert {row["user_age"] for row in rows} == {*range(20, 26), None}
    assert len({row["item_price"] for row in rows}) > 10

    assert not kit.built(log, tmp_path / "spark", "spark", features=by_name).is_new


def test_a_changed_catalogue_table_makes_its_days_anew(tmp_path, tables, spark):
    log = log_of(tmp_path)
    by_name = features(*({"table": f"shop.{name}"} for name in ("users", "prices")))
    kit.built(log, tmp_path / "out", "spark", features=by_name)
    pq.write_table(
        pa.table({"uid": [6], "age": [99], "likes": [["c"]]}), f"{tables['users']}/1.parquet"
    )
    spark.catalog.refreshTable("shop.users")
    made = kit.built(log, tmp_path / "out", "spark", features=by_name)
    assert made.is_new
    assert made.totals["features.user.pointwise.missing"] == 0
    (recorded, _) = made.features
    assert (recorded["place"], recorded["key"]) == ("shop.users", ["uid"])


def test_a_catalogue_table_that_is_left_to_the_trainer_is_recorded(tmp_path, tables):
    by_name = features({"table": "shop.users"}, {"table": "shop.prices"}, materialize=False)[:1]
    made = kit.built(log_of(tmp_path), tmp_path / "out", "spark", features=by_name)
    (recorded,) = made.features
    assert (recorded["place"], recorded["columns"]) == (
        "shop.users",
        {"age": "age", "likes": "likes"},
    )
    assert not {"user_age"} & set(DataSet.open(tmp_path / "out").schema("pointwise").names)


@pytest.mark.parametrize(
    ("kind", "table", "told"),
    [("spark", "shop.absent", "E0311"), ("duckdb", "shop.users", "E0105"), ("spark", "x;y", "E0")],
)
def test_a_table_that_cannot_be_opened_is_told(tmp_path, tables, kind, table, told):
    by_name = features({"table": table}, {"path": tables["prices"]})
    with pytest.raises(UserErrors, match=told):
        kit.built(log_of(tmp_path), tmp_path / "out", kind, features=by_name)
    assert not (tmp_path / "out").exists()
