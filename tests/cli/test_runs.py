"""What every run of a verb has: one JSON value, a result file, a quick start, an end by signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_kit import REQUEST, ROOT, run, simulate

from rankdistill.store.dataset import DataSet

RANKDISTILL = [sys.executable, "-m", "rankdistill"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


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
        "import sys; from rankdistill.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "preview" in done.stdout
    modules = set(done.stderr.split())
    assert "rankdistill.cli" in modules
    heavy = {"numpy", "pyarrow", "duckdb", "deltalake", "pyspark", "pandas", "pydantic", "torch"}
    assert not heavy & modules
    # 330 modules take 0.2 s on two cores; imports are what the start costs on any machine.
    assert len(modules) < 380


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_during_a_build_leaves_what_is_published(built, name, code):
    simulate("large", num_requests=60_000)  # work enough to be stopped in
    hashes = run("verify", "--data", "feed").stdout
    command = [*RANKDISTILL, "build", "-c", "feed.yaml", "--force", "--path", "large/log"]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
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


def test_a_build_to_whose_talk_nobody_listens_goes_on(built):
    command = [*RANKDISTILL, "build", "-c", "feed.yaml", "--force"]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as child:
        assert child.stderr is not None
        child.stderr.close()
    assert child.returncode == 0
    assert DataSet.open("feed").newest().number == 2


def test_a_broken_pipe_amid_the_work_is_a_fault(built, monkeypatch):
    def broken(*_):
        raise BrokenPipeError

    monkeypatch.setattr("rankdistill.build.collect", broken)
    assert "BrokenPipeError" in run("build", "-c", "feed.yaml", "--force", code=5).stderr
    assert json.loads(Path("feed/run_result.json").read_text())["exit_code"] == 5


@pytest.mark.parametrize("fault", [MemoryError, RuntimeError, KeyError])
def test_a_build_that_fails_takes_its_parts_along(built, monkeypatch, fault):
    def failing(*_):
        assert set(Path("feed").rglob("*.parquet")) > before
        raise fault

    before = set(Path("feed").rglob("*.parquet"))
    monkeypatch.setattr("rankdistill.build.check_conservation", failing)
    run("build", "-c", "feed.yaml", "--force", code=4 if fault is MemoryError else 5)
    assert set(Path("feed").rglob("*.parquet")) == before


def test_a_folder_that_went_away_is_no_fault_of_ours(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "E0107" in run("explain", "NOPE", code=2).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_a_full_disk_is_told_of_what_is_shown_before_a_verb(option):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*RANKDISTILL, option], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 4 and "error[E0402]" in done.stderr


def test_advice_does_not_fail_over_what_it_advises_on(built, tmp_path):
    long = f"{tmp_path}/{'x' * 300}"
    assert "E0100" in run("plan", "--config", f"{long}/feed.yaml", code=2).stderr
    assert "E0201" in run("versions", "--data", f"{long}/feed", code=4).stderr
    more = ["--output", "out", "--path", f"{long}/*.parquet"]
    assert "E0311" in run("build", "-c", "feed.yaml", *more, code=3).stderr
