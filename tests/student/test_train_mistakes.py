"""What a mistake in the folder, the config or the command of a training is answered with."""

from __future__ import annotations

import errno
import json
import os
import stat

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from safetensors import SafetensorError

from rankdistill import cli
from rankdistill.errors import TrainingError
from rankdistill.export.folder import new_folder
from rankdistill.student import checkpoint as checkpoints
from rankdistill.student.folder import read_run
from rankdistill.student.same_run import differences
from tests.student.kit import built, plan_of, train


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return built(tmp_path_factory.mktemp("mistakes"))[0]


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    """A finished run of one epoch."""
    folder = tmp_path_factory.mktemp("run") / "run"
    train(plan_of(config, "train.epochs=1"), folder)
    return folder


def told(code, *arguments):
    """What a command that ends with this exit code says."""
    result = CliRunner().invoke(cli.app, [str(each) for each in arguments])
    assert result.exit_code == code, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def refused(config, code, tmp_path, *overrides):
    sets = [part for each in overrides for part in ("--set", each)]
    return told(code, "train", "-c", config, "--out", tmp_path / "run", *sets)


@pytest.mark.parametrize("inside", ["", "run"])
def test_a_file_where_the_run_should_go_is_told(config, tmp_path, inside):
    (tmp_path / "file").write_text("mine")
    said = told(4, "train", "-c", config, "--out", tmp_path / "file" / inside)
    assert "error[E0202]" in said and "cannot be written" in said
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(("number", "code"), [(28, "E0402"), (30, "E0202"), (13, "E0202")])
def test_a_disk_that_takes_nothing_is_no_fault_of_ours(config, tmp_path, monkeypatch, number, code):
    def full(tensors, place):
        raise SafetensorError(f"Error while serializing: I/O error: no (os error {number})")

    monkeypatch.setattr(checkpoints, "save_file", full)
    said = told(4, "train", "-c", config, "--out", tmp_path / "run")
    assert f"error[{code}]" in said and os.strerror(number) in said and "step-" in said


def test_an_export_that_the_disk_has_no_room_for_leaves_nothing(tmp_path):
    def fail():
        raise OSError(errno.ENOSPC, "no room")

    def write():
        with new_folder(tmp_path / "out", tmp_path / "data") as folder:
            folder.write("a", b"1", 1)
            folder.close = fail
            folder.close()

    with pytest.raises(OSError, match="no room"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_read_by_whom_the_rest_of_the_run_is(run):
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (run / "checkpoints").iterdir()}
    assert modes == {0o640}


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("train.epochs=2", "train.epochs: 1 there, 2 asked for"),
        ("train.objectives={main: [{kind: bpr}]}", "train.objectives.main: ["),
        ("train.model.dim=9", "train.model.dim: 8 there, 9 asked for"),
        ("samples.pairwise.top_k=4", "samples.pairwise.top_k: 5 there, 4 asked for"),
        ("seed=3", "seed: "),
    ],
)
def test_what_differs_from_the_run_that_is_there_is_named(config, run, override, difference):
    overrides = [part for each in ("train.epochs=1", override) for part in ("--set", each)]
    said = told(6, "train", "-c", config, "--out", run, *overrides)
    (line,) = [line for line in said.splitlines() if "found" in line]
    assert difference in line


def test_the_number_of_processes_and_the_days_are_named_too(config, run):
    plan = plan_of(config, "train.epochs=1", dts=("2026-11-01",), processes=2)
    with pytest.raises(TrainingError, match="another config") as stopped:
        train(plan, run)
    assert "number of processes: 1 there, 2 asked for" in stopped.value.found
    assert 'days: ["2026-11-01", "2026-11-02"] there, ["2026-11-01"]' in stopped.value.found


def test_a_run_does_not_differ_from_itself(config, run):
    asked = json.loads(json.dumps(plan_of(config, "train.epochs=1").facts()))
    assert list(differences(read_run(run), asked)) == []


def test_no_folder_an_empty_one_and_a_damaged_run_are_told_apart(run, tmp_path):
    assert "no such folder" in told(6, "evaluate", "--run", tmp_path / "none")
    assert "no run.json in it" in told(6, "evaluate", "--run", tmp_path)
    (tmp_path / "run.json").write_text((run / "run.json").read_text()[:99])
    said = told(6, "evaluate", "--run", tmp_path)
    assert "run.json of the run in" in said and "--out" in said


def test_what_evaluate_is_to_set_is_called_as_it_is_set(run, tmp_path):
    said = told(2, "evaluate", "--run", run, "--set", "evaluate.kk=[3]")
    assert 'unknown key "kk" in evaluate' in said and "--set 'evaluate.k=[3]'" in said
    assert "only evaluate.* can be set" in told(2, "evaluate", "--run", run, "--set", "k=[3]")
    (tmp_path / "file").write_text("mine")
    said = told(4, "evaluate", "--run", run, "--split", "valid", "--out", tmp_path / "file")
    assert "cannot be written" in said and "intervals" not in said


def test_a_run_that_has_ended_says_so(config, run):
    said = told(0, "train", "-c", config, "--out", run, "--set", "train.epochs=1")
    assert "has ended before: nothing is left to train" in said


def test_where_every_checkpoint_is_damaged_none_is_said_to_be_tried(config, tmp_path):
    train(plan_of(config, "train.epochs=1"), tmp_path / "run")
    for file in (tmp_path / "run" / "checkpoints").glob("*.safetensors"):
        file.write_bytes(b"")
    said = refused(config, 6, tmp_path, "train.epochs=1")
    assert said.count("warning:") == 2 and said.count("the one before it is tried") == 1
    assert "no checkpoint in" in said and "2 damaged" in said


@pytest.mark.parametrize(
    ("override", "code", "words"),
    [
        (
            "train.fields.item=[{kind: id, column: item_idd}]",
            2,
            ["known are item_id", "log.columns"],
        ),
        ("train.fields.item=[{kind: number, column: item_price}]", 2, ["under features"]),
        ("train.fields.item=[{kind: number, column: click}]", 2, ["seen by neither side"]),
        ("train.mode=incremental", 2, ["set train.start.run"]),
        ("train.validation.measure=catalogue_ndcg@10", 2, ["is for `evaluate`"]),
        ("train.objectives.main=bcee", 2, ['--set \'train.objectives.main=[{"kind": "bce"}]']),
        ("evaluate.k=abc", 2, ["must be a list"]),
        ("train.validation=none", 2, ["did you mean null?   --set train.validation=null"]),
    ],
)
def test_a_mistake_in_the_config_is_told_with_what_to_do(config, tmp_path, override, code, words):
    said = refused(config, code, tmp_path, override)
    assert [word for word in words if word not in said] == []
    assert '["abc"]' not in said and not (tmp_path / "run").exists()


def test_an_incremental_run_is_told_how_often_it_was_to_pass(config, run, tmp_path):
    overrides = ("train.mode=incremental", f"train.start.run={run}", "train.epochs=6")
    said = refused(config, 2, tmp_path, *overrides)
    assert "not 6 times: set train.epochs to 1" in said


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (("yesterday", "2026-11-02"), "not yesterday"),
        (("2026-11-02", "2026-11-01"), "give the earlier day as --from"),
        (("2026-12-01", "2026-12-02"), "--from 2026-12-01 --to 2026-12-02; the build has"),
    ],
)
def test_days_that_are_none_are_told(config, tmp_path, ends, words):
    first, last = ends
    out = tmp_path / "run"
    assert words in told(2, "train", "-c", config, "--out", out, "--from", first, "--to", last)


def test_a_log_that_does_not_tell_what_was_shown_teaches_no_feedback(tmp_path):
    sets = ("log.stage={from: constant, stage: ranked}", "log.columns.position=null")
    config, _ = built(tmp_path, sets)
    said = refused(config, 6, tmp_path, *sets)
    assert 'the losses on "feedback" have nothing to learn from' in said
    assert "map what was shown" in said
    order_alone = [*sets, "train.objectives={main: [{kind: bpr}]}", "train.epochs=1"]
    refused(config, 0, tmp_path / "order", *order_alone, "train.validation=null")


def test_no_request_to_validate_on_and_none_to_be_measured_are_told_apart(tmp_path):
    late = built(tmp_path, ["split.train_until=2026-12-01T00:00:00Z"])[0]
    said = refused(late, 6, tmp_path, "split.train_until=2026-12-01T00:00:00Z")
    assert "no request of the build is of split valid" in said
    of_responses = ("log.response.click=99", "train.validation.measure=response_ndcg@10")
    silent = built(tmp_path / "silent", of_responses[:1])[0]
    order = "train.objectives={main: [{kind: bpr}]}"
    said = refused(silent, 6, tmp_path / "silent", *of_responses, order)
    assert "no request can be validated by response_ndcg@10" in said


def test_a_run_that_is_refused_before_it_begins_leaves_no_folder(config, tmp_path):
    more = ["--from", "2026-11-02T23:59:59.999999"]
    told(6, "train", "-c", config, "--out", tmp_path / "run", *more)
    assert not (tmp_path / "run").exists()
