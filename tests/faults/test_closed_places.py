"""Places that are closed to us or go away while a build runs, and clocks that jump: refused, or as
if nothing had happened; what is published stays."""

import ctypes
import os
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from whole_kit import NEW, hashes, judge, strike_at

from rankdistill.store import builds, delta, publish
from rankdistill.store.dataset import DataSet

DROP = 24  # PR_CAPBSET_DROP
OVERRIDES = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: by which root does not heed modes


def heed_modes():
    """In a child before its program begins: root's becomes one to whom modes apply."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in OVERRIDES:
            if libc.prctl(DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "a capability cannot be dropped")


def built_heeding_modes(world, root, *more):
    """(exit code, stderr) of a build by a process that may not pass over modes."""
    command = [sys.executable, "-m", "rankdistill", *world.command(root, *NEW, *more)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    try:
        done = subprocess.run(
            command, env=env, preexec_fn=heed_modes, capture_output=True, text=True, timeout=120
        )
    except subprocess.SubprocessError:
        pytest.skip("CLOSED PLACES ARE NOT TRIED: root may not give its rights up here")
    return done.returncode, done.stderr


@pytest.mark.fault("30", "an output that may not be written into", times=5)
def test_an_output_that_is_read_only_is_refused(world, tmp_path, trial):
    root = world.copy(tmp_path)
    closed = [root, root / "_staging", root / "lists", root / "builds/_delta_log", root / "builds"]
    closed = closed[trial]
    mode = closed.stat().st_mode
    closed.chmod(0o555)
    code, said = built_heeding_modes(world, root)
    closed.chmod(mode)
    assert (code, "Traceback" in said) == (4, False), said
    assert "error[E0202]" in said and str(root) in said
    assert hashes(root) == world.old
    world.build(root, *NEW)
    assert hashes(root) == world.new


@pytest.mark.fault("30", "an input that may not be read", times=5)
def test_an_input_without_the_right_to_read_is_refused(world, tmp_path, trial):
    root = world.copy(tmp_path)
    log = Path(shutil.copytree(world.folder / "log", tmp_path / "log"))
    file = max(log.rglob("*.parquet"))
    closed, asked = (
        *((log, log), (file, log), (file.parent, log)),
        *((file.parent, log / "*/*.parquet"), (file.parent, log / "**/*.parquet")),
    )[trial]
    mode = closed.stat().st_mode
    closed.chmod(0o000)
    code, said = built_heeding_modes(world, root, "--path", str(asked))
    closed.chmod(mode)
    assert (code, "Traceback" in said) == (4, False), said
    assert f"error[E0202]: the log's {closed} is closed to us" in said
    assert hashes(root) == world.old


GONE = ("prefix recorded", "first pass written", "second pass written", "counts checked")


@pytest.mark.fault("30", "the input goes away midway", times=5)
def test_an_input_that_goes_away_midway_is_told(world, tmp_path, trial, monkeypatch):
    root, log = tmp_path / "feed", Path(shutil.copytree(world.folder / "log", tmp_path / "log"))
    world.build(root, "--path", str(log), "--to", "2026-11-02")
    before, files = hashes(root), sorted(log.rglob("*.parquet"))
    lost = files if trial % 2 else [random.Random(trial).choice(files)]
    go = lambda: [file.unlink() for file in lost]  # noqa: E731
    strike_at("prefix recorded", 1, go, monkeypatch.setattr)
    said = world.build(root, *NEW, "--path", str(log), code=3)
    assert "error[E03" in said and "Traceback" not in said and str(log) in said
    assert hashes(root) == before


@pytest.mark.fault("30", "the output goes away midway", times=8)
def test_an_output_that_goes_away_midway_is_told(world, tmp_path, told, trial, monkeypatch):
    root, away = world.copy(tmp_path), tmp_path / "away"
    strike_at(GONE[trial % len(GONE)], 1, lambda: root.rename(away), monkeypatch.setattr)
    said = world.build(root, *NEW, code=4)
    monkeypatch.undo()
    assert "error[E02" in said and "Traceback" not in said
    shutil.rmtree(root, ignore_errors=True)
    away.rename(root)
    judge(world, root, told, has_landed=False)


class Backward(datetime):
    """A clock that loses a day with every look at it."""

    looks = 0

    @classmethod
    def now(cls, tz=None):
        cls.looks += 1
        return datetime(2026, 11, 21, tzinfo=UTC) - timedelta(days=cls.looks)


@pytest.mark.fault("30", "a clock that stands or runs backward", times=5)
def test_nothing_depends_on_the_clock_for_uniqueness(world, tmp_path, trial, monkeypatch):
    stands = bool(trial % 2)
    monkeypatch.setattr(builds, "datetime", Backward)
    monkeypatch.setattr(
        publish.time, "time_ns", lambda: 10**18 - (0 if stands else Backward.looks * 10**15)
    )
    root = world.copy(tmp_path)
    for seed in (8, 9):
        world.build(root, "--set", f"seed={seed}")
    world.build(root, *NEW)
    assert hashes(root) == world.new
    data = DataSet.open(root)
    assert [build.number for build in data.versions()] == [1, 2, 3, 4]
    assert hashes(root, data.build(1)) == world.old
    data.rollback(1)
    assert (hashes(root), data.verify().faults) == (world.old, ())
    data.gc()
    data.gc(retention_hours=0, keep_builds=1)
    assert hashes(root) == world.old
    assert (data.verify().faults, data.verify().strays) == ((), ())
    assert delta.version(root / "lists") >= 4
