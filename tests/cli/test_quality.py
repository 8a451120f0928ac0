"""`report`, `check`, metrics.json and `build --fail-on`, as a stranger meets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import CONFIG, REQUEST, ROOT, run

from rankdistill.store.dataset import DataSet

# A gate that no log passes, and one that any does.
STRICT = "quality: {gates: {Q14: {warn: 1, fail: 1}}}\n"
WARNS = "quality: {gates: {Q14: {warn: 1, fail: 0}}}\n"


@pytest.fixture
def strict(built: Path) -> Path:
    """A built data set, and a config whose gate it fails."""
    Path("strict.yaml").write_text(CONFIG + STRICT)
    Path("warns.yaml").write_text(CONFIG + WARNS)
    return built


def metrics() -> dict:
    return json.loads(Path("feed/metrics.json").read_text())


def test_a_build_leaves_metrics_beside_its_tables_and_so_does_a_rollback(built):
    first = metrics()
    assert first["days"] == ["2026-11-01", "2026-11-02"]
    Path("warns.yaml").write_text(CONFIG + WARNS)
    run("build", "-c", "warns.yaml", "--force")
    assert {**metrics(), "verdict": ""} != {**first, "verdict": ""}
    assert metrics()["verdict"] == "warn"
    second = metrics()
    run("rollback", "1", "--data", "feed")
    assert metrics() == first
    run("rollback", "2", "--data", "feed")
    assert metrics() == second  # by the gates of its own config


def test_metrics_of_days_built_one_by_one_are_of_all_days(place):
    run("build", "-c", "feed.yaml", "--dt", "2026-11-01")
    assert metrics()["days"] == ["2026-11-01"]
    run("build", "-c", "feed.yaml", "--dt", "2026-11-02")
    apart = Path("feed/metrics.json").read_text()
    run("build", "-c", "feed.yaml", "--output", "whole")
    assert Path("whole/metrics.json").read_text() == apart


def test_a_build_lives_though_its_metrics_cannot_be_written(place):
    run("build", "-c", "feed.yaml", "--dt", "2026-11-01")
    Path("feed/metrics.json").unlink()
    Path("feed/metrics.json").mkdir()
    shown = run("build", "-c", "feed.yaml")
    assert shown.stdout.startswith("build 2 of feed\n")
    assert "warning: metrics.json is not written" in shown.stderr


def test_a_build_that_measures_nothing_leaves_no_old_metrics(built):
    run("build", "-c", "feed.yaml", "--force", "--set", "quality.measure=false")
    assert not Path("feed/metrics.json").exists()
    error = run("check", "--data", "feed", code=3).stderr
    assert "error[E0601]" in error
    run("report", "--data", "feed", "--out", "page", code=3)
    assert not Path("page").exists()


def test_a_failing_gate_publishes_nothing_and_fail_on_says_what_is_failing(place):
    Path("strict.yaml").write_text(CONFIG + STRICT)
    Path("warns.yaml").write_text(CONFIG + WARNS)
    error = run("build", "-c", "strict.yaml", code=1).stderr
    assert "error[E0602]" in error
    assert DataSet.open("feed").current() is None
    (kept,) = Path("feed/_failed").iterdir()
    for verb in ("report", "check"):
        told = run(verb, "--data", "feed", *(["--out", "page"] * (verb == "report")), code=4).stderr
        assert f"feed/_failed/{kept.name}" in told and "rankdistill report --metrics" in told
    run("report", "--metrics", kept, "--out", "page")
    assert "Do not train on this yet" in Path("page/report.html").read_text()
    run("build", "-c", "warns.yaml", "--fail-on", "warn", code=1)
    told = (
        "Q14 Pair coverage fails: requests of at least two candidates that have a pair: 100% (warns"
    )
    assert told in error
    assert f"warning: {told}" in run("build", "-c", "strict.yaml", "--fail-on", "never").stderr
    assert "known are fail, warn" in run("build", "-c", "x", "--fail-on", "some", code=2).stderr


def test_check_judges_with_the_gates_of_the_config_and_exits_with_1(strict):
    assert "Do not train" not in run("check", "--data", "feed").stdout
    shown = run("check", "-c", "strict.yaml", code=1)
    assert "Do not train on this yet: 1 measure fails (Pair coverage)" in shown.stdout
    assert "error[E0602]: build 1 of feed: a quality gate fails" in shown.stderr
    run("check", "-c", "warns.yaml")
    run("check", "-c", "warns.yaml", "--fail-on", "warn", code=1)
    run("check", "-c", "strict.yaml", "--fail-on", "never")
    gate = 'quality.gates={"Q14": {"fail": 1}}'
    run("check", "--data", "feed", "--set", gate, code=1)
    part = "quality.gates.Q18.least_fill=null"
    shown = run("check", "--data", "feed", "--set", part, code=2).stderr
    assert f"\n  --> --set {part}\n" in shown
    assert """--set 'quality.gates."Q18.least_fill"=null'""" in shown
    run("check", "--data", "feed", "--set", 'quality.gates."Q18.least_fill"=null')
    assert "only quality" in run("check", "--data", "feed", "--set", "seed=1", code=2).stderr


def test_check_writes_junit_and_appends_to_a_summary(strict):
    run("check", "-c", "strict.yaml", "--junit", "j.xml", "--summary", "s.md", code=1)
    run("check", "--data", "feed", "--junit", "good.xml", "--summary", "s.md")
    assert '<testsuite name="rankdistill check" failures="1"' in Path("j.xml").read_text()
    assert 'failures="0"' in Path("good.xml").read_text()
    assert Path("s.md").read_text().count("# Sample quality of build 1 of feed") == 2


def test_a_file_that_is_no_junit_is_not_overwritten(built):
    for text in ("precious: 1\n", "<notes><testsuite/></notes>", "<testsuitesx/>"):
        Path("mine").write_text(text)
        shown = run("check", "--data", "feed", "--junit", "mine", code=4).stderr
        assert "error[E0202]: mine is there and no JUnit file" in shown
        assert Path("mine").read_text() == text
    other = '<?xml version="1.0"?>\n<!-- of pytest -->\n<testsuites><testsuite/></testsuites>'
    for text in ("", other, '<testsuite name="x"/>'):
        Path("j.xml").write_text(text)
        run("check", "--data", "feed", "--junit", "j.xml")
        assert 'name="rankdistill check"' in Path("j.xml").read_text()
    preview = ("preview", REQUEST, "-c", "feed.yaml", "--html")
    assert "E0202" in run(*preview, "feed.yaml", code=4).stderr
    for _ in range(2):
        run(*preview, "page.html")


@pytest.mark.parametrize("suffix", ["html", "md", "json"])
def test_pages_of_somebody_else_are_not_overwritten(built, suffix):
    for verb in (("report", "--data", "feed"), ("diff", "feed", "feed")):
        for _ in range(2):  # its own are
            run(*verb, "--out", "page")
        other = Path(f"page/{verb[0]}.{suffix}")
        other.write_text("<!doctype html><title>Sales</title>")
        shown = run(*verb, "--out", "page", code=4).stderr
        assert f"error[E0202]: {other} is there and none that rankdistill wrote" in shown
        assert "Sales" in other.read_text()
        assert "E0202" in run(*verb, "--out", "feed/lists/page", code=4).stderr
    assert not Path("feed/lists/page").exists()


def test_a_result_goes_over_a_result_and_over_nothing_else(built):
    for _ in range(2):
        run("check", "--data", "feed", "--result", "r.json")
    assert json.loads(Path("r.json").read_text())["exit_code"] == 0
    before = Path("feed.yaml").read_text()
    shown = run("check", "--data", "feed", "--result", "feed.yaml", code=4)
    assert "feed.yaml is there and no run result" in shown.stderr and not shown.stdout
    assert Path("feed.yaml").read_text() == before
    there = run("check", "--data", "feed", "--result", "none/r.json").stderr
    assert "warning: none/r.json cannot be written" in there


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_disk_behind_stdout_is_told_in_a_line(built):
    command = [sys.executable, "-m", "rankdistill", "check", "--data", "feed"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, env=env, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 4
    assert done.stderr.startswith("error[E0202]: what is shown cannot be written: No space left")
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_metrics_and_card_that_are_gone_are_written_again_by_a_build_that_has_nothing_to_do(built):
    names = ("metrics.json", "croissant.json")
    before = {name: Path("feed", name).read_text() for name in names}
    for name in names:
        Path("feed", name).unlink()
    first = run("build", "-c", "feed.yaml").stdout.splitlines()[0]
    assert first == "up to date: build 1 of feed; only metrics.json, croissant.json written"
    assert {name: Path("feed", name).read_text() for name in names} == before
    again = run("build", "-c", "feed.yaml").stdout
    assert again.startswith("up to date: build 1 of feed; nothing written")


def test_a_build_with_nothing_to_do_says_that_changed_gates_and_segments_are_not_applied(built):
    assert "changed" not in run("build", "-c", "feed.yaml").stderr
    Path("strict.yaml").write_text(CONFIG + STRICT)
    told = run("build", "-c", "strict.yaml").stderr
    assert "warning: quality.gates changed since this was built" in told
    assert "rankdistill check --config" in told
    told = run("build", "-c", "feed.yaml", "--set", "quality.segments=[]").stderr
    assert "warning: quality.segments changed since this was built" in told and "--force" in told


def test_check_says_as_json_what_it_says_as_text(built):
    shown = json.loads(run("check", "--data", "feed", "--format", "json").stdout)
    assert shown["verdict"] == metrics()["verdict"]
    told = [row["measure"].split()[0] for row in shown["measures"]]
    assert told == [measure["id"] for measure in metrics()["measures"]]


def test_report_writes_three_files_of_one_build_or_of_some_days(built):
    run("build", "-c", "feed.yaml", "--force")
    run("report", "--data", "feed", "--build", "1", "--dt", "2026-11-02", "--out", "a/page")
    found = {path.name: path.read_text() for path in Path("a/page").iterdir()}
    assert set(found) == {"report.html", "report.md", "report.json"}
    assert json.loads(found["report.json"])["days"] == ["2026-11-02"]
    for name in ("report.html", "report.md"):
        assert "Sample quality of build 1 of feed, 2026-11-02" in found[name]
    run("report", "--data", "feed", "--dt", "2026-11-09", "--out", "b", code=4)
    run("report", "--data", "feed", "--build", "9", "--out", "b", code=4)


def test_the_report_of_a_data_set_is_that_of_its_metrics_file(built):
    run("report", "--data", "feed", "--out", "one")
    run("report", "--metrics", "feed/metrics.json", "--out", "two")
    assert Path("one/report.json").read_text() == Path("two/report.json").read_text()
    assert Path("one/report.json").read_text() == Path("feed/metrics.json").read_text()
    one, two = (Path(f"{name}/report.html").read_text() for name in ("one", "two"))
    assert one.replace("build 1 of feed", "metrics.json") == two


def test_one_source_of_metrics_is_to_be_named(built):
    for wrong in ([], ["--metrics", "m.json", "--data", "feed"], ["--metrics", "m", "--dt", "d"]):
        assert "E0105" in run("check", *wrong, code=2).stderr


def test_a_report_is_not_written_through_a_link(built):
    Path("target").write_text("precious")
    Path("page").mkdir()
    Path("page/report.html").symlink_to("../target")
    shown = run("report", "--data", "feed", "--out", "page", code=4).stderr
    assert "error[E0202]: refusing to write through a symbolic link: page/report.html" in shown
    assert Path("target").read_text() == "precious"
    assert "E0202" in run("report", "--data", "feed", "--out", "target", code=4).stderr


def damage(how: str) -> None:
    (part, *_) = run("files", "metrics", "--data", "feed").stdout.split()
    if how == "lost":
        Path(part).unlink()
    else:
        content = bytearray(Path(part).read_bytes())
        content[len(content) // 2] ^= 1
        Path(part).write_bytes(content[:-20] if how == "cut off" else content)


@pytest.mark.fault("43", "the table of metrics damaged: check and report", times=1)
@pytest.mark.parametrize("how", ["lost", "cut off", "changed"])
def test_a_damaged_table_of_metrics_is_never_green(built, how, trial):
    damage(how)
    for verb in (["check"], ["report", "--out", "page"]):
        shown = run(*verb, "--data", "feed", code=3)
        assert "error[E0601]" in shown.stderr
        assert "Fit" not in shown.stdout
    assert not Path("page").exists()


@pytest.mark.fault(
    "43", "metrics.json missing, damaged or of another version: check and report", times=1
)
@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema_version": 2}', None])
def test_a_damaged_metrics_file_is_never_green(place, text, trial):
    if text is not None:
        Path("m.json").write_text(text)
    for verb in (["check"], ["report", "--out", "page"]):
        shown = run(*verb, "--metrics", "m.json", code=3)
        assert "error[E0601]" in shown.stderr
        assert shown.stdout == ""
    assert not Path("page").exists()


@pytest.mark.fault("43", "states of measures that this version cannot read", times=1)
@pytest.mark.parametrize(
    "state",
    [
        '{"segments": [], "examples": []}',
        '{"segments": {"": {"length": [1]}}, "examples": []}',
        '{"segments": {"": {"length": "x"}}, "examples": []}',
        "{",
        "null",
        '{"segments": {"": 1}}',
    ],
)
def test_states_that_this_version_cannot_read_are_never_green(built, monkeypatch, state, trial):
    from rankdistill.store.dataset import DataSet as Stored

    kept = Stored.read_days

    def other(self, table, *rest, **options):
        for batch in kept(self, table, *rest, **options):
            if table != "metrics":
                yield batch
                continue
            rows = batch.to_pylist()
            for row in rows:
                row["state"] = state if row["measure"] == "Q06" else row["state"]
            yield batch.from_pylist(rows, schema=batch.schema)

    monkeypatch.setattr(Stored, "read_days", other)
    assert "error[E0601]" in run("check", "--data", "feed", code=3).stderr


def test_hidden_ids_are_in_none_of_the_files(built):
    found = metrics()
    found["measures"][0]["examples"] = [
        {"request_id": "r-4711", "item_id": 9_876, "note": "r-4711"}
    ]
    Path("m.json").write_text(json.dumps(found))
    for option, there in ((), True), (("--redact-ids",), False):
        run("report", "--metrics", "m.json", "--out", "page", *option)
        for path in Path("page").iterdir():
            assert ("r-4711" in path.read_text()) == (there and path.suffix != ".md")
            assert "9876" not in path.read_text() or there


def test_the_job_is_the_verb(built):
    job = [sys.executable, str(ROOT / "jobs" / "quality_report.py"), "--data", "feed"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*job, "--out", "page"], env=env, capture_output=True, text=True, check=True
    )
    assert "page/report.html" in done.stdout


def test_explain_tells_a_measure_as_its_page_does():
    assert run("explain", "q07").stdout.startswith("# Q07 ")
    assert "## What to do" in run("explain", "Q07").stdout
    assert run("explain", "q7").stdout == run("explain", "Q07").stdout
    unknown = run("explain", "Q77", code=2).stderr
    assert "Q34, funnel" in unknown


def test_check_computes_the_metrics_again_from_the_tables(strict):
    first = run("check", "--data", "feed")
    assert run("check", "--data", "feed", "--recompute").stdout == first.stdout
    run("check", "-c", "strict.yaml", "--recompute", "--dt", "2026-11-02", code=1)
    assert "E0105" in run("check", "--metrics", "feed/metrics.json", "--recompute", code=2).stderr
