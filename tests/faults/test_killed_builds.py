"""Whole builds by the command line that are killed, stopped, or race: readers see the old or the
new, over all tables, and a rerun ends with the content hashes of a clean run."""

import json
import random
import signal
import time

import pytest
from whole_kit import (
    DAYS,
    NEW,
    PATIENCE,
    POINTS,
    drawn_point,
    judge,
    rows,
)

from rankdistill.store.dataset import DataSet

EXITS = {"SIGTERM": 143, "SIGINT": 130}
SECONDS = 0.4  # less than a build takes from its start on


@pytest.mark.fault("26", f"kill -9 of a whole build, {len(POINTS)} points", times=150, quick=3)
def test_a_build_killed_at_a_point_changes_nothing_or_all(world, tmp_path, told, trial):
    point, call = drawn_point(trial)
    root = world.copy(tmp_path)
    assert world.struck(root, point, call, "SIGKILL", *NEW) == -signal.SIGKILL
    judge(world, root, told, has_landed=POINTS[point].has_landed)


@pytest.mark.fault("26", "kill -9 of a whole build, at any time", times=20)
def test_a_build_killed_at_any_time_is_finished_by_the_next(world, tmp_path, told, trial):
    root = world.copy(tmp_path)
    build = started(world, root)
    time.sleep(random.Random(trial).uniform(0, SECONDS))
    build.kill()
    build.communicate(timeout=PATIENCE)
    told.cases = int(build.returncode == -signal.SIGKILL)  # else it came too late
    judge(world, root, told)


@pytest.mark.spark
@pytest.mark.fault("26", "kill -9 of a driver of Spark, 3 points", times=3)
def test_a_killed_driver_of_spark_changes_nothing_or_all(world, tmp_path, told, trial):
    root = world.copy(tmp_path)
    point = ("between two tables", "a catalogue in files", "first pass written")[trial % 3]
    code = world.struck(root, point, 1, "SIGKILL", *NEW, "--engine", "spark")
    assert code == -signal.SIGKILL
    judge(world, root, told, has_landed=False)


def started(world, root):
    """A build under way, that has a prefix of its own."""
    build = world.start(root, *NEW)
    for line in build.stderr:
        if json.loads(line)["event"] == "started":
            return build
    raise AssertionError("it ended before it started")


def result_of(root, code):
    told = json.loads((root / "run_result.json").read_text())
    assert (told["verb"], told["exit_code"], told["errors"]) == ("build", code, [])


@pytest.mark.fault("27", "SIGTERM and SIGINT at points of a whole build", times=30, quick=2)
def test_a_signal_at_a_point_ends_a_build_with_its_code(world, tmp_path, told, trial):
    point, call = drawn_point(trial)
    strike = list(EXITS)[(trial // len(POINTS) + trial) % 2]
    root = world.copy(tmp_path)
    (root / "run_result.json").unlink()
    assert world.struck(root, point, call, strike, *NEW) == EXITS[strike]
    result_of(root, EXITS[strike])
    judge(world, root, told, has_landed=POINTS[point].has_landed)


@pytest.mark.fault("27", "SIGTERM and SIGINT at any time of a whole build", times=20)
def test_a_signal_at_any_time_ends_a_build_with_its_code(world, tmp_path, told, trial):
    strike = list(EXITS)[trial % 2]
    root = world.copy(tmp_path)
    (root / "run_result.json").unlink()
    build = started(world, root)
    time.sleep(random.Random(trial).uniform(0, SECONDS))
    build.send_signal(signal.Signals[strike])
    _, said = build.communicate(timeout=PATIENCE)
    told.cases = int(build.returncode != 0)  # else it came too late
    assert build.returncode in (0, EXITS[strike]), said
    assert (f"stopped by {strike}" in said) == (build.returncode != 0)
    result = json.loads((root / "run_result.json").read_text())
    assert (result["verb"], result["exit_code"]) == ("build", build.returncode)
    judge(world, root, told, has_landed=True if build.returncode == 0 else None)


def but_metrics(found):
    return [row for row in found if row[0] != "metrics"]


@pytest.mark.fault("31", "two whole builds at once, of different days", times=20)
def test_two_builds_of_different_days_both_land(world, tmp_path, told, trial):
    root = tmp_path / "feed"
    builds = [world.start(root, *NEW, "--dt", day) for day in DAYS[:2]]
    ends = [build.communicate(timeout=PATIENCE)[1] for build in builds]
    assert [build.returncode for build in builds] == [0, 0], ends
    data = DataSet.open(root)
    assert sorted(data.newest().days) == list(DAYS[:2])
    assert (data.verify().faults, data.verify().strays) == ((), ())
    world.build(root, *NEW)
    # Of metrics, Q20 tells what is known of later days, and a day need not know of its neighbour.
    told.compare(but_metrics(world.new_rows), but_metrics(rows(root)))


@pytest.mark.fault("31", "two whole builds at once, of the same days", times=30)
def test_of_two_builds_of_the_same_days_one_wins_whole(world, tmp_path, told, trial):
    root = world.copy(tmp_path) if trial % 2 else tmp_path / "feed"
    seeds = ("seed=7", "seed=8")
    builds = [world.start(root, "--force", "--set", seed) for seed in seeds]
    ends = [(build.communicate(timeout=PATIENCE)[1], build.returncode) for build in builds]
    codes = [code for _, code in ends]
    assert 0 in codes
    assert all(code == 0 or (code == 4 and "E0203" in said) for said, code in ends), ends
    data = DataSet.open(root)
    assert len({day.build for day in data.newest().days.values()}) == 1  # whole, of one of them
    assert data.verify().faults == ()
    if data.newest().seed == 7:
        told.compare(world.new_rows, rows(root))
    data.gc(retention_hours=0, keep_builds=100)
    assert (data.verify().faults, data.verify().strays) == ((), ())
