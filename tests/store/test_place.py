"""Places where no data set may be made: refused, and left as they were."""

import os

import pytest
from store_kit import SCHEMAS, snapshot

from rankdistill.errors import PlaceError
from rankdistill.store.dataset import DataSet


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder with somebody's things; cwd and HOME lie in it."""
    for folder in ("home/work", "logs/dt=1", "foreign", "empty"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("foreign/thesis.txt", "logs/dt=1/a.parquet", "file"):
        (tmp_path / file).write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "home/away").symlink_to(tmp_path / "logs/dt=1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home/work")
    return tmp_path


REFUSED = {
    "/": "E0202",
    "~": "E0202",
    "..": "E0202",  # the home folder
    ".": None,
    "../..": "E0202",  # holds the home folder
    "{world}": "E0202",
    "{world}/link": "E0202",
    "{world}/home/away/../new": "E0202",  # .. after a link leads into logs
    "{world}/foreign": "E0201",
    "{world}/file": "E0201",
    "{world}/file/new": "E0201",
    "{world}/logs": "E0202",
    "{world}/logs/out": "E0202",
    "{world}/logs/dt=1": "E0202",
    "{world}/home/away/out": "E0202",  # a link above, into the input
    "s3://bucket/feed": "E0202",
    "{world}/" + "x" * 300: "E0202",
    "/proc/feed": "E0202",
}


@pytest.mark.fault("33", "a data set in a dangerous or foreign place", times=1)
@pytest.mark.parametrize("place", [place for place, code in REFUSED.items() if code])
def test_a_dangerous_place_is_refused_and_nothing_is_touched(world, place, trial):
    root = os.path.expanduser(place.format(world=world))
    before = snapshot(world)
    with pytest.raises(PlaceError) as caught:
        DataSet.create_or_open(root, inputs=[world / "logs"])
    assert caught.value.code == REFUSED[place]
    assert snapshot(world) == before


@pytest.mark.parametrize(
    ("pattern", "out", "is_fine"),
    [
        ("logs/dt=*/*.parquet", "logs/out", True),
        ("logs/dt=*/*.parquet", "logs/dt=2", False),
        ("logs/dt=*/*.parquet", "logs/dt=1/out", True),
        ("logs/*/*.parquet", "logs/out", False),
        ("logs/**/*.parquet", "logs/a/b", False),
        ("logs/dt=1/a.parquet", "logs/out", True),
        ("logs/dt=1/a.parquet", "logs/dt=1/out", True),
        ("logs/dt=1/a.parquet", "logs/dt=1", False),
        ("log*", "logs/out", False),
        ("log*", "out", True),
    ],
)
def test_an_output_may_lie_beside_what_a_glob_reads_never_inside(world, pattern, out, is_fine):
    if is_fine:
        assert DataSet.create_or_open(world / out, [world / pattern]).current() is None
    else:
        with pytest.raises(PlaceError, match="input"):
            DataSet.create_or_open(world / out, [world / pattern])


@pytest.mark.parametrize("place", [".", "{world}/empty", "{world}/new/deep", "../work/../work/x"])
def test_an_empty_or_a_new_folder_becomes_a_data_set(world, place):
    root = place.format(world=world)
    assert DataSet.create_or_open(root).current() is None
    assert DataSet.open(root).current() is None


@pytest.mark.parametrize("stage", ["folder", "marker", "log"])
def test_a_first_build_that_died_early_does_not_block_the_next(world, stage):
    (world / "empty/_staging").mkdir()
    if stage != "folder":
        (world / "empty/_staging/rankdistill").touch()
    if stage == "log":
        (world / "empty/builds/_delta_log").mkdir(parents=True)
    with pytest.raises(PlaceError) as caught:
        DataSet.open(world / "empty")
    assert caught.value.code == "E0201"
    assert DataSet.create_or_open(world / "empty").current() is None


@pytest.mark.parametrize("place", ["foreign", "empty", "file", "nowhere"])
def test_only_a_data_set_opens(world, place):
    before = snapshot(world)
    with pytest.raises(PlaceError) as caught:
        DataSet.open(world / place)
    assert caught.value.code == "E0201"
    assert snapshot(world) == before


def test_a_foreign_delta_table_named_builds_is_not_ours(world):
    from deltalake import DeltaTable

    DeltaTable.create(world / "empty/builds", SCHEMAS["lists"])
    before = snapshot(world)
    for call in (DataSet.open, DataSet.create_or_open):
        with pytest.raises(PlaceError):
            call(world / "empty")
    assert snapshot(world) == before
