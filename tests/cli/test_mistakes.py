"""What a mistake in a command, a config or a log is answered with."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_kit import CONFIG, listing, run, simulate


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        (("[click]", "{clicks: clik}"), 2, "feed.yaml:4:32"),
        (
            ("stage}\n", 'stage}\n  where: [{column: stage, op: "=", value: 3}]\n'),
            2,
            "feed.yaml:6:",
        ),
        (("[click]", "{weight: click}"), 2, 'the name "weight"'),
        (("output: feed", "output: sim"), 4, "error[E0202]"),
        (("output: feed", "student: pre"), 2, "output is missing"),
    ],
)
def test_a_mistake_has_its_exit_code_and_says_where_and_what_to_do(place, changes, code, told):
    before = listing(".")
    Path("feed.yaml").write_text(CONFIG.replace(*changes))
    result = run("build", "--config", "feed.yaml", code=code)
    assert told in result.stderr
    assert result.stdout == ""
    assert {k: v for k, v in listing(".").items() if k != "feed.yaml"} == {
        k: v for k, v in before.items() if k != "feed.yaml"
    }


SCENES = "--set=log.columns.request={scene: scene}"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("scen", 'did you mean "scene"?'),
        ("item_id", "no column of requests is called so"),
        ("request_id", "each request has its own"),
        ("user_id", "each user has its own"),
    ],
)
def test_a_column_that_makes_no_segments_is_told_before_a_row_is_read(built, name, told):
    wrong = (SCENES, f"--set=quality.segments=[scene, {name}]")
    before = listing("feed")
    for verb in (("build",), ("build", "--force"), ("plan",), ("validate",)):
        shown = run(*verb, "-c", "feed.yaml", *wrong, code=2).stderr
        assert f"error[E0102]: quality.segments: {name} makes no segments" in shown
        assert told in shown and "known are " in shown
    assert listing("feed") == before


def test_a_segment_column_of_too_many_values_is_told(place):
    many = ("--set=log.columns.request={twin: request_id}", "--set=quality.segments=[twin]")
    few = run("build", "-c", "feed.yaml", *many)
    assert "has over" not in few.stderr
    assert {s["segment"][:5] for m in _measures() for s in m["segments"]} == {"twin="}
    simulate("more", num_requests=210)
    shown = run("build", "-c", "feed.yaml", "--path", "more/log", "--output", "other", *many).stderr
    assert "warning: quality.segments: twin has over 200 values, so nothing is told by it" in shown


def _measures():
    return json.loads(Path("feed/metrics.json").read_text())["measures"]


def test_an_empty_log_is_an_input_fault_and_leaves_a_result(place):
    empty = pq.read_table(sorted(Path("sim/log").rglob("*.parquet"))[0]).slice(0, 0)
    pq.write_table(empty, "empty.parquet")
    result = run("build", "-c", "feed.yaml", "--path", "empty.parquet", "--result=r.json", code=3)
    assert "E0312" in result.stderr
    left = json.loads(Path("r.json").read_text())
    assert left["exit_code"] == 3
    assert left["errors"][0]["code"] == "E0312"


def test_a_log_without_a_usable_row_is_not_called_good(place):
    scene = '--set=log.where=[{column: stage, op: "=", value: nowhere}]'
    for verb in ("validate", "plan"):
        result = run(verb, "-c", "feed.yaml", scene, code=3)
        assert "error[E0312]" in result.stderr
        assert "good" not in result.stdout


def test_plan_and_validate_tell_of_rows_set_aside_and_of_feedback_that_meets_nothing(place):
    rows = pa.table({"r": [1, 2], "i": [1, 2], "like": [1, 1]})
    pq.write_table(rows, "likes.parquet")
    mapped = "columns: {request_id: r, item_id: i, feedback: [like]}"
    feedback = f"--set=log.feedback={{path: likes.parquet, {mapped}}}"
    for verb in ("validate", "plan"):
        shown = run(verb, "-c", "feed.yaml", feedback).stdout
        assert "used 960; feedback rows in 2, without_request 2" in shown
        assert "no row of the feedback table meets a candidate" in shown


def test_a_day_that_is_not_there_and_a_table_that_is_no_longer_built_are_told(built):
    Path("less.yaml").write_text(CONFIG.replace("  listwise: {max_length: 5}\n", ""))
    days = ["--dt", "2026-11-01", "--dt", "2030-01-01"]
    result = run("build", "-c", "less.yaml", *days)
    assert "dt=2030-01-01 was asked for" in result.stderr
    assert "listwise of 1 replaced days is no longer in the data set" in result.stderr
    assert "listwise" not in result.stdout
    assert len(run("files", "listwise", "--data", "feed").stdout.split()) == 1
    run("build", "-c", "feed.yaml", "--from", "2026-11-02", "--to", "2026-11-01", code=2)


def test_unknown_values_of_options_are_usage_faults(place):
    told = run("build", "-c", "feed.yaml", "--fromat=json", code=2).stderr
    assert "help    : rankdistill build -c feed.yaml --format=json" in told
    run("demolish", code=2)
    run("build", "-c", "feed.yaml", "--format", "xml", code=2)
    run("build", "-c", "feed.yaml", "--engine", "sparq", code=2)
    run("versions", code=2)
