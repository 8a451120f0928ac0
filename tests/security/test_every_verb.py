"""Every verb with the network shut, and what they leave is for the owner and the group alone."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from rankdistill.cli import VERBS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GIVEN = ("feed.yaml", "mine.yaml", "users.parquet", "items.parquet")
NO_NET = ["unshare", "--map-root-user", "--net"]  # of native code, too
BLOCKED = (
    "import socket; socket.create_connection(('127.0.0.1', 9))",
    "import socket; socket.socket(socket.AF_UNIX).connect('/nowhere')",
    "import socket; socket.gethostbyname('localhost')",
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1')",
)


def offline(told: Path) -> dict[str, str]:
    """The environment of a Python that the hook keeps from the network."""
    plain = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    path = os.pathsep.join([str(HERE / "offline"), str(ROOT)])
    return {**plain, "PYTHONPATH": path, "OFFLINE_TOLD": str(told)}


def can_unshare() -> bool:
    return bool(shutil.which("unshare")) and not subprocess.run([*NO_NET, "true"]).returncode


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(the folder in which every verb ran, {verb: exit codes}, what asked for the network)."""
    folder = tmp_path_factory.mktemp("verbs")
    told = tmp_path_factory.mktemp("told") / "told"
    told.touch()
    child = subprocess.run(
        [*(NO_NET if can_unshare() else []), sys.executable, str(HERE / "every_verb.py")],
        cwd=folder,
        env=offline(told),
        umask=0o022,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert child.returncode == 0, child.stderr
    codes = json.loads(child.stdout.splitlines()[-1])
    return folder, codes, told.read_text().splitlines()


def test_no_verb_asks_for_the_network_or_needs_it(done):
    _, codes, asked = done
    assert asked == []
    assert [verb for verb, code in codes if code] == []
    every = {act.__name__.replace("_", "-") for act in VERBS}
    assert {verb for verb, _ in codes} == every - {"demo"}


def test_what_verbs_leave_is_for_the_owner_and_the_group_alone(done):
    folder, *_ = done
    modes = {
        str(path.relative_to(folder)): oct(stat.S_IMODE(path.stat().st_mode))
        for path in folder.rglob("*")
        if str(path.relative_to(folder)) not in GIVEN
    }
    wanted = {name: oct(0o750 if (folder / name).is_dir() else 0o640) for name in modes}
    assert len(modes) > 100
    assert modes == wanted


def test_native_code_had_no_network_either():
    if not can_unshare():
        pytest.skip("THE NETWORK WAS SHUT FOR PYTHON ALONE: no unshare --net here")
    tried = [*NO_NET, sys.executable, "-c", BLOCKED[0]]
    child = subprocess.run(tried, capture_output=True, text=True, check=False)
    assert "Network is unreachable" in child.stderr


@pytest.mark.parametrize("code", BLOCKED)
def test_what_asks_for_the_network_is_refused_and_told(tmp_path, code):
    told = tmp_path / "told"
    tried = [sys.executable, "-c", code]
    child = subprocess.run(tried, env=offline(told), capture_output=True, check=False)
    assert child.returncode == 1 and b"offline: " in child.stderr
    assert told.read_text()
