"""Parquet in the shapes of sentence-transformers: literal rows in, literal files out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from export_kit import TEXT, data_set, export, library, pairs, rows_of
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.errors import ConfigError, InputError, PlaceError
from rankdistill.export.pairs import by_positive
from rankdistill.export.shapes import deal
from rankdistill.export.texts import read_texts


def test_a_triplet_is_a_pair_with_its_user(tmp_path):
    data = data_set(tmp_path / "data", {"pairwise": pairs(1, 10, 20, 30)})
    made = export(data, tmp_path / "out", "triplet")
    assert rows_of(tmp_path / "out" / "train.parquet") == [
        {"anchor": "7", "positive": "10", "negative": "20"},
        {"anchor": "7", "positive": "10", "negative": "30"},
    ]
    assert made["rows_read"] == 2
    assert made["left_out"] == {}


def test_splits_go_to_files_of_their_own(tmp_path):
    rows = pairs(1, 10, 20, split="valid") + pairs(2, 11, 21) + pairs(3, 12, 22, split="valid")
    export(data_set(tmp_path / "data", {"pairwise": rows}), tmp_path / "out", "triplet")
    assert [row["positive"] for row in rows_of(tmp_path / "out" / "valid.parquet")] == ["10", "12"]
    assert [row["positive"] for row in rows_of(tmp_path / "out" / "train.parquet")] == ["11"]


def test_without_a_user_the_row_is_counted_and_the_request_can_be_the_anchor(tmp_path):
    rows = pairs(1, 10, 20, user_id=None) + pairs(2, 11, 21)
    data = data_set(tmp_path / "data", {"pairwise": rows})
    assert export(data, tmp_path / "user", "triplet")["left_out"] == {"no_user": 1}
    assert export(data, tmp_path / "request", "triplet", anchor="request")["left_out"] == {}
    file = tmp_path / "request" / "train.parquet"
    assert [row["anchor"] for row in rows_of(file)] == ["1", "2"]


def test_negatives_of_a_positive_make_tuples_and_the_rest_is_counted(tmp_path):
    rows = pairs(1, 10, 1, 2, 3, 4, 5) + pairs(1, 11, 6) + pairs(2, 10, 7, 8)
    data = data_set(tmp_path / "data", {"pairwise": rows})
    made = export(data, tmp_path / "out", "n-tuple", num_negatives=2)
    assert [tuple(row.values()) for row in rows_of(tmp_path / "out" / "train.parquet")] == [
        ("7", "10", "1", "3"),  # of 5 negatives those at 0, 1, 2, 3 times 5/4, dealt in turn
        ("7", "10", "2", "4"),
        ("7", "10", "7", "8"),
    ]
    assert made["left_out"] == {"remainder": 1, "too_few": 1}
    assert list(made["files"][0]["columns"]) == ["anchor", "positive", "negative_1", "negative_2"]


def test_scores_are_the_teacher_s_less_that_of_the_positive(tmp_path):
    rows = [
        row | {"margin": margin}
        for row, margin in zip(pairs(1, 10, 1, 2, 3), (0.5, None, 2.0), strict=True)
    ]
    data = data_set(tmp_path / "data", {"pairwise": rows})
    made = export(data, tmp_path / "out", "n-tuple-scores", num_negatives=2)
    assert rows_of(tmp_path / "out" / "train.parquet") == [
        {"anchor": "7", "positive": "10", "negative_1": "1", "negative_2": "3"}
        | {"score": [0.0, -0.5, -2.0]}
    ]
    assert made["left_out"] == {"no_score": 1}


def test_a_labeled_list_is_the_positive_then_its_negatives(tmp_path):
    rows = pairs(1, 10, 1, 2) + pairs(1, 11, 3)
    export(data_set(tmp_path / "data", {"pairwise": rows}), tmp_path / "out", "labeled-list")
    assert rows_of(tmp_path / "out" / "train.parquet") == [
        {"anchor": "7", "docs": ["10", "1", "2"], "labels": [1, 0, 0]},
        {"anchor": "7", "docs": ["11", "3"], "labels": [1, 0]},
    ]


def test_a_labeled_list_of_listwise_keeps_real_grades(tmp_path):
    rows = [{"request_id": 1, "item_id": [4, 5], "grade": [0.25, 0.5]}]
    export(data_set(tmp_path / "data", {"listwise": rows}), tmp_path / "out", "labeled-list")
    assert rows_of(tmp_path / "out" / "train.parquet") == [
        {"anchor": "7", "docs": ["4", "5"], "labels": [0.25, 0.5]}
    ]


def test_negatives_count_where_they_were_dealt_to_a_positive(tmp_path):
    rows = [
        {"request_id": 1, "pos_item_id": positive, "item_id": item}
        for positive, item in [(10, 1), (11, 2), (10, 3)]
    ]
    data = data_set(tmp_path / "data", {"negatives": rows})
    made = export(data, tmp_path / "out", "labeled-list")
    docs = [row["docs"] for row in rows_of(tmp_path / "out" / "train.parquet")]
    assert docs == [["10", "1", "3"], ["11", "2"]]
    assert made["left_out"] == {}
    with pytest.raises(ConfigError, match="negatives has no margin"):
        export(data, tmp_path / "scores", "n-tuple-scores", num_negatives=1)


@pytest.mark.parametrize("kind", ["triplet", "n-tuple", "labeled-list"])
def test_negatives_of_a_whole_request_are_refused_with_the_remedy(tmp_path, kind):
    rows = [
        {"request_id": 1, "pos_item_id": 10, "item_id": 1, "dt": "2026-11-02"},
        {"request_id": 2, "pos_item_id": None, "item_id": 4},
    ]
    data = data_set(tmp_path / "data", {"negatives": rows})
    options = {"num_negatives": 1} if kind == "n-tuple" else {}
    with pytest.raises(ConfigError, match="negatives of 2026-11-01 were drawn for") as told:
        export(data, tmp_path / "out", kind, **options)
    assert (told.value.code, "negatives.per: positive" in told.value.help) == ("E0105", True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    made = export(data, tmp_path / "out", kind, dts=["2026-11-02"], **options)
    assert made["rows_read"] == made["files"][0]["rows"] == 1


def test_texts_stand_for_ids_and_items_without_one_are_counted(tmp_path):
    texts = {"item": [10, 1, 2], "title": ["ten", 'o"n\te\n', None]}
    pq.write_table(pa.table(texts), tmp_path / "items.parquet")
    option = f"{tmp_path}/items.parquet:item:title"
    tables = {
        "pairwise": pairs(1, 10, 1, 2, 3),
        "listwise": [
            {"request_id": 1, "item_id": [3, 10, 1], "grade": [2.0, 1.0, 0.0]},
            {"request_id": 2, "item_id": [2, 3], "grade": [1.0, 0.0]},
        ],
    }
    data = data_set(tmp_path / "data", tables)
    made = export(data, tmp_path / "pairs", "triplet", item_text=option)
    only = {"anchor": "7", "positive": "ten", "negative": 'o"n\te\n'}
    assert rows_of(tmp_path / "pairs" / "train.parquet") == [only]
    assert made["left_out"] == {"no_item_text": 2}
    made = export(data, tmp_path / "l", "labeled-list", table="listwise", item_text=option)
    only = {"anchor": "7", "docs": ["ten", 'o"n\te\n'], "labels": [1.0, 0.0]}
    assert rows_of(tmp_path / "l" / "train.parquet") == [only]
    assert made["left_out"] == {"no_item_text": 3}
    made = export(data, tmp_path / "a", "triplet", anchor_text=option)
    assert made["left_out"] == {"no_anchor_text": 3}
    assert made["notes"] == ["no row of pairwise could be written: there is no file"]


def test_texts_are_found_by_what_the_ids_say_whatever_their_type(tmp_path):
    pq.write_table(pa.table({"id": ["a", "1"], "text": ["A", "one"]}), tmp_path / "names.parquet")
    pq.write_table(
        pa.table({"id": pa.array([1], pa.int32()), "text": ["one"]}), tmp_path / "n.parquet"
    )
    texts = read_texts(f"{tmp_path}/names.parquet:id:text", "--item-text")
    assert texts.of(pa.array([1, 2])).to_pylist() == ["one", None]
    assert texts.of(pa.array(["1", "a", None])).to_pylist() == ["one", "A", None]
    numbers = read_texts(f"{tmp_path}/n.parquet:id:text", "--item-text")
    assert numbers.of(pa.array(["1", "01"])).to_pylist() == ["one", None]


@pytest.mark.parametrize(
    ("spec", "error", "told"),
    [
        ("items.parquet", ConfigError, "is not FILE:ID_COLUMN:TEXT_COLUMN"),
        ("none.parquet:item:title", PlaceError, "is not a file"),
        ("items.parquet:item:name", ConfigError, "has no column name"),
        ("twice.parquet:item:title", InputError, "are not distinct"),
        ("broken.parquet:item:title", InputError, "cannot be read as Parquet"),
    ],
)
def test_a_table_of_texts_that_does_not_fit_is_told(tmp_path, monkeypatch, spec, error, told):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"item": [1], "title": ["a"]}), "items.parquet")
    pq.write_table(pa.table({"item": [1, 1], "title": ["a", "b"]}), "twice.parquet")
    (tmp_path / "broken.parquet").write_text("no Parquet")
    data = data_set(tmp_path / "data", {"pairwise": pairs(1, 10, 1)})
    with pytest.raises(error, match=told):
        export(data, tmp_path / "out", "triplet", item_text=spec)


def test_ids_with_tabs_quotes_and_line_breaks_come_back_as_they_were(tmp_path):
    odd = ['a\tb\n"c"', "1", "007", " ", "\u96ea"]
    data = data_set(
        tmp_path / "data", {"pairwise": pairs("r", odd[0], *odd[1:], user_id="u")}, ids=TEXT
    )
    export(data, tmp_path / "out", "triplet")
    rows = rows_of(tmp_path / "out" / "train.parquet")
    assert [row["positive"] for row in rows] == [odd[0]] * 4
    assert [row["negative"] for row in rows] == odd[1:]


@pytest.mark.parametrize("kind", ["triplet", "n-tuple", "n-tuple-scores", "labeled-list"])
def test_an_empty_table_makes_no_file_and_says_so(tmp_path, kind):
    data = data_set(tmp_path / "data", {"pairwise": []})
    options = {"num_negatives": 2} if kind.startswith("n-") else {}
    made = export(data, tmp_path / "out", kind, **options)
    assert made["files"] == []
    assert made["notes"] == ["no row of pairwise could be written: there is no file"]


def test_tuples_without_their_size_are_refused(tmp_path):
    data = data_set(tmp_path / "data", {"pairwise": pairs(1, 10, 1)})
    with pytest.raises(ConfigError, match="--num-negatives is missing"):
        export(data, tmp_path / "out", "n-tuple")


@given(st.lists(st.integers(0, 20), max_size=8), st.integers(1, 6))
def test_dealing_uses_each_row_once_and_only_for_its_positive(sizes, num):
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    index, num_short, num_over = deal(starts, num)
    assert index.shape == (sum(size // num for size in sizes), num)
    assert len(np.unique(index)) == index.size
    of = np.searchsorted(starts, index, side="right")
    assert (of == of[:, :1]).all()
    assert num_short == sum(size for size in sizes if size < num)
    assert index.size + num_short + num_over == sum(sizes)


@given(st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=5))
def test_rows_of_a_positive_stand_together_in_the_order_of_its_first(requests):
    positive = [p for request in requests for p in request]
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in requests])]).astype(np.int64)
    row = pa.array(np.arange(len(positive)))
    rows = pa.RecordBatch.from_pydict({"positive": pa.array(positive, pa.int64()), "row": row})
    found, starts = by_positive(rows, offsets)
    expected = [
        [int(offsets[r]) + i for i, p in enumerate(request) if p == wanted]
        for r, request in enumerate(requests)
        for wanted in dict.fromkeys(request)
    ]
    order = found["row"].to_pylist()
    assert [order[a:b] for a, b in pairwise(starts)] == expected


def test_datasets_reads_every_shape_with_its_splits(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = library("datasets")
    rows = pairs(1, 10, 1, 2, margin=1.0) + pairs(2, 11, 3, 4, margin=0.5, split="valid")
    data = data_set(tmp_path / "data", {"pairwise": rows})
    shapes = {
        "triplet": ["anchor", "positive", "negative"],
        "n-tuple": ["anchor", "positive", "negative_1", "negative_2"],
        "n-tuple-scores": ["anchor", "positive", "negative_1", "negative_2", "score"],
        "labeled-list": ["anchor", "docs", "labels"],
    }
    for kind, columns in shapes.items():
        options = {"num_negatives": 2} if kind.startswith("n-") else {}
        export(data, tmp_path / kind, kind, **options)
        read = datasets.load_dataset(
            "parquet", data_dir=str(tmp_path / kind), cache_dir=str(tmp_path / "cache")
        )
        assert {split: part.column_names for split, part in read.items()} == {
            "train": columns,
            "validation": columns,
        }
        assert read["validation"][0]["anchor"] == "7"
