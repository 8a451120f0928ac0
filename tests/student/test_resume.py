"""A run that is killed and resumed ends with the same bytes as one that is not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from rankdistill import cli
from tests.student.kit import Killed, built, kill_at, plan_of, train, train_until


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    return folder, built(folder)[0]


def hashes(folder: Path) -> dict[str, str]:
    found = {}
    for file in sorted((folder / "checkpoints").glob("*.json")):
        found[file.stem] = json.loads(file.read_text())["sha256"]
    return found


@pytest.fixture(scope="module")
def whole(place):
    folder, config = place
    train(plan_of(config), folder / "whole")
    return hashes(folder / "whole")


def test_the_student_learns_the_order(place, whole):
    lines = (place[0] / "whole" / "metrics.jsonl").read_text().splitlines()
    first, *_, last = (json.loads(line)["validation"]["opa"] for line in lines)
    assert last > 0.5 and last >= first - 0.01


def test_killed_at_any_step_and_resumed_it_ends_with_the_same_bytes(place, whole, tmp_path):
    _, config = place
    kills = range(1, max(int(name.split("-")[1]) for name in whole))
    assert len(kills) >= 20
    for num_steps in kills:
        run = tmp_path / f"killed-{num_steps}"
        train_until(plan_of(config), run, num_steps)
        train(plan_of(config), run)
        assert hashes(run) == whole, num_steps


def test_killed_again_and_again_it_still_ends_with_the_same_bytes(place, whole, tmp_path):
    _, config = place
    for _ in range(200):
        try:
            train(plan_of(config), tmp_path / "run", notify=kill_at(4))
            break
        except Killed:
            continue
    assert hashes(tmp_path / "run") == whole


def test_a_sigkill_from_outside_loses_nothing(place, whole, tmp_path):
    _, config = place
    out = tmp_path / "run"
    command = [sys.executable, "-m", "rankdistill", "train", "-c", str(config), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    subprocess.run(command, check=True, capture_output=True)
    assert hashes(out) == whole


def test_a_finished_run_is_not_trained_again(place, whole, tmp_path):
    folder, config = place
    before = hashes(folder / "whole")
    steps = []
    train(plan_of(config), folder / "whole", notify=lambda event, **_: steps.append(event))
    assert "progress" not in steps and hashes(folder / "whole") == before


@pytest.mark.parametrize("damage", ["cut", "changed", "no json", "half json", "header"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(place, whole, tmp_path, damage):
    _, config = place
    train_until(plan_of(config), tmp_path / "run", 5)
    newest = max((tmp_path / "run" / "checkpoints").glob("*.safetensors"))
    data = newest.read_bytes()
    if damage == "cut":
        newest.write_bytes(data[: len(data) // 2])
    elif damage == "changed":
        newest.write_bytes(data[:-4] + bytes(4 * [1]))
    elif damage == "header":
        newest.write_bytes((2**60).to_bytes(8, "little") + data[8:])
    elif damage == "half json":
        beside = newest.with_suffix(".json")
        beside.write_text(beside.read_text()[:50])
    else:
        newest.with_suffix(".json").unlink()
    said = train(plan_of(config), tmp_path / "run")
    assert hashes(tmp_path / "run") == whole
    assert bool(said) == (damage != "no json")


@pytest.mark.parametrize("name", ["run.json", "checkpoints"])
@pytest.mark.fault("42", "a training run of another version", times=1)
def test_a_run_of_another_version_is_refused_and_left_alone(place, whole, tmp_path, name, trial):
    shutil.copytree(place[0] / "whole", tmp_path / "run")
    for file in [tmp_path / "run" / name, *(tmp_path / "run" / name).glob("*.json")]:
        if file.is_file():
            file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 2}))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    asked = ["train", "-c", str(place[1]), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(cli.app, asked)
    assert result.exit_code == 6 and "error[E0503]" in result.stderr
    assert "schema_version 2, and this version knows 1" in result.stderr
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_run_of_another_config_is_refused_and_left_alone(place, whole, tmp_path):
    folder, config = place
    before = hashes(folder / "whole")
    asked = ["train", "-c", str(config), "--out", str(folder / "whole")]
    result = CliRunner().invoke(cli.app, [*asked, "--set", "train.model.dim=9"])
    assert result.exit_code == 6
    assert "E0503" in result.stderr and "asked for" in result.stderr
    assert hashes(folder / "whole") == before


def test_a_folder_of_somebody_else_is_refused(place, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    result = CliRunner().invoke(cli.app, ["train", "-c", str(place[1]), "--out", str(tmp_path)])
    assert result.exit_code == 6 and "E0503" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]
