"""libsvm text: literal lists in, literal lines out; LightGBM and XGBoost learn from it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from export_kit import TEXT, data_set, export, library, rows_of
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.errors import ConfigError, InputError
from rankdistill.export.features import places

ITEM = pa.schema([("price", pa.float64()), ("age", pa.int64()), ("new", pa.bool_())])
REQUEST = pa.schema([("hour", pa.int32())])
GRADED = [
    {"request_id": 1, "item_id": [4, 5], "grade": [2.0, 0.0], "teacher_score": [0.9, 0.1]},
    {"request_id": 2, "item_id": [5, 6, 4], "grade": [1.0, 0.0, 0.0], "split": "valid"},
]
CANDIDATES = [  # in an order of their own, and more of them than in the graded lists
    {"request_id": 2, "item_id": [9, 4, 5, 6], "price": [9.0, 4.5, None, 6.0], "hour": 3}
    | {"age": [9, 4, 5, 6], "new": [True, True, False, None]},
    {"request_id": 1, "item_id": [5, 4], "price": [0.5, float("nan")], "age": [0, 1 << 60]}
    | {"new": [True, False], "hour": 2},
]


@pytest.fixture
def data(tmp_path):
    tables = {"listwise": GRADED, "lists": CANDIDATES}
    return data_set(tmp_path / "data", tables, item=ITEM, request=REQUEST)


def test_a_line_is_the_grade_the_request_and_the_features_that_are_there(tmp_path, data):
    made = export(data, tmp_path / "out", "libsvm")
    assert made["features"] == ["price", "age", "new", "hour"]
    assert (tmp_path / "out" / "train.libsvm").read_text() == (
        f"2 qid:1 1:{1 << 60} 2:0 3:2\n0 qid:1 0:0.5 1:0 2:1 3:2\n"
    )
    assert (tmp_path / "out" / "valid.libsvm").read_text() == (
        "1 qid:1 1:5 2:0 3:3\n0 qid:1 0:6 1:6 3:3\n0 qid:1 0:4.5 1:4 2:1 3:3\n"
    )
    assert (tmp_path / "out" / "valid.libsvm.group").read_text() == "3\n"
    assert rows_of(tmp_path / "out" / "valid.rows.parquet") == [
        {"qid": 1, "request_id": 2, "item_id": item} for item in (5, 6, 4)
    ]


def test_for_lightgbm_there_is_no_qid_and_the_groups_are_where_it_looks(tmp_path, data):
    export(data, tmp_path / "out", "lightgbm", features=("age",))
    assert (tmp_path / "out" / "valid.libsvm").read_text() == "1 0:5\n0 0:6\n0 0:4\n"
    assert (tmp_path / "out" / "valid.libsvm.query").read_text() == "3\n"


def test_a_teacher_score_is_a_feature_only_where_it_is_named(tmp_path, data):
    export(data, tmp_path / "out", "libsvm", features=("teacher_score", "age"))
    lines = (tmp_path / "out" / "train.libsvm").read_text()
    assert lines == f"2 qid:1 0:0.9 1:{1 << 60}\n0 qid:1 0:0.1 1:0\n"
    valid = (tmp_path / "out" / "valid.libsvm").read_text()
    assert valid.startswith("1 qid:1 1:5\n")  # a list without scores has no such feature


def test_without_features_the_export_is_refused_and_says_what_could_be_named(tmp_path):
    data = data_set(tmp_path / "data", {"listwise": GRADED})
    with pytest.raises(ConfigError, match="needs features") as told:
        export(data, tmp_path / "out", "libsvm")
    assert told.value.found == "columns that can be named: rank, teacher_score"
    with pytest.raises(ConfigError, match="not a numeric column") as told:
        export(data, tmp_path / "out", "libsvm", features=("teacher_scor",))
    assert told.value.help == "--features teacher_score"
    with pytest.raises(ConfigError, match="must not learn from it"):
        export(data, tmp_path / "out", "libsvm", features=("item_id",))


def test_features_of_requests_alone_are_warned_of(tmp_path, data):
    made = export(data, tmp_path / "out", "libsvm", features=("hour",))
    assert made["notes"] == ["every feature is one of requests: they cannot tell items apart"]


@pytest.mark.parametrize("grade", [0.5, -1.0])
def test_real_and_negative_grades_are_refused_and_nothing_is_left(tmp_path, grade):
    rows = [*GRADED, {"request_id": 3, "item_id": [1, 2], "grade": [1.0, grade]}]
    rows[0], rows[1] = rows[0] | {"split": "train"}, rows[1] | {"teacher_score": [1.0, 2.0, 3.0]}
    rows[2]["teacher_score"] = [1.0, 2.0]
    data = data_set(tmp_path / "data", {"listwise": rows})
    with pytest.raises(ConfigError, match="whole grades") as told:
        export(data, tmp_path / "out", "libsvm", features=("teacher_score",))
    assert told.value.found == f"grade {grade:g} in request 3"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_grades_beyond_lightgbm_s_table_are_warned_of(tmp_path):
    rows = [{"request_id": 1, "item_id": [1, 2], "grade": [31.0, 0.0], "rank": [1, 2]}]
    data = data_set(tmp_path / "data", {"listwise": rows})
    made = export(data, tmp_path / "out", "lightgbm", features=("rank",))
    assert made["notes"] == [
        "LightGBM's reader refuses files of a single feature: name two",
        "grades reach 31: give LightGBM a label_gain that is as long",
    ]


def test_an_infinite_feature_is_refused(tmp_path):
    rows = [{"request_id": 1, "item_id": [1, 2], "teacher_score": [1.0, float("inf")]}]
    data = data_set(tmp_path / "data", {"listwise": rows})
    with pytest.raises(InputError, match="teacher_score is infinite") as told:
        export(data, tmp_path / "out", "libsvm", features=("teacher_score",))
    assert told.value.found == "item 2"


def test_lists_that_have_no_candidates_stored_are_counted(tmp_path):
    tables = {"listwise": GRADED, "lists": CANDIDATES[:1]}
    data = data_set(tmp_path / "data", tables, item=ITEM, request=REQUEST)
    assert export(data, tmp_path / "out", "libsvm")["left_out"] == {"no_list": 1}


def test_ids_with_line_breaks_never_reach_the_text(tmp_path):
    rows = [{"request_id": "r\n", "item_id": ["a\tb", "c\n"], "rank": [1, 2], "user_id": "u"}]
    data = data_set(tmp_path / "data", {"listwise": rows}, ids=TEXT)
    export(data, tmp_path / "out", "libsvm", features=("rank",))
    assert (tmp_path / "out" / "train.libsvm").read_text() == "1 qid:1 0:1\n1 qid:1 0:2\n"
    found = [row["item_id"] for row in rows_of(tmp_path / "out" / "train.rows.parquet")]
    assert found == ["a\tb", "c\n"]


def test_an_empty_table_makes_no_file(tmp_path):
    data = data_set(tmp_path / "data", {"listwise": [], "lists": []}, item=ITEM, request=REQUEST)
    assert export(data, tmp_path / "out", "libsvm")["files"] == []


ITEMS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=8, unique=True), max_size=5)


@given(ITEMS, st.randoms(use_true_random=False))
def test_items_are_found_among_the_candidates_of_their_own_request(candidates, random):
    listed = [random.sample(row, random.randint(0, len(row))) for row in candidates]

    def flat(rows):
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return offsets, pa.array([item for row in rows for item in row], pa.int64())

    found = places(*flat(listed), *flat(candidates)).to_pylist()
    before = flat(candidates)[0]
    assert found == [
        before[r] + candidates[r].index(item) for r, row in enumerate(listed) for item in row
    ]


@pytest.fixture
def many(tmp_path):
    """50 lists of 6 to 10 items whose grade is what the item's price says."""
    rng = np.random.default_rng(1)
    graded, candidates = [], []
    for request in range(50):
        price = rng.permutation(10)[: rng.integers(6, 11)]
        items = list(range(len(price)))
        graded.append({"request_id": request, "item_id": items, "grade": (price // 3).tolist()})
        more = {"price": price.astype(float).tolist(), "age": [1] * len(price), "hour": 1}
        candidates.append({"request_id": request, "item_id": items, **more})
    tables = {"listwise": graded, "lists": candidates}
    return data_set(tmp_path / "data", tables, item=ITEM, request=REQUEST), graded


def test_lightgbm_reads_file_and_groups_and_learns_the_order(tmp_path, many):
    lgb = library("lightgbm")
    data, graded = many
    export(data, tmp_path / "out", "lightgbm", features=("age", "price"))
    options = {"objective": "lambdarank", "min_data_in_leaf": 1, "verbose": -1, "num_threads": 1}
    read = lgb.Dataset(str(tmp_path / "out" / "train.libsvm"), params=options).construct()
    assert read.get_group().tolist() == [len(row["item_id"]) for row in graded]
    assert read.get_label().tolist() == [g for row in graded for g in row["grade"]]
    model = lgb.train(options, read, num_boost_round=20)
    scores = model.predict(np.array([[1, price] for price in (0, 3, 6, 9)]))
    assert (np.diff(scores) > 0).all()


def test_xgboost_reads_qid_and_missing_values_and_learns_the_order(tmp_path, many):
    xgb = library("xgboost")
    data, graded = many
    export(data, tmp_path / "out", "libsvm", features=("price", "new"))
    read = xgb.DMatrix(f"{tmp_path}/out/train.libsvm?format=libsvm")
    sizes = [len(row["item_id"]) for row in graded]
    assert np.diff(read.get_uint_info("group_ptr")).tolist() == sizes
    assert read.get_label().tolist() == [g for row in graded for g in row["grade"]]
    assert read.num_nonmissing() == sum(sizes)  # `new` is null in every row
    groups = np.loadtxt(tmp_path / "out" / "train.libsvm.group", dtype=int)
    assert groups.tolist() == sizes
    model = xgb.train({"objective": "rank:ndcg", "nthread": 1}, read, num_boost_round=20)
    scores = model.predict(xgb.DMatrix(np.array([[price] for price in (0, 3, 6, 9)])))
    assert (np.diff(scores) > 0).all()
