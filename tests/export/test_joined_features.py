"""What a build joined of feature tables becomes the features of libsvm files."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from export_kit import export, library

from rankdistill.build import build
from rankdistill.errors import ConfigError
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.settings import Settings
from rankdistill.store.dataset import DataSet


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Lists of a simulated log with age and city of users, a list of the user's, items' prices."""
    folder = tmp_path_factory.mktemp("joined")
    sizes = {"num_users": 8, "num_items": 300, "num_candidates": 20, "num_ranked": 12}
    simulated = simulate(folder / "sim", SimulateOptions(num_requests=25, num_exposed=4, **sizes))
    users = pq.read_table(simulated.out / "users.parquet")
    taste = pa.array([[1.5] * 20] * len(users))  # as long as a list of candidates, and no such
    pq.write_table(users.append_column("taste", taste), folder / "users.parquet")
    prices = {"item_id": range(1, 201), "price": [i / 4 for i in range(200)]}
    pq.write_table(pa.table({k: list(v) for k, v in prices.items()}), folder / "prices.parquet")
    tables = [
        {"of": "user", "path": str(folder / "users.parquet"), "materialize": True},
        {"of": "item", "path": str(folder / "prices.parquet"), "materialize": True},
        {"of": "item", "path": str(simulated.out / "items.parquet"), "columns": ["duration"]},
    ]
    columns = {"feedback": ["click"], "request": ["scene"], "item": ["category"]}
    config = {
        "output": str(folder / "feed"),
        "log": {"path": str(simulated.log), "columns": columns},
        "features": tables,
        "samples": {"listwise": {}},
    }
    build(Settings.model_validate(config))
    return DataSet.open(folder / "feed")


def test_joined_numbers_are_features_by_default_and_others_are_told(tmp_path, data):
    made = export(data, tmp_path / "out", "libsvm")
    assert made["features"] == ["user_age_group", "item_price"]
    assert made["notes"] == [
        "joined features that are no numbers are left out: user_city, user_taste"
    ]
    rows = [row for batch in data.read("listwise") for row in batch.to_pylist()]
    expected = [
        f"{grade:.0f} qid:{qid} 0:{row['user_age_group']}"
        + (f" 1:{price:g}" if price is not None else "")
        for qid, row in enumerate(rows, start=1)
        for grade, price in zip(row["grade"], row["item_price"], strict=True)
    ]
    lines = (tmp_path / "out" / "all.libsvm").read_text().splitlines()
    assert lines == expected
    assert any(" 1:" in line for line in lines)
    assert any(" 1:" not in line for line in lines)  # an item without a price


def test_features_narrows_what_is_joined(tmp_path, data):
    made = export(data, tmp_path / "out", "lightgbm", features=("item_price", "rank"))
    assert (made["features"], made["notes"]) == (["item_price", "rank"], [])
    lines = (tmp_path / "out" / "all.libsvm").read_text().splitlines()
    items = [
        i for batch in data.read("listwise") for row in batch["item_id"].to_pylist() for i in row
    ]
    assert [" 0:nan " not in line for line in lines] == [item <= 200 for item in items]
    export(data, tmp_path / "sparse", "libsvm", features=("item_price",))
    lines = (tmp_path / "sparse" / "all.libsvm").read_text().splitlines()
    # An item that has no feature keeps its line.
    assert [" 0:" in line for line in lines] == [item <= 200 for item in items]


def test_lightgbm_takes_what_an_item_lacks_as_missing(tmp_path, data):
    lgb = library("lightgbm")
    export(data, tmp_path / "out", "lightgbm", features=("item_price", "rank"))
    options = {"objective": "lambdarank", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 1}
    read = lgb.Dataset(str(tmp_path / "out" / "all.libsvm"), params=options).construct()
    assert read.num_data() == sum(
        len(row) for batch in data.read("listwise") for row in batch["item_id"]
    )
    model = lgb.train(options, read, num_boost_round=3)
    nodes = model.trees_to_dataframe().dropna(subset=["split_feature"])
    assert set(nodes["missing_type"]) <= {"NaN", "None"}
    assert "NaN" in set(nodes["missing_type"])


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("user_city", "is string, and a line of libsvm holds numbers"),
        ("user_taste", "is list<.*>, and a line of libsvm"),
        ("category", "is list<.*string>, and a line of libsvm"),
        ("grade", "a ranker must not learn from it"),
    ],
)
def test_a_column_that_is_no_feature_is_refused_with_the_reason(tmp_path, data, name, why):
    with pytest.raises(ConfigError, match=why) as told:
        export(data, tmp_path / "out", "libsvm", features=(name,))
    assert told.value.code == "E0105"
    assert "item_price" in told.value.found
    assert not (tmp_path / "out").exists()
