"""Files and folders of ours: a stricter umask stays, and nothing is written through a link."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rankdistill import cli
from rankdistill.errors import PlaceError
from rankdistill.private import create, kept_from_others, open_to_append
from rankdistill.store.files import replace_text
from tests.security.every_verb import CONFIG

SIZES = ("num_requests=10", "num_candidates=12", "num_ranked=8", "num_exposed=3", "days=1")
# Of a data set; a build and a rollback would write into each.
INSIDE = ("_staging", "lists", "rejects", "builds", "builds/_delta_log", "lists/_delta_log")
OF_LOG = ("log", "truth", "vectors", ".partial", "log/dt=2026-11-01")


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli.app, [*arguments])
    return done.exit_code, done.stderr


def simulate(out: str, *more: str) -> tuple[int, str]:
    return run("simulate", "--out", out, *(f"--set={size}" for size in (*SIZES, *more)))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert simulate("sim")[0] == 0
        Path("feed.yaml").write_text(CONFIG)
        assert run("build", "-c", "feed.yaml")[0] == 0
    return folder


@pytest.fixture
def place(built, tmp_path, monkeypatch):
    for name in ("sim", "feed"):
        shutil.copytree(built / name, tmp_path / name)
    shutil.copy(built / "feed.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def linked(inner: Path) -> dict[Path, bytes]:
    """Have a link in place of a folder or nothing, to a folder apart; what that holds."""
    elsewhere = Path("elsewhere")
    inner.rename(elsewhere) if inner.exists() else elsewhere.mkdir()
    inner.symlink_to(elsewhere.absolute())
    return held(elsewhere)


def held(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize("verb", ["build -c feed.yaml --force", "rollback 1 --data feed"])
@pytest.mark.parametrize("inner", INSIDE)
def test_a_link_within_a_data_set_is_not_written_through(place, verb, inner):
    before = linked(place / "feed" / inner)
    code, said = run(*verb.split())
    assert code == 4 and "error[E0202]: refusing to write through a symbolic link" in said
    assert held(Path("elsewhere")) == before


@pytest.mark.parametrize("inner", OF_LOG)
def test_a_link_within_a_simulated_log_is_not_written_through(place, inner):
    before = linked(place / "sim" / inner)
    if inner.startswith("log/"):  # a day that was never told of: it is written anew
        text = Path("sim/simulate.json").read_text()
        Path("sim/simulate.json").write_text(text.replace('"2026-11-01"\n', ""))
    code, said = simulate("sim", "days=2")
    assert code == 4 and "it is a link" in said
    assert held(Path("elsewhere")) == before


@pytest.mark.parametrize("write", [create, open_to_append, lambda path: replace_text(path, "")])
def test_no_file_is_opened_through_a_link(tmp_path, write):
    other = tmp_path / "other"
    other.write_text("theirs")
    (tmp_path / "link").symlink_to(other)
    with pytest.raises((OSError, PlaceError)):
        write(tmp_path / "link")
    assert other.read_text() == "theirs" and (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0, 0o640, 0o750), (0o022, 0o640, 0o750), (0o077, 0o600, 0o700)]
)
def test_others_get_nothing_and_a_stricter_umask_stays(tmp_path, umask, file, folder):
    before = os.umask(umask)
    try:
        with kept_from_others():
            (tmp_path / "folder").mkdir()
            (tmp_path / "file").touch()
            os.close(create(tmp_path / "own"))
    finally:
        assert os.umask(before) == umask
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "own", "folder")]
    assert [mode & 0o757 for mode in modes] == [file, file, folder]
