"""The command line as a stranger meets it: on a tiny simulated log, verb by verb."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from rankdistill import cli

ROOT = Path(__file__).parent.parent
REQUEST = "2026110100000003"
SIZES = {"num_requests": 40, "num_candidates": 12, "num_ranked": 8, "num_exposed": 3, "days": 2}
CONFIG = """\
output: feed
log:
  path: sim/log
  columns: {feedback: [click]}
  stage: {from: column, column: stage}
samples:
  pointwise: {top_k: 3}
  pairwise: {top_k: 3}
  listwise: {max_length: 5}
"""


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert result.exit_code == code, (arguments, result.stdout, result.stderr)
    return result


def simulate(out: str = "sim", **sizes: Any) -> None:
    run("simulate", "--out", out, *(f"--set={k}={v}" for k, v in (SIZES | sizes).items()))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a log and a config in it."""
    monkeypatch.chdir(tmp_path)
    simulate()
    Path("feed.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def built(place: Path) -> Path:
    run("build", "--config", "feed.yaml")
    return place


def listing(folder: str) -> dict[str, tuple[int, int]]:
    found = sorted(Path(folder).rglob("*"))
    stats = {str(path): path.stat() for path in found if path.name != "run_result.json"}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def test_simulate_says_where_the_log_is_and_a_second_run_leaves_it(place):
    again = run("simulate", "--out", "sim", *(f"--set={k}={v}" for k, v in SIZES.items()))
    assert again.stdout == "960 rows of 80 requests already there in sim/log\n"


def test_validate_shows_the_columns_and_what_the_door_says(place):
    shown = run("validate", "--config", "feed.yaml").stdout
    assert "rows in 960, used 960" in shown
    assert "partition column dt" in shown
    assert shown.endswith("good: this log can be built\n")
    assert not Path("feed").exists()


def test_plan_tells_days_exchanges_defaults_and_bounds(place):
    shown = run("plan", "--config", "feed.yaml").stdout
    assert "exchanges 1: rows to requests" in shown
    assert "response  click above 0 (log.response); never a negative" in shown
    assert "it sets pointwise.allow_exposed false, pairwise.allow_exposed false" in shown
    table = json.loads(run("plan", "--config", "feed.yaml", "--format", "json").stdout)["tables"]
    assert {row["table"]: row["at most"] for row in table} == {
        "lists": 80,
        "pointwise": 80 * 12,
        "pairwise": 80 * 3 * 4,
        "listwise": 80,
    }
    assert not Path("feed").exists()


def test_plan_counts_what_the_build_then_makes(built):
    planned = json.loads(run("plan", "-c", "feed.yaml", "--exact", "--format", "json").stdout)
    assert {day["state"] for day in planned["days"]} == {"up to date in build 1"}
    for row in planned["tables"]:
        files = run("files", row["table"], "--data", "feed").stdout.split()
        assert sum(pq.read_metadata(file).num_rows for file in files) == row["rows"]


def test_plan_estimates_a_large_log_from_a_share_of_its_requests(place, monkeypatch):
    from rankdistill import plan

    monkeypatch.setattr(plan, "SMALL", 100)
    monkeypatch.setattr(plan, "SAMPLE", 0.5)
    shown = json.loads(run("plan", "-c", "feed.yaml", "--format", "json").stdout)
    assert shown["share"] == 0.5
    assert 40 < shown["tables"][0]["rows"] < 120
    exact = json.loads(run("plan", "-c", "feed.yaml", "--exact", "--format", "json").stdout)
    assert exact["share"] == 1


def test_plan_warns_of_a_blow_up_and_names_the_request_and_the_cap(place):
    candidates = 500
    rows = [{"request_id": "huge", "item_id": i, "rank": i + 1} for i in range(candidates)]
    pq.write_table(pa.Table.from_pylist(rows), "huge.parquet")
    strategy = "samples.pairwise.strategy={kind: topk}"
    wide = ["--path", "huge.parquet", "--set=log.columns={}", "--set=log.stage={from: presence}"]
    wide += [f"--set={strategy}", "--set=samples.pairwise.top_k=500"]
    shown = run("plan", "-c", "feed.yaml", *wide).stdout
    pairs = candidates * (candidates - 1) // 2
    assert f'E0305: pairwise would write up to {pairs:,} rows: request "huge" has 500' in shown
    assert "set samples.pairwise.max_pairs_per_request (1000 -> 1,000 at most)" in shown
    assert "does not say what was exposed" in shown
    assert "dropped before the fine ranker" in shown


def test_a_second_identical_build_is_up_to_date_and_writes_nothing(built):
    before = listing("feed")
    shown = run(
        "build", "--config", "feed.yaml", "--set", "engine={kind: duckdb, threads: 1}"
    ).stdout
    assert shown.startswith("up to date: build 1 of feed; nothing written\n")
    assert listing("feed") == before
    assert run("build", "-c", "feed.yaml", "--force").stdout.startswith("build 2 of feed\n")


def test_days_are_built_one_by_one_or_by_a_range(place):
    run("build", "-c", "feed.yaml", "--dt", "2026-11-02")
    run("build", "-c", "feed.yaml", "--to", "2026-11-01")
    shown = json.loads(run("versions", "--data", "feed", "--format", "json").stdout)
    assert [version["days"] for version in shown] == [["2026-11-02"], ["2026-11-01", "2026-11-02"]]
    run("build", "-c", "feed.yaml", "--dt", "2026-11-01", "--from", "2026-11-01", code=2)


def test_preview_shows_candidates_and_rows_and_why_each_is_there(built):
    shown = run("preview", REQUEST, "--config", "feed.yaml").stdout
    assert "candidates (12)" in shown
    assert "pairwise (" in shown
    why = json.loads(run("preview", REQUEST, "-c", "feed.yaml", "--why", "--format=json").stdout)
    assert len(why["why"]) == 12
    drawn = {row["item_id"] for row in why["pointwise"]}
    told = {
        row["item_id"]
        for row in why["why"]
        if row["pointwise"].startswith(("positive", "negative"))
    }
    assert drawn == told
    error = run("preview", "99", "--config", "feed.yaml", code=3).stderr
    assert 'no request "99" in build 1' in error
    assert "2026110100000000" in error


def test_preview_says_so_where_the_settings_are_not_those_of_the_build(built):
    changed = ["-c", "feed.yaml", "--why", "--set", "samples.pairwise.top_k=1"]
    assert "other settings" in run("preview", REQUEST, *changed).stderr
    assert "other settings" not in run("preview", REQUEST, *changed[:3]).stderr


def test_versions_rollback_files_verify_and_gc_work_on_the_data_set(built):
    run("build", "-c", "feed.yaml", "--force", "--set", "samples.pointwise.top_k=2")
    old, new = (run("files", "pointwise", "--data", "feed", "--build", n).stdout for n in "12")
    assert old != new == run("files", "pointwise", "--data", "feed").stdout
    assert run("rollback", "1", "--data", "feed").stdout == "build 3 is build 1 again\n"
    assert run("files", "pointwise", "--data", "feed").stdout == old
    one_day = run("files", "pointwise", "--data", "feed", "--dt", "2026-11-01").stdout.split()
    assert len(one_day) * 2 == len(old.split())
    shown = run("versions", "--config", "feed.yaml").stdout
    assert "2026-11-01 .. 2026-11-02, 2 days" in shown
    assert "all good" in run("verify", "--data", "feed").stdout
    gone = ["--data", "feed", "--retention-hours", "0", "--keep-builds", "1"]
    planned = run("gc", *gone, "--dry-run").stdout.splitlines()
    removed = run("gc", *gone).stdout.splitlines()
    assert planned[:-1] == removed[:-1]
    assert run("files", "pointwise", "--data", "feed").stdout == old


def test_verify_names_a_part_that_was_changed(built):
    (file, *_) = run("files", "lists", "--data", "feed").stdout.split()
    content = bytearray(Path(file).read_bytes())
    content[len(content) // 2] ^= 1
    Path(file).write_bytes(content)
    assert Path(file).name in run("verify", "--data", "feed", code=4).stderr


def test_demo_ends_with_a_table_of_weights_and_grades_and_may_run_again(tmp_path, monkeypatch):
    from rankdistill import actions
    from rankdistill.log.simulate import SimulateOptions

    monkeypatch.chdir(tmp_path)
    small = SimulateOptions(**(SIZES | {"num_candidates": 60, "num_ranked": 30, "num_exposed": 5}))
    monkeypatch.setattr(actions, "SimulateOptions", lambda **options: small)
    first = run("demo", "--out", "here")
    assert "grades 0:" in first.stdout
    assert "tail" in first.stdout
    assert "up to date" in run("demo", "--out", "here").stdout
    next_step = first.stderr.splitlines()[-1].removeprefix("next: rankdistill ").split()
    assert "candidates (60)" in run(*next_step).stdout


def test_doctor_looks_at_this_machine(tmp_path):
    found = json.loads(run("doctor", "--format", "json").stdout)
    assert {"python", "pyarrow", "duckdb", "java", "memory"} <= set(found)


@pytest.mark.parametrize("name", ["E0102", "score_nan", "other_dt"])
def test_explain_knows_codes_and_reasons(name):
    assert run("explain", name).stdout.startswith(f"{name}: ")


def test_explain_names_the_nearest_code():
    assert "rankdistill explain E0102" in run("explain", "E102", code=2).stderr


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        (("top_k: 3}\n  listwise", "topk: 3}\n  listwise"), 2, "feed.yaml:8:14"),
        (("top_k: 3}\n  listwise", "topk: 3}\n  listwise"), 2, 'did you mean "top_k"?'),
        (("[click]", "[clik]"), 2, 'did you mean "click"?'),
        (("[click]", "{weight: click}"), 2, 'the name "weight"'),
        (("sim/log", "sim/lug"), 3, "error[E0311]"),
        (("output: feed", "output: sim"), 4, "error[E0202]"),
        (("output: feed", "output: foreign"), 4, "folder is not empty"),
        (("output: feed", "student: pre"), 2, "output is missing"),
    ],
)
def test_a_mistake_has_its_exit_code_and_says_where_and_what_to_do(place, changes, code, told):
    Path("foreign").mkdir()
    Path("foreign/mine.txt").write_text("mine")
    before = listing(".")
    Path("feed.yaml").write_text(CONFIG.replace(*changes))
    result = run("build", "--config", "feed.yaml", code=code)
    assert told in result.stderr
    assert result.stdout == ""
    assert {k: v for k, v in listing(".").items() if k != "feed.yaml"} == {
        k: v for k, v in before.items() if k != "feed.yaml"
    }


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


def test_a_missing_config_an_unknown_verb_and_a_bad_option_are_usage_faults(place):
    assert "cannot open no.yaml" in run("build", "--config", "no.yaml", code=2).stderr
    run("bild", code=2)
    run("build", "-c", "feed.yaml", "--fromat", "json", code=2)
    run("build", "-c", "feed.yaml", "--format", "xml", code=2)
    run("build", "-c", "feed.yaml", "--engine", "sparq", code=2)
    run("versions", code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate", "-c", "feed.yaml"],
        ["plan", "-c", "feed.yaml"],
        ["build", "-c", "feed.yaml"],
        ["files", "lists", "--data", "feed"],
        ["versions", "--data", "feed"],
        ["gc", "--data", "feed"],
        ["verify", "--data", "feed"],
        ["preview", REQUEST, "-c", "feed.yaml"],
        ["explain", "E0102"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_with_format_json_stdout_is_one_json_value(built, arguments):
    assert json.loads(run(*arguments, "--format", "json").stdout)


def test_run_result_is_there_after_success_and_after_failure(built):
    left = json.loads(Path("feed/run_result.json").read_text())
    assert left["verb"] == "build"
    assert left["exit_code"] == 0
    assert left["door"]["rows_used"] == 960
    run("build", "-c", "feed.yaml", "--dt", "2031-01-01", code=3)
    assert json.loads(Path("feed/run_result.json").read_text())["exit_code"] == 3


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys; from rankdistill.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pyarrow', 'duckdb', 'deltalake', 'pyspark', 'pandas', 'pydantic'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stderr.strip() == ""
    assert "preview" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_during_a_build_leaves_what_is_published(built, name, code):
    simulate("large", num_requests=60_000)  # work enough to be stopped in
    hashes = run("verify", "--data", "feed").stdout
    command = [sys.executable, "-m", "rankdistill", "build", "-c", "feed.yaml"]
    command += ["--force", "--path", "large/log"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stderr is not None
        assert '"started"' in child.stderr.readline()
        time.sleep(0.3)
        child.send_signal(getattr(signal, name))
        told = child.stderr.read()
    assert child.returncode == code, told
    assert "whole or not at all" in told
    assert json.loads(Path("feed/run_result.json").read_text())["exit_code"] == code
    assert run("verify", "--data", "feed").stdout.splitlines()[:5] == hashes.splitlines()[:5]
