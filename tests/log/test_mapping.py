"""What a mapping can say, and what is said where it cannot hold."""

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from rankdistill.log.source import Column, Condition, StageFromFlags
from tests.log.door_kit import ROW, faults, read, read_log


def test_nested_paths_constants_and_one_column_for_two(tmp_path):
    row = {**ROW, "user": {"id": 7, "geo": {"city": "x"}}}
    columns = {
        "user_id": "user.id",
        "prerank_score": "k",
        "request": {"city": "user.geo.city", "scene": {"constant": "feed"}},
        "item": {"category": {"constant": 3}},
    }
    (item,), requests, _ = read(tmp_path, [row], columns)
    assert (item["rank"], item["prerank_score"], item["category"]) == (1, 1.0, 3)
    assert (requests["a"]["user_id"], requests["a"]["city"], requests["a"]["scene"]) == (
        7,
        "x",
        "feed",
    )


@pytest.mark.parametrize(
    "name", ["a.b", 'q"q', "b`t", "x) or 1=1 --", "select", "*", "é", " ", "o'k"]
)
def test_any_name_can_be_mapped(tmp_path, name):
    source = pa.table({"r": ["a"], name: ["x"], "k": [1]})
    (item,), _, _ = read(tmp_path, source, {"item_id": {"name": name}})
    assert item["item_id"] == "x"
    (error,) = faults(tmp_path, pa.table({"r": ["a"], "k": [1]}), {"item_id": {"name": name}})
    assert error.code == "E0102"


def test_a_hash_of_several_columns_is_a_key(tmp_path):
    rows = [
        {**ROW, "u": u, "v": v, "i": i} for i, (u, v) in enumerate([(1, "x"), (1, "y"), (1, "x")])
    ]
    rows += [{**ROW, "u": None, "v": "x", "i": 5}, {**ROW, "u": None, "v": None, "i": 6}]
    columns = {"request_id": {"hash_of": ["u", "v"]}, "user_id": {"hash_of": ["u", "v"]}}
    _, requests, counts = read(tmp_path, rows, columns)
    assert sorted(len(row["items"]) for row in requests.values()) == [1, 2]
    assert counts["rejected.request_id_missing"] == 2  # a key of which a part is null is no key
    del columns["request_id"]
    _, requests, counts = read(tmp_path, [{**r, "r": str(r["i"])} for r in rows], columns)
    assert counts == {**counts, "rejected.user_id_missing": 1, "requests_used": 4}


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (1_790_000_000, "s"),
        (1_790_000_000.0, "s"),
        (1_790_000_000_000, "ms"),
        (1_790_000_000_000_000, "us"),
        (1_790_000_000_000_000_001, "ns"),
        ("1790000000", "s"),
        ("2026-09-21T14:13:20Z", None),
        ("2026-09-21 22:13:20+08:00", None),
        ("2026-09-21 14:13:20", None),
        (datetime.datetime(2026, 9, 21, 14, 13, 20), None),
        (datetime.datetime(2026, 9, 21, 14, 13, 20, tzinfo=datetime.UTC), None),
    ],
)
def test_a_time_of_any_make_is_the_same_moment(tmp_path, value, unit):
    columns = {"request_time": {"column": "t", "unit": unit}}
    _, requests, _ = read(tmp_path, [{**ROW, "t": value}], columns)
    moment = datetime.datetime(2026, 9, 21, 14, 13, 20, tzinfo=datetime.UTC)
    assert requests["a"]["request_time"] == moment
    assert requests["a"]["dt"] == "2026-09-21"


def test_a_date_is_its_midnight_and_an_unreadable_time_sets_the_row_aside(tmp_path):
    columns = {"request_time": "t"}
    _, requests, _ = read(tmp_path, [{**ROW, "t": datetime.date(2026, 9, 21)}], columns)
    assert requests["a"]["request_time"].isoformat() == "2026-09-21T00:00:00+00:00"
    rows = [{**ROW, "r": t, "t": t} for t in ("2026-09-21", "2026-02-30", "soon")]
    rows += [{**ROW, "r": "none", "t": None}, {**ROW, "r": "blank", "t": " "}]
    _, requests, counts = read(tmp_path, rows, columns)
    assert set(requests) == {"2026-09-21"}
    assert counts["rejected.value_unreadable"] == 2
    assert counts["rejected.request_time_missing"] == 2


def test_the_furthest_flag_names_the_stage_and_substage(tmp_path):
    flags = {"exposed": "show", "ranked": ["win", "lose"], "preranked": ["coarse", "pre"]}
    names = ["show", "win", "lose", "coarse", "pre"]
    sets = {
        "s": {"show", "win", "pre"},
        "l": {"lose", "coarse"},
        "c": {"coarse"},
        "p": {"pre"},
        "n": set(),
    }
    rows = [
        {**ROW, "i": i, "k": None, **{n: int(n in on) for n in names}} for i, on in sets.items()
    ]
    rule = {"from": "flags", "flags": flags, "substages": {"coarse": 2, "pre": 1}}
    rows = pa.Table.from_pylist(
        rows,
        pa.schema(
            {"r": pa.string(), "i": pa.string(), "k": pa.int32(), **{n: pa.int8() for n in names}}
        ),
    )
    found, _, counts = read(tmp_path, rows, stage=rule)
    assert {c["item_id"]: (c["stage"], c["substage"]) for c in found} == {
        "s": (5, None),
        "l": (3, None),
        "c": (2, 2),
        "p": (2, 1),
    }
    assert counts["rejected.stage_unknown"] == 1


def test_flags_in_text_files_are_numbers_or_true_and_false(tmp_path):
    (tmp_path / "log.csv").write_text("r,i,show\na,1,true\na,2,0\na,3,1\na,4,maybe\n")
    rule = {"from": "flags", "flags": {"exposed": "show"}}
    columns = {"request_id": "r", "item_id": "i", "teacher_score": {"constant": 0.0}}
    log = {"path": str(tmp_path / "log.csv"), "format": "csv", "columns": columns, "stage": rule}
    requests, counts = read_log(log)
    assert [c["item_id"] for c in requests["a"]["items"]] == ["1", "3"]
    assert counts["rejected.stage_unknown"] == counts["rejected.value_unreadable"] == 1


def test_a_value_map_presence_and_a_constant_name_the_stage(tmp_path):
    rows = [{**ROW, "i": i, "st": st} for i, st in enumerate([1, 2, 3])]
    rule = {"from": "column", "column": "st", "values": {"1": "ranked", "2": "exposed"}}
    found, _, counts = read(tmp_path, rows, stage=rule)
    assert [c["stage"] for c in found] == [3, 5]
    assert counts["rejected.stage_unknown"] == 1
    found, _, _ = read(tmp_path, rows, stage={"from": "constant", "stage": "reranked"})
    assert {c["stage"] for c in found} == {4}
    present = [
        {**ROW, "i": i, "k": k, "p": p}
        for i, (k, p) in enumerate([(1, 1), (2, None), (None, None)])
    ]
    found, _, _ = read(tmp_path, present, {"position": "p"})
    assert [c["stage"] for c in found] == [5, 3, 1]


def test_feedback_of_items_that_were_not_exposed_is_null_and_counted(tmp_path):
    rows = [{**ROW, "i": i, "k": i, "p": p, "click": 1} for i, p in ((1, 1), (2, None))]
    found, _, counts = read(tmp_path, rows, {"position": "p", "feedback": ["click"]})
    assert [c["click"] for c in found] == [1, None]
    assert counts["feedback_without_exposure"] == 1


def test_a_typo_suggests_the_right_column_and_all_faults_are_told_together(tmp_path):
    columns = {"rank": "rnak", "user_id": "user.nme", "teacher_score": "i", "item": ["colour"]}
    row = {**ROW, "rank": 1, "user": {"name": "u"}}
    told = {e.message: (e.code, e.help) for e in faults(tmp_path, [row], columns)}
    assert [code for code, _ in told.values()] == ["E0102", "E0102", "E0304", "E0102"]
    text = json.dumps(list(told.items()))
    for said in (
        "log.columns.rank=rank",
        "user.name",
        "log.columns.item.colour",
        "must be a number",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("feedback", "help"),
    [
        (
            ["clik", "like"],
            """did you mean "click"?   --set 'log.columns.feedback=["click", "like"]'""",
        ),
        (
            ["zzz"],
            "name columns that are there, or leave zzz out of log.columns.feedback",
        ),
        ({"clik": "clik", "x": "like"}, 'did you mean "click"? rename it in log.columns.feedback'),
        ({"press": "clik"}, 'did you mean "click"?   --set log.columns.feedback.press=click'),
    ],
    ids=str,
)
def test_a_typo_in_a_list_of_names_is_not_kept_as_a_name(tmp_path, feedback, help):
    row = {**ROW, "click": 1, "like": 0}
    (error,) = faults(tmp_path, [row], {"feedback": feedback})
    assert (error.code, error.help) == ("E0102", help)


@pytest.mark.parametrize(
    ("columns", "more", "code", "key"),
    [
        ({"request_id": {"constant": 1}}, {}, "E0104", "log.columns.request_id"),
        ({"user_id": {"constant": 1.5}}, {}, "E0104", "log.columns.user_id"),
        ({"request_time": {"constant": 5}}, {}, "E0104", "log.columns.request_time"),
        ({"request_time": "k"}, {}, "E0304", "log.columns.request_time"),
        ({"item": {"rank": "i"}}, {}, "E0103", "log.columns.item.rank"),
        ({"feedback": {"stage": "k"}}, {}, "E0103", "log.columns.feedback.stage"),
        ({}, {"teacher_order": "position"}, "E0105", "log.columns.position"),
        ({"rank": None}, {}, "E0105", "log.teacher_order"),
        ({}, {"response": {"clik": 1}}, "E0102", "log.response"),
        ({}, {"layout": "lists"}, "E0304", "log.columns.item_id"),
        ({}, {"stage": {"from": "flags", "flags": {"exposed": "r"}}}, "E0304", "log.stage.flags"),
    ],
)
def test_what_a_mapping_cannot_hold_is_told_by_its_key(tmp_path, columns, more, code, key):
    errors = faults(tmp_path, [ROW], columns, **more)
    assert errors[0].code == code and key in errors[0].message


def test_an_own_name_can_be_left_out(tmp_path):
    row = {**ROW, "position": "top"}
    (error,) = faults(tmp_path, [row])
    assert error.code == "E0304" and "--set log.columns.position=null" in error.help
    assert read(tmp_path, [row], {"position": None})[2]["rows_used"] == 1


def test_a_cure_that_is_told_for_a_wrong_type_works(tmp_path):
    row = {**ROW, "click": "yes", "t": 1_795_000_000}
    (error,) = faults(tmp_path, [row], {"feedback": ["click"]})
    assert error.help.endswith("or take it out of log.columns.feedback")
    (error,) = faults(tmp_path, [row], {"request_time": "t"})
    cure = "'log.columns.request_time={column: t, unit: s}'"
    assert error.help == f"--set {cure}, if it counts seconds"
    told = yaml.safe_load(cure.strip("'").split("=", 1)[1])
    assert read(tmp_path, [row], {"request_time": told})[2]["rows_used"] == 1


def test_a_column_of_the_null_type_is_a_column_of_nulls(tmp_path):
    rows = pa.table({"r": ["a", "a"], "i": ["1", "2"], "k": [1, 2], "p": [None, None]})
    for nulls in (
        {"position": "p"},
        {"feedback": {"click": "p"}},
        {"item": {"tag": "p"}},
        {"request": {"tag": "p"}},
    ):
        columns = {"request_id": "r", "item_id": "i", "rank": "k", **nulls}
        assert read(tmp_path, rows, columns)[2]["rows_used"] == 2
    for nulls in ({"user_id": "p"}, {"request_time": "p"}, {"dt": "p"}):
        columns = {"request_id": "r", "item_id": "i", "rank": "k", **nulls}
        assert read(tmp_path, rows, columns)[2]["rows_used"] == 0


def test_feedback_keys_that_never_meet_are_refused(tmp_path):
    other = pa.table({"r": [1], "i": ["x"], "click": [1]})
    pq.write_table(other, tmp_path / "f.parquet")
    mapped = {"request_id": "r", "item_id": "i", "feedback": ["click"]}
    feedback = {"path": str(tmp_path / "f.parquet"), "columns": mapped}
    (error,) = faults(tmp_path, [ROW], feedback=feedback)
    assert error.code == "E0304" and "log.feedback.columns.request_id" in error.message
    twice = faults(
        tmp_path, [{**ROW, "r": 1, "click": 1}], {"feedback": ["click"]}, feedback=feedback
    )
    assert [e.code for e in twice] == ["E0103"]


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (Column, {}, "exactly one"),
        (Column, {"column": "a", "constant": 1}, "column, constant"),
        (Column, {"hash_of": []}, "at least one"),
        (Condition, {"column": "a", "op": "in", "value": 1}, "takes values"),
        (Condition, {"column": "a", "op": "is_null", "value": 1}, "takes no value"),
        (StageFromFlags, {"flags": {}}, "names no column"),
        (StageFromFlags, {"flags": {"exposed": "a"}, "substages": {"b": 1}}, "known are a"),
    ],
)
def test_options_that_contradict_themselves_say_why(model, options, said):
    with pytest.raises(ValidationError, match=said):
        model(**options)
