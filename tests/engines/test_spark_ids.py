"""Ids that are read `as` numbers or text come out alike on both engines."""

import json

import engine_kit as kit
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]
TEXT = ["7", "007", " 7 ", "\t8", "x", "1.5", "0x1F", "1_0", "+7", "7\n", "\u00a07", "", None]
TEXT += ["-0", str(2**63 - 1), str(2**63), "0" * 30 + "9", "-007"]


def by(column, read_as):
    return {"column": column, "as": read_as}


def odd_ids() -> pa.Table:
    columns = {
        "request_id": [text for text in TEXT for _ in TEXT],
        "item_id": [text for _ in TEXT for text in TEXT],
        "user_id": [1.0] * (len(TEXT) ** 2 - 2) + [1.5, None],
        "rank": [n % 7 + 1 for n in range(len(TEXT) ** 2)],
    }
    return pa.table(columns)


def test_odd_ids_of_a_rows_log_come_out_alike(tmp_path):
    pq.write_table(odd_ids(), tmp_path / "log.parquet")
    columns = {name: by(name, "int") for name in ("request_id", "item_id", "user_id")}
    log = {"path": str(tmp_path / "log.parquet"), "columns": columns}
    found = json.loads(kit.assert_alike(log, tmp_path)["door"])
    assert found["rejected.value_unreadable"] > 0 and found["requests_used"] == 6


@pytest.mark.parametrize(
    ("kind", "read_as"),
    [
        (pa.float64(), "int"),
        (pa.uint64(), "int"),
        (pa.uint64(), "text"),
        (pa.int32(), "text"),
    ],
)
def test_request_ids_of_other_numbers_come_out_alike(tmp_path, kind, read_as):
    request = pa.array([1, 1, 2, 3, 2**30, None]).cast(kind)
    table = pa.table({"r": request, "i": [1, 2, 1, 1, 1, 1], "k": [1, 2, 1, 1, 1, 1]})
    pq.write_table(table, tmp_path / "log.parquet")
    columns = {"request_id": by("r", read_as), "item_id": by("i", "text"), "rank": "k"}
    kit.assert_alike({"path": str(tmp_path / "log.parquet"), "columns": columns}, tmp_path)


@pytest.mark.parametrize("layout", ["rows", "lists"])
def test_feedback_in_text_meets_a_log_of_numbers_alike(tmp_path, layout):
    (tmp_path / "likes.csv").write_text("r,i,like\n7,1,1\n007,02,1\nx,1,1\n8,x,1\n9,1,1\n,1,1\n")
    own = {"request_id": by("r", "int"), "item_id": by("i", "int"), "feedback": ["like"]}
    rows = {"request_id": [7, 7, 8], "item_id": [1, 2, 1], "rank": [1, 2, 1]}
    if layout == "lists":
        rows = {"request_id": [7, 8], "item_id": [[1, 2], [1]], "rank": [[1, 2], [1]]}
    pq.write_table(pa.table(rows), tmp_path / "log.parquet")
    feedback = {"path": str(tmp_path / "likes.csv"), "format": "csv", "columns": own}
    log = {"path": str(tmp_path / "log.parquet"), "layout": layout, "feedback": feedback}
    found = json.loads(kit.assert_alike(log, tmp_path)["door"])
    assert found["feedback.joined"] == 2 and found["feedback.value_unreadable"] == 2


def test_repeated_requests_of_a_lists_log_come_out_alike(tmp_path):
    ids = ["7", "8", "008", "x", "x", None]
    table = pa.table({"request_id": ids, "item_id": [["1", "02", "x"]] * len(ids)})
    pq.write_table(table, tmp_path / "log.parquet")
    columns = {name: by(name, "int") for name in ("request_id", "item_id")}
    log = {"path": str(tmp_path / "log.parquet"), "layout": "lists", "columns": columns}
    found = json.loads(kit.assert_alike(log | {"teacher_order": "list_order"}, tmp_path)["door"])
    assert found["requests.request_repeated"] == 2
    assert found["requests.value_unreadable"] == 2
