"""Odd rows at the door: ids, scores, duplicates, ties, lists that are torn or long."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.log.door_kit import KEYS, ROW, admitted, faults, read, read_log

IDS = [
    "0",
    "007",
    "7",
    "x" * 10_240,
    " ",
    "-1",
    "1e3",
    "\U0001f600",
    "\u202eabc",
    "e\u0301",
    "\xe9",
    "a\x00b",
    "\u200b",
    "=cmd()",
    "<script>",
]


def test_text_ids_are_kept_as_given(tmp_path):
    rows = [{**ROW, "r": text, "i": text} for text in IDS]
    found, requests, _ = read(tmp_path, rows)
    assert set(requests) == set(IDS)
    assert [c["item_id"] for c in found] == sorted(IDS, key=str.encode)


@pytest.mark.parametrize(
    ("ids", "kind"),
    [([2**63 - 1, -5, 0], pa.int64()), ([2**64 - 1, 1], pa.uint64()), ([200], pa.uint8())],
)
def test_integer_ids_are_exact(tmp_path, ids, kind):
    source = pa.table({"r": pa.array(ids, kind), "i": pa.array(ids, kind), "k": [1] * len(ids)})
    _, requests, _ = read(tmp_path, source)
    assert set(map(int, requests)) == set(ids)
    assert all(isinstance(key, str) == (kind == pa.uint64()) for key in requests)


def test_ids_of_other_types_are_refused(tmp_path):
    for kind in (pa.float64(), pa.bool_(), pa.binary()):
        source = pa.table({"r": pa.array([None], kind), "i": ["x"], "k": [1]})
        (error,) = faults(tmp_path, source)
        assert error.code == "E0304" and "log.columns.request_id" in error.message


def test_a_long_list_is_cut_and_the_tail_is_counted():
    source = pa.table(
        {
            "request_id": ["a"] * 100_000,
            "item_id": list(range(100_000)),
            "rank": list(range(1, 100_001)),
        }
    )
    found = admitted(source, {"max_candidates": 10})
    assert found.lists.candidates["item_id"].to_pylist() == list(range(10))
    assert found.counts["rejected.over_max_candidates"] == 99_990


def test_lists_of_no_element_or_of_unequal_length_or_with_a_null():
    source = pa.table(
        {
            "request_id": ["ok", "empty", "null", "unequal", "hole", "one"],
            "item_id": [["x", "y"], [], None, ["x", "y"], ["x", None], ["x"]],
            "rank": [[2, 1], [], None, [1], [1, 2], [1]],
        }
    )
    found = admitted(source, {"layout": "lists"})
    assert found.lists.requests["request_id"].to_pylist() == ["ok", "one"]
    assert found.counts == {
        **{"rows_in": 7, "rows_used": 3, "requests_in": 6, "requests_used": 2, "rank_one": 4},
        **{"rejected.list_lengths_differ": 2, "rejected.list_null_element": 2},
        **{
            "requests.list_lengths_differ": 1,
            "requests.list_null_element": 1,
            "requests.list_empty": 2,
        },
    }


def test_request_ids_that_occur_twice_are_found_whatever_batch_they_are_in(tmp_path):
    source = pa.table({"r": ["a", "b", "a"], "i": [["x"], ["y"], ["z"]], "k": [[1], [1], [1]]})
    engine = {"kind": "duckdb", "batch_rows": 1}
    pq.write_table(source, tmp_path / "log.parquet")
    log = {"path": str(tmp_path / "log.parquet"), "columns": KEYS, "layout": "lists"}
    requests, counts = read_log(log, engine=engine)
    assert set(requests) == {"b"} and counts["rejected.request_repeated"] == 2


def test_request_columns_may_be_nan_or_lists_and_conflict_where_they_differ(tmp_path):
    rows = [{**ROW, "i": i, "f": float("nan"), "h": [1, 2]} for i in ("x", "y")]
    _, requests, _ = read(tmp_path, rows, {"request": ["f", "h"]})
    assert requests["a"]["h"] == [1, 2]
    rows[1]["h"] = [2, 1]
    _, _, counts = read(tmp_path, rows, {"request": ["f", "h"]})
    assert counts["rejected.request_conflict"] == 2


def test_scores_that_are_no_numbers_set_the_row_aside_and_others_stay_exact(tmp_path):
    values = [math.nan, math.inf, -math.inf, None, -0.0, 1e308, 5e-324, -3.5]
    rows = [{**ROW, "i": i, "s": value} for i, value in enumerate(values)]
    found, _, counts = read(tmp_path, rows, {"teacher_score": "s"})
    assert [repr(c["teacher_score"]) for c in found] == ["-0.0", "1e+308", "5e-324", "-3.5"]
    reasons = {"score_nan": 1, "score_infinite": 2, "score_null": 1}
    assert counts == {**counts, **{f"rejected.{name}": n for name, n in reasons.items()}}
    found, _, counts = read(tmp_path, [{**ROW, "k": None, "s": None}], {"teacher_score": "s"})
    assert counts["rows_used"] == 1  # nothing says that the fine ranker saw it


def test_of_duplicates_the_furthest_then_best_scored_then_best_ranked_is_used(tmp_path):
    base = {**ROW, "k": 3, "s": 1.0, "p": None}
    rows = {
        "equal": [base, base],
        "stage": [base, {**base, "p": 2, "s": 0.5}],
        "score": [base, {**base, "s": 2.0, "k": 9}],
        "rank": [base, {**base, "k": 2}],
    }
    flat = [{**row, "i": name} for name, pair in rows.items() for row in pair]
    columns = {"teacher_score": "s", "position": "p"}
    found, _, counts = read(tmp_path, flat, columns)
    kept = {c["item_id"]: (c["rank"], c["teacher_score"], c["position"]) for c in found}
    assert kept == {
        "equal": (3, 1.0, None),
        "stage": (3, 0.5, 2),
        "score": (9, 2.0, None),
        "rank": (2, 1.0, None),
    }
    assert (counts["rejected.duplicate_equal"], counts["rejected.duplicate_differing"]) == (1, 3)


def test_tied_scores_are_ordered_by_rank_then_item(tmp_path):
    rows = [{**ROW, "i": i, "k": k, "s": 1.0} for i, k in (("b", 2), ("a", 2), ("c", 1))]
    found, _, _ = read(tmp_path, rows, {"teacher_score": "s"}, teacher_order="score")
    assert [c["item_id"] for c in found] == ["c", "a", "b"]


def test_ranks_from_0_become_ranks_from_1_and_ranks_below_are_set_aside(tmp_path):
    rows = [{**ROW, "i": i, "k": k} for i, k in enumerate([0, 1, -1])]
    found, _, counts = read(tmp_path, rows, rank_base=0)
    assert [c["rank"] for c in found] == [1, 2]
    assert counts["rejected.rank_below_base"] == 1
