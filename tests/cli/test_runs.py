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
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "preview" in done.stdout
    modules = set(done.stderr.split())
    heavy = {"numpy", "pyarrow", "duckdb", "deltalake", "pyspark", "pandas", "pydantic", "torch"}
    assert not heavy & modules
    # 330 modules take 0.2 s on two cores; imports are what the start costs on any machine.
    assert len(modules) < 380


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
