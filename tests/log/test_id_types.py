"""`as`: ids that one table holds as text and another as numbers."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.log.door_kit import ROW, faults, read, read_log

TEXT = ["7", "007", " 7 ", "-0", "x", "1.5", "0x1F", "1_0", "+7", "7\n", str(2**63 - 1), str(2**63)]
UNREADABLE = 7  # x to the line end, and what lies beyond int64


def by(column, read_as):
    return {"column": column, "as": read_as}


def test_text_that_is_a_whole_number_is_an_id_and_the_rest_is_unreadable(tmp_path):
    rows = [{**ROW, "r": str(n), "i": text} for n, text in enumerate([*TEXT, "", " ", None])]
    items, _, counts = read(tmp_path, rows, {"item_id": by("i", "int")})
    assert sorted(item["item_id"] for item in items) == [0, 7, 7, 7, 2**63 - 1]
    assert counts["rejected.value_unreadable"] == UNREADABLE
    assert counts["rejected.item_id_missing"] == 3


def test_requests_are_told_apart_by_what_their_ids_are_read_as(tmp_path):
    rows = [{**ROW, "r": text, "i": str(n)} for n, text in enumerate([*TEXT, "", None])]
    _, requests, counts = read(tmp_path, rows, {"request_id": by("r", "int")})
    assert {key: len(row["items"]) for key, row in requests.items()} == {7: 3, 0: 1, 2**63 - 1: 1}
    assert counts["rejected.value_unreadable"] == UNREADABLE
    assert counts["rejected.request_id_missing"] == 2
    _, requests, _ = read(tmp_path, rows, {"request_id": by("r", "text")})
    assert set(requests) == set(TEXT)


def test_users_are_compared_as_what_they_are_read_as(tmp_path):
    rows = [{**ROW, "i": n, "u": text} for n, text in enumerate(["7", "007", "seven"])]
    _, requests, counts = read(tmp_path, rows, {"user_id": by("u", "int")})
    assert requests["a"]["user_id"] == 7
    assert counts["rejected.value_unreadable"] == 1 and "rejected.request_conflict" not in counts
    assert read(tmp_path, rows, {"user_id": "u"})[2]["rejected.request_conflict"] == 3


@pytest.mark.parametrize(
    ("values", "read_as", "expected"),
    [
        (pa.array([7, -1], pa.int32()), "int", [7, -1]),
        (pa.array([7, -1], pa.int32()), "text", ["7", "-1"]),
        (pa.array([7, 2**64 - 1], pa.uint64()), "int", [7]),
        (pa.array([7, 2**64 - 1], pa.uint64()), "text", ["7", str(2**64 - 1)]),
        (pa.array([7.0, 1.5, 2.0**53, float("nan"), float("inf")]), "int", [7]),
        (pa.array(["7"]).dictionary_encode(), "int", [7]),
    ],
)
def test_numbers_are_ids_of_the_type_asked_for(tmp_path, values, read_as, expected):
    size = len(values)
    source = pa.table({"r": values, "i": values, "k": list(range(1, size + 1))})
    columns = {"request_id": by("r", read_as), "item_id": by("i", read_as)}
    items, requests, counts = read(tmp_path, source, columns)
    assert sorted(map(str, requests)) == sorted(map(str, expected))
    assert {type(key) for key in requests} == {type(expected[0])}
    assert [type(item["item_id"]) for item in items] == [type(expected[0])] * len(expected)
    assert counts["rejected.value_unreadable"] == size - len(expected)


def test_a_lists_log_reads_its_ids_too_and_finds_those_that_are_then_repeated(tmp_path):
    rows = [{"r": "7", "i": ["1", "02", "x"]}, {"r": "8", "i": ["1"]}, {"r": "008", "i": ["2"]}]
    columns = {"request_id": by("r", "int"), "item_id": by("i", "int"), "rank": None}
    more = {"layout": "lists", "teacher_order": "list_order"}
    _, requests, counts = read(tmp_path, rows, columns, **more)
    assert [item["item_id"] for item in requests.pop(7)["items"]] == [1, 2] and not requests
    assert counts["rejected.value_unreadable"] == 1
    assert counts["requests.request_repeated"] == 2


LIKES = "r,i,like\n7,1,1\n007,02,1\nx,1,1\n8,x,1\n9,1,1\n,1,1\n"


@pytest.mark.parametrize("layout", ["rows", "lists"])
def test_a_csv_of_feedback_meets_a_log_of_numbers(tmp_path, layout):
    (tmp_path / "likes.csv").write_text(LIKES)
    columns = {"request_id": by("r", "int"), "item_id": by("i", "int"), "feedback": ["like"]}
    feedback = {"path": str(tmp_path / "likes.csv"), "format": "csv", "columns": columns}
    rows = pa.table({"r": [7, 7, 8], "i": [1, 2, 1], "k": [1, 2, 1]})
    if layout == "lists":
        rows = pa.table({"r": [7, 8], "i": [[1, 2], [1]], "k": [[1, 2], [1]]})
    _, requests, counts = read(tmp_path, rows, feedback=feedback, layout=layout)
    likes = {key: [item["like"] for item in row["items"]] for key, row in requests.items()}
    assert likes == {7: [1, 1], 8: [None]}
    fates = {name: number for name, number in counts.items() if name.startswith("feedback.")}
    assert fates == {
        "feedback.rows_in": 6,
        "feedback.joined": 2,
        "feedback.value_unreadable": 2,
        "feedback.without_request": 2,
    }


def test_a_log_of_numbers_can_meet_a_table_of_text_as_text(tmp_path):
    pq.write_table(pa.table({"r": ["7", "007"], "i": ["1", "1"], "like": [1, 1]}), tmp_path / "f")
    own = {"request_id": "r", "item_id": "i", "feedback": ["like"]}
    feedback = {"path": str(tmp_path / "f"), "columns": own}
    columns = {"request_id": by("r", "text"), "item_id": by("i", "text")}
    _, requests, counts = read(tmp_path, [{"r": 7, "i": 1, "k": 1}], columns, feedback=feedback)
    assert list(requests) == ["7"] and requests["7"]["items"][0]["like"] == 1
    assert counts["feedback.joined"] == counts["feedback.without_request"] == 1
    beyond = pa.table({"r": pa.array([7, 2**64 - 1], pa.uint64()), "i": ["1", "1"], "k": [1, 1]})
    assert read(tmp_path, beyond, feedback=feedback)[2]["feedback.joined"] == 1


def test_ids_that_never_meet_are_told_how_to(tmp_path):
    pq.write_table(pa.table({"r": ["7"], "i": ["1"], "like": [1]}), tmp_path / "f")
    own = {"request_id": "r", "item_id": "i", "feedback": ["like"]}
    feedback = {"path": str(tmp_path / "f"), "columns": own}
    errors = faults(tmp_path, [{"r": 7, "i": 1, "k": 1}], feedback=feedback)
    assert [e.code for e in errors] == ["E0304", "E0304"]
    assert '--set log.feedback.columns.item_id={column: "i", as: int}' in errors[1].help


def test_as_is_for_ids_alone(tmp_path):
    (error,) = faults(tmp_path, [ROW], {"rank": by("k", "int")})
    assert error.code == "E0105" and "log.columns.rank" in error.message
    (error,) = faults(tmp_path, [{**ROW, "i": 1.0}])
    assert error.code == "E0304" and "as: int" in error.message


def test_rejected_rows_are_kept_as_the_log_has_them(tmp_path):
    (tmp_path / "log.csv").write_text("r,i,k\n7,1,1\nseven,1,1\n")
    columns = {"request_id": by("r", "int"), "item_id": "i", "rank": "k"}
    log = {"path": str(tmp_path / "log.csv"), "format": "csv", "columns": columns}
    requests, counts = read_log(log)
    assert list(requests) == [7] and counts["rejected.value_unreadable"] == 1
