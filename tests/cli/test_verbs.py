"""The command line as a stranger meets it: on a tiny simulated log, verb by verb."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_kit import REQUEST, SIZES, listing, run


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
    assert "exchanges 2: rows to requests; hashed requests, users to their measures" in shown
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
    monkeypatch.setattr(plan, "LEAST_ROWS", {"rows": 1})
    shown = json.loads(run("plan", "-c", "feed.yaml", "--format", "json").stdout)
    assert shown["share"] == 0.5
    assert shown["tables"][0]["rows"] == 80
    assert f"rest on {shown['looked_at']} requests alone" in shown["warnings"][0]
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


def test_preview_writes_a_page_of_the_request(built):
    shown = run("preview", REQUEST, "-c", "feed.yaml", "--why", "--html", "request.html")
    assert shown.stdout == "request.html\n"
    page = Path("request.html").read_text()
    for told in (f"Request {REQUEST}", "build 1 of feed", "What became of each", "Listwise"):
        assert told in page
    error = run("preview", REQUEST, "-c", "feed.yaml", "--html", "no/such/page.html", code=4).stderr
    assert "error[E0202]" in error


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


SMALL_DEMO = SIZES | {"num_candidates": 60, "num_ranked": 30, "num_exposed": 5, "days": 2}


def small_demo(monkeypatch):
    from rankdistill import demo
    from rankdistill.log.simulate import SimulateOptions

    small = SimulateOptions(**SMALL_DEMO)
    monkeypatch.setattr(demo, "SimulateOptions", lambda **options: small)


def test_demo_builds_reports_trains_and_compares_and_may_run_again(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    small_demo(monkeypatch)
    first = run("demo", "--out", "here")
    assert "grades 0:" in first.stdout and "tail" in first.stdout
    (opa,) = (line for line in first.stdout.splitlines() if line.startswith("opa "))
    assert re.match(r"opa +0\.\d{3} \(.*\) +0\.\d{3} \(.*\) +(better|not told apart) ", opa)
    assert Path("here/report/report.html").exists()
    assert Path("here/evaluation/evaluation.html").exists()
    again = run("demo", "--out", "here")
    assert "up to date" in again.stdout and opa in again.stdout
    last = first.stderr.splitlines()[-1].removeprefix("next: rankdistill ").split()
    assert "candidates (60)" in run(*last).stdout


def test_demo_without_torch_ends_at_the_report_and_says_how_to_get_the_rest(tmp_path, monkeypatch):
    from rankdistill import training
    from rankdistill.errors import ResourceError

    def missing():
        raise ResourceError("E0404", "training needs torch", help="pip install it")

    monkeypatch.chdir(tmp_path)
    small_demo(monkeypatch)
    monkeypatch.setattr(training, "need_torch", missing)
    told = run("demo", "--out", "here").stderr
    assert "not here: training needs torch; pip install it" in told
    assert Path("here/report/report.html").exists() and not Path("here/distilled").exists()


def test_doctor_looks_at_this_machine(tmp_path):
    found = json.loads(run("doctor", "--format", "json").stdout)
    assert {"torch", "safetensors", "onnxruntime", "faiss-cpu"} <= found.keys()
    assert {"python", "pyarrow", "duckdb", "java", "memory"} <= set(found)


@pytest.mark.parametrize("name", ["E0102", "score_nan", "other_dt"])
def test_explain_knows_codes_and_reasons(name):
    assert run("explain", name).stdout.startswith(f"{name}: ")


def test_explain_names_the_nearest_code():
    assert "rankdistill explain E0102" in run("explain", "E102", code=2).stderr
