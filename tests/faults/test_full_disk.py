"""A disk that takes no more: E0402 with what is free, whatever was to be written; what is published
stays, and once there is room the same command finishes the work."""

import random
import shutil
import subprocess

import pytest
from whole_kit import NEW, POINTS, drawn_point, hashes, judge, small_files, strike_at

from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.store.dataset import DataSet


def full(said):
    assert "error[E0402]" in said and " free at " in said, said
    assert "Traceback" not in said


@pytest.mark.fault(
    "28", f"no room from a point of a whole build on, {len(POINTS)}", times=30, quick=3
)
def test_a_build_without_room_changes_nothing(world, tmp_path, told, trial, monkeypatch):
    point, call = drawn_point(trial)
    root, has_landed = world.copy(tmp_path), POINTS[point].has_landed
    with small_files(random.Random(trial).randint(0, 200)) as no_more:
        strike_at(point, call, no_more, monkeypatch.setattr)
        said = world.build(root, *NEW, code=0 if has_landed else 4)
    monkeypatch.undo()
    assert has_landed or full(said) is None
    judge(world, root, told, has_landed=has_landed, is_discarded=not has_landed)


@pytest.mark.fault("28", "no room for files above a size, in a whole build", times=10)
def test_a_build_of_large_files_changes_nothing(world, tmp_path, told, trial):
    root = world.copy(tmp_path)
    with small_files(round(10 ** random.Random(trial).uniform(2.3, 3.8))) as no_more:
        no_more()
        full(world.build(root, *NEW, code=4))
    judge(world, root, told, has_landed=False, is_discarded=True)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The log of a sort that takes more than 20 MB."""
    sizes = SimulateOptions(num_requests=3000, num_candidates=60, days=1)
    return simulate(tmp_path_factory.mktemp("large"), sizes).log


@pytest.mark.fault("28", "no room where a sort spills", times=3)
def test_a_sort_without_room_to_spill_changes_nothing(world, large, tmp_path, told, trial):
    root = world.copy(tmp_path)
    limit = f"{14 + 2 * trial}MB"
    engine = (
        f"engine={{kind: duckdb, threads: 1, memory_limit: {limit}, temp_directory: {tmp_path}}}"
    )
    with small_files(40_000) as no_more:
        no_more()
        more = ("--set", engine, "--path", str(large), "--dt", "2026-11-01", "--force")
        said = world.build(root, *NEW, *more, code=4)
    full(said)
    assert "cannot spill" in said and not list(tmp_path.glob("rankdistill-spill-*"))
    judge(world, root, told, has_landed=False, is_discarded=True)


@pytest.fixture
def small_disk(tmp_path):
    """A folder of 400 kB on a disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("A FULL DISK IS NOT TRIED: no right to mount a small one")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.fault("28", "a small disk that another build does not fit on", times=5)
def test_a_small_disk_takes_one_build_and_no_other(world, small_disk, trial):
    root = small_disk / "feed"
    world.build(root, "--dt", "2026-11-01")
    before, taken = hashes(root), small_disk / "filler"
    free = 1000 * random.Random(trial).randint(1, 60)
    taken.write_bytes(bytes(max(0, shutil.disk_usage(small_disk).free - free)))
    full(world.build(root, *NEW, code=4))
    assert hashes(root) == before
    taken.unlink()
    data = DataSet.open(root)
    data.gc(retention_hours=0)
    assert (data.verify().faults, data.verify().strays) == ((), ())
