"""Whole builds against each other and against being killed, through the command line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.store.dataset import DataSet

CONFIG = """
output: {output}
log: {{path: {log}, columns: {{feedback: [click]}}, stage: {{from: column, column: stage}}}}
samples: {{pointwise: {{}}, pairwise: {{}}, listwise: {{}}}}
"""
TABLES = ("lists", "pointwise", "pairwise", "listwise")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return simulate(folder, SimulateOptions(num_requests=150, days=2)).log


def start(folder, log, *options):
    config = folder / "feed.yaml"
    config.write_text(CONFIG.format(output=folder / "feed", log=log))
    command = [sys.executable, "-m", "rankdistill", "build", "-c", str(config), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def hashes(folder):
    data_set = DataSet.open(folder / "feed")
    return {table: data_set.content_hash(table) for table in TABLES}


def test_two_builds_of_different_days_both_land(tmp_path, log):
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir(), together.mkdir()
    assert start(alone, log).wait() == 0
    builds = [start(together, log, "--dt", f"2026-11-0{day}") for day in (1, 2)]
    assert [build.wait() for build in builds] == [0, 0]
    assert sorted(DataSet.open(together / "feed").current().days) == ["2026-11-01", "2026-11-02"]
    assert hashes(together) == hashes(alone)


def test_of_two_builds_of_the_same_days_one_wins_whole(tmp_path, log):
    builds = [start(tmp_path, log, "--force", "--set", f"seed={seed}") for seed in (1, 2)]
    told = [(build.communicate()[1], build.returncode) for build in builds]
    codes = [code for _, code in told]
    assert 0 in codes
    assert all(code == 0 or (code == 4 and "E0203" in text) for text, code in told)
    data_set = DataSet.open(tmp_path / "feed")
    made = {
        (day.build, version) for day in data_set.current().days.values() for version in day.tables
    }
    assert len({number for number, _ in made}) == 1
    assert not data_set.verify().faults


@pytest.mark.parametrize("delay", [0.6, 0.9, 1.3])
def test_a_build_killed_at_any_time_is_finished_by_the_next(tmp_path, log, delay):
    assert start(tmp_path, log).wait() == 0
    before = hashes(tmp_path)
    killed = start(tmp_path, log, "--force", "--set", "seed=7")
    time.sleep(delay)
    killed.kill()
    killed.wait()
    number = DataSet.open(tmp_path / "feed").current().number
    assert (hashes(tmp_path) == before) == (number == 1)

    assert start(tmp_path, log, "--force", "--set", "seed=7").wait() == 0
    whole = tmp_path / "whole"
    whole.mkdir()
    assert start(whole, log, "--set", "seed=7").wait() == 0
    assert hashes(tmp_path) == hashes(whole)


def test_sigterm_stops_a_build_with_143_and_changes_nothing(tmp_path, log):
    assert start(tmp_path, log).wait() == 0
    before = hashes(tmp_path)
    build = start(tmp_path, log, "--force", "--set", "seed=7")
    for line in build.stderr:
        if json.loads(line)["event"] == "started":
            break
    os.kill(build.pid, signal.SIGTERM)
    assert build.wait() in (143, 0)
    result = json.loads((tmp_path / "feed" / "run_result.json").read_text())
    assert result["exit_code"] == build.returncode
    if build.returncode == 143:
        assert hashes(tmp_path) == before
