"""Verbs that write where they are told to: a place that is not theirs stays as it is, a disk that
is full is told, and what was damaged since it was published is named."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

from verbs_kit import FILES, FOLDERS, PAGES, VERBS, act, furnish
from whole_kit import run, small_files

from rankdistill.store.dataset import DataSet

NOT_NEW = ("/", "home", "home/..", "foreign", "link", "nowhere", "feed")
NO_FOLDER = ("file", "file/new", "linked", "feed/lists/new")
NO_FILE = ("foreign", "link", "nowhere", "file", "file/new", "linked", "feed.yaml")
REFUSED = [
    *((verb, out) for verb in FOLDERS for out in (*NOT_NEW, *NO_FOLDER)),
    *((verb, out) for verb in PAGES for out in (*NO_FOLDER, "nowhere")),
    *(
        (verb, out)
        for verb in FILES
        for out in NO_FILE
        if (verb, out) != ("check --result", "file/new")
    ),
]


@pytest.fixture(scope="module")
def furnished(world, tmp_path_factory):
    """A folder with a data set and a run of ours, and somebody's things."""
    folder = tmp_path_factory.mktemp("furnished")
    furnish(world, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        act("train", "run")
    for name in ("foreign", "home"):
        (folder / name).mkdir()
    for name in ("foreign/thesis.txt", "home/letter", "file"):
        (folder / name).write_text("mine")
    for name, target in (("link", "foreign"), ("nowhere", "none"), ("linked", "file")):
        (folder / name).symlink_to(folder / target)
    return folder


@pytest.fixture
def place(furnished, monkeypatch, tmp_path):
    """The same as the working folder, with a home in it, which a test must not change."""
    monkeypatch.chdir(furnished)
    monkeypatch.setenv("HOME", str(furnished / "home"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    before = snapshot(furnished)
    yield furnished
    assert snapshot(furnished) == before


def snapshot(folder):
    """Every path with its bytes or its target."""
    return {str(path.relative_to(folder)): held(path) for path in sorted(folder.rglob("*"))}


def held(path):
    if path.is_symlink():
        return path.readlink()
    return path.read_bytes() if path.is_file() else None


@pytest.mark.fault("33", "a verb told to write where it may not", times=1)
@pytest.mark.parametrize(("verb", "out"), REFUSED)
def test_a_verb_leaves_a_place_that_is_not_its_own(place, verb, out, trial):
    is_other = verb == "train" and out in NOT_NEW and out != "nowhere"  # than a run of its own
    said = act(verb, out, 6 if is_other else 4)
    assert ("error[E0503]" if is_other else "error[E020") in said


@pytest.mark.fault("28", "no room for what a verb writes", times=2)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_without_room_says_so_and_runs_once_there_is(place, tmp_path, verb, trial):
    out = str(tmp_path / "out")
    with small_files((100, 700)[trial]) as no_more:
        no_more()
        if verb != "check --result":  # it has shown its result, and warns
            said = act(verb, out, 4)
            assert "error[E0402]" in said and " free at " in said
    act(verb, out)


@pytest.mark.fault("28", "no room for a checkpoint", times=3)
def test_a_run_without_room_for_a_checkpoint_goes_on_once_there_is(place, tmp_path, trial):
    out = tmp_path / "out"
    with small_files(3500 + 500 * trial) as no_more:
        no_more()
        assert "error[E0402]" in act("train", str(out), 4)
    assert (out / "run.json").exists() and not list(out.glob("checkpoints/*.json"))
    act("train", str(out))
    (best,) = {file.stem for file in out.glob("checkpoints/*.json")}
    file = f"checkpoints/{best}.safetensors"
    assert (out / file).read_bytes() == (place / "run" / file).read_bytes()


def flip(file, other):
    """A bit of the values of the first column."""
    raw = bytearray(file.read_bytes())
    raw[20] ^= 1
    file.write_bytes(raw)


def swap(file, other):
    shutil.copy(other, file)


def delete(file, other):
    file.unlink()


def cut(file, other):
    file.write_bytes(file.read_bytes()[:-8])


READERS = {
    "verify": "verify --data {data}",
    "train": "train -c feed.yaml --output {data} --out {out}",
    "export-samples": "export-samples --as triplet --table pairwise --data {data} --out {out}",
    "check --recompute": "check --recompute --data {data}",
}


def read(verb, folder, code=0):
    parts = READERS[verb].split()
    return run(
        *(part.format(data=folder / "feed", out=folder / "out") for part in parts), code=code
    )


@pytest.mark.fault("34", "a part damaged after publishing: each reader refuses, names it", times=1)
@pytest.mark.parametrize("damage", [flip, swap, delete, cut])
@pytest.mark.parametrize("verb", READERS)
def test_a_reader_refuses_a_damaged_part_by_name(place, tmp_path, verb, damage, trial):
    data = DataSet.open(shutil.copytree(place / "feed", tmp_path / "feed"))
    table = "pairwise" if verb == "export-samples" else "lists"
    file, *_, other = map(Path, data.files(table))
    damage(file, other)
    said = read(verb, tmp_path, code=4)
    assert "error[E0204]" in said and file.name in said
    assert not (tmp_path / "out").exists()


@pytest.mark.fault("34", "a stray file after publishing changes nothing", times=1)
@pytest.mark.parametrize("verb", READERS)
def test_a_reader_does_not_see_a_stray(place, tmp_path, verb, trial):
    whole, with_stray = tmp_path / "whole", tmp_path / "stray"
    for folder in (whole, with_stray):
        shutil.copytree(place / "feed", folder / "feed")
    for table in ("lists", "pairwise", "metrics"):
        file = Path(DataSet.open(with_stray / "feed").files(table)[0])
        shutil.copy(file, file.with_name("stray.parquet"))
    for folder in (whole, with_stray):
        read(verb, folder)
    written = [
        {p.name: p.read_bytes() for p in (f / "out").glob("*.parquet")} for f in (whole, with_stray)
    ]
    assert written[0] == written[1]
