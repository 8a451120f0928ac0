"""Damage after publishing: named by file, and never taken for data; strays change nothing."""

import shutil

import pytest

from rankdistill.errors import PlaceError
from rankdistill.store.dataset import DataSet


@pytest.fixture
def data(small):
    small.build({"d1": 1, "d2": 2})
    return DataSet.open(small.root)


def flip(file, other):
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 3] ^= 0x10
    file.write_bytes(raw)


def swap(file, other):
    shutil.copy(other, file)


def cut(file, other):
    file.write_bytes(file.read_bytes()[:-8])


def delete(file, other):
    file.unlink()


def link(file, other):
    file.unlink()
    file.symlink_to(other)


@pytest.mark.fault("34", "a part flipped, swapped, cut, deleted, linked: verify names it", times=1)
@pytest.mark.parametrize("damage", [flip, swap, cut, delete, link])
def test_a_damaged_part_is_named(data, damage, trial):
    before = data.current()
    parts = data.parts("pairwise")
    file, other = (data.root / part.table / part.path for part in parts)
    damage(file, other)
    report = data.verify()
    assert [fault.file for fault in report.faults] == [f"pairwise/{parts[0].path}"]
    with pytest.raises(PlaceError, match="damaged") as caught:
        report.refuse_faults(data.root)
    assert caught.value.code == "E0204"
    assert parts[0].path in caught.value.found
    if damage not in (flip, swap):
        assert len(data.verify(content=False).faults) == 1
    assert data.current() == before


def test_swapped_files_are_both_named(data):
    one, two = (data.root / part.table / part.path for part in data.parts("lists"))
    kept = one.read_bytes()
    shutil.copy(two, one)
    two.write_bytes(kept)
    assert len(data.verify().faults) == 2


def test_a_stray_is_listed_and_changes_nothing(data):
    before = {table: data.content_hash(table) for table in data.current().tables}
    part = data.parts("lists")[0]
    stray = (data.root / "lists" / part.path).with_name("stray.parquet")
    shutil.copy(data.root / "lists" / part.path, stray)
    report = data.verify()
    assert report.faults == ()
    assert report.strays == (str(stray.relative_to(data.root)),)
    assert {table: data.content_hash(table) for table in before} == before


def test_a_lost_commit_is_named(data):
    version = data.current().days["d1"].tables["lists"]
    (data.root / "lists" / "_delta_log" / f"{version:020d}.json").unlink()
    (fault,) = data.verify().faults
    assert fault.file == "lists/_delta_log"
    with pytest.raises(PlaceError, match="lost version"):
        data.files("lists")


def test_an_undamaged_build_has_no_fault(data, small):
    _under_way = small.stage(data, {"d1": 9})  # a build under way is no stray
    report = data.verify()
    report.refuse_faults(data.root)
    assert (report.faults, report.strays, report.num_parts) == ((), (), 4)
    files = [data.root / p.table / p.path for t in ("lists", "pairwise") for p in data.parts(t)]
    assert report.num_bytes == sum(file.stat().st_size for file in files)
