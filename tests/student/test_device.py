"""Training on a device: what a GPU must hold, and as much of it as any machine can see."""

from __future__ import annotations

import json
import os
from unittest.mock import patch

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import distributed
from torch.nn.modules.module import register_module_forward_hook
from typer.testing import CliRunner

from rankdistill import cli
from rankdistill.errors import ResourceError, TrainingError
from rankdistill.student import meeting, scoring
from rankdistill.student import plan as plans
from rankdistill.student.device import WORKSPACE, device_of, exactly
from rankdistill.student.folder import read_run
from rankdistill.student.parallel import group_of_processes
from tests.student import pretended
from tests.student.kit import built, last_checkpoint, plan_of, train, train_until
from tests.student.loss_kit import variants
from tests.student.test_objectives import EVERY, OVERRIDES
from tests.student.test_start import vectors

TERMS = [{"kind": kind, **given} for kind, given in variants()]
TERMS += [term.model_dump(mode="json") for term in EVERY["main"]]
TERMS += [{"kind": "sampled_softmax", "uniform": 3}]
CLICKS = [{"kind": "bce", "feedback": "click"}, {"kind": "cosine", "on": "feedback"}]
ALL = f"train.objectives={json.dumps({'main': TERMS, 'click': CLICKS})}"
FIELDS = (
    "train.fields.user=[{kind: id, column: user_id}, {kind: category, column: scene}, "
    "{kind: history, column: responses, last: 5}]",
    "train.fields.item=[{kind: id, column: item_id}, {kind: category, column: category}, "
    "{kind: number, column: item_id}]",
)
SHORT = (*OVERRIDES, "train.epochs=1")
TOWERS = "train.model={kind: two_tower, dim: 4, towers: [8, 4], network: dcn}"
COSINE = "train.model={kind: two_tower, dim: 4, towers: [8, 4], similarity: cosine}"
BF16 = "train.precision=bf16"
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return built(tmp_path_factory.mktemp("device"), OVERRIDES)[0]


@pytest.fixture(scope="module")
def call():
    pytest.importorskip("torch.utils.backend_registration")
    with pretended.elsewhere() as found:
        yield found


def test_the_pretended_device_finds_what_a_gpu_would_not_take(call):
    not_moved, not_twice = call(pretended.faults)
    assert "was not moved" in not_moved and "same bytes twice" in not_twice


@pytest.mark.parametrize(
    ("own", "how"),
    [
        ((), ""),
        ((*FIELDS, TOWERS, ALL), "killed"),
        ((COSINE, "train.optimizer.clip=1", ALL), "twice"),
    ],
)
def test_a_training_on_a_device_computes_what_one_on_the_cpu_does(config, call, tmp_path, own, how):
    here, there = call(pretended.runs, config, tmp_path, [*SHORT, *own], how)
    assert here == there


def test_so_does_one_that_goes_on_from_another_run_or_from_vectors(config, call, tmp_path):
    given = vectors(tmp_path, [*range(100)], np.random.default_rng(0).normal(size=(100, 20)))
    first = json.dumps({"item_id": given.model_dump()})
    full = [*SHORT, f"train.start.vectors={first}"]
    here, there = call(pretended.runs, config, tmp_path / "full", full, "")
    assert here == there
    hours = [*SHORT, "train.mode=incremental", f"train.start.run={tmp_path / 'full' / 'cpu'}"]
    here, there = call(pretended.runs, config, tmp_path / "hours", hours, "")
    assert here == there and here[1][0]["rows"]


@no_cuda
def test_without_cuda_auto_is_the_cpu_and_cuda_a_clear_error(config, tmp_path):
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")
    asked = ["train", "-c", str(config), "--out", str(tmp_path / "run")]
    told = CliRunner().invoke(cli.app, [*asked, "--set", "train.device=cuda"])
    assert told.exit_code == 4 and "E0405" in told.stderr and "no CUDA device" in told.stderr
    assert not (tmp_path / "run").exists()


def test_each_process_of_a_machine_has_a_device_of_its_own():
    with patch.object(torch.cuda, "device_count", lambda: 2):
        for rank in range(2):
            with patch.dict(os.environ, LOCAL_RANK=str(rank)):
                assert device_of("auto") == device_of("cuda") == torch.device("cuda", rank)
        with patch.dict(os.environ, LOCAL_RANK="2"):
            assert device_of("cpu") == torch.device("cpu")
            with pytest.raises(ResourceError, match="no CUDA device of its own") as caught:
                device_of("auto")
    assert caught.value.code == "E0405" and "--nproc-per-node 2" in caught.value.help


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda:1", "cpu:gloo,cuda:nccl")])
def test_processes_talk_by_the_backend_of_their_devices(device, backend):
    begun = {}
    with (
        patch.dict(os.environ, WORLD_SIZE="2"),
        patch.object(distributed, "init_process_group", lambda name, **_: begun.update(name=name)),
        patch.object(distributed, "get_rank", lambda: 1),
        patch.object(distributed, "destroy_process_group", lambda: begun.update(is_over=True)),
        group_of_processes(torch.device(device)) as group,
    ):
        assert (group.rank, group.size) == (1, 2)
    assert begun == {"name": backend, "is_over": True}


def test_on_cuda_only_algorithms_are_used_that_give_the_same_bytes_twice():
    chosen = []
    own = {name: value for name, value in os.environ.items() if name != WORKSPACE}
    with (
        patch.dict(os.environ, own, clear=True),
        patch.object(torch.cuda, "set_device", chosen.append),
        exactly(torch.device("cuda:1")),
    ):
        assert os.environ[WORKSPACE] == ":4096:8" and chosen == [torch.device("cuda:1")]
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    with exactly(torch.device("cpu")):
        assert not torch.are_deterministic_algorithms_enabled()
    with (
        patch.dict(os.environ, {WORKSPACE: ":0:0"}),
        pytest.raises(ResourceError, match=WORKSPACE),
        exactly(torch.device("cuda:1")),
    ):
        pass


def test_a_full_gpu_is_told_with_the_settings_to_change():
    with (
        patch.dict(os.environ),
        patch.object(torch.cuda, "set_device"),
        pytest.raises(ResourceError, match="memory of cuda:0 ran out") as caught,
        exactly(torch.device("cuda:0")),
    ):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
    assert caught.value.code == "E0403" and "train.batch.slots" in caught.value.help
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_run_of_another_device_is_not_gone_on_with(config, tmp_path):
    train(plan_of(config, *SHORT, "train.device=cpu"), tmp_path)
    assert read_run(tmp_path)["options"]["device"] == "cpu"
    before = sha256_of(tmp_path)
    with patch.object(plans, "device_of", lambda asked: torch.device("meta")):
        other = plan_of(config, *SHORT)
        with pytest.raises(TrainingError, match="another config") as caught:
            train(other, tmp_path)
    assert caught.value.code == "E0503" and "device" in caught.value.help
    assert sha256_of(tmp_path) == before


def trained(config, folder, *own):
    """(tensors, losses of the first epoch) of a short training."""
    train(plan_of(config, *SHORT, *own), folder)
    found = last_checkpoint(folder)
    return found.tensors, found.facts["history"][0]["losses"]


def test_in_bf16_the_towers_alone_compute_so_and_only_in_training(config, tmp_path):
    layers, met = set(), set()

    def see(module, given, made):
        if isinstance(module, torch.nn.Linear):
            layers.add((module.training, made.dtype))

    def meet(users, items, chunk):
        met.update({users.dtype, items.dtype})
        return meeting.meet(users, items, chunk)

    with register_module_forward_hook(see), patch.object(scoring, "meet", meet):
        tensors, losses = trained(config, tmp_path / "bf16", TOWERS, ALL, BF16)
    assert layers == {(True, torch.bfloat16), (False, torch.float32)} and met == {torch.float32}
    assert {each.dtype for each in tensors.values()} == {torch.float32}
    plain, wanted = trained(config, tmp_path / "float32", TOWERS, ALL)
    assert losses == pytest.approx(wanted, rel=0.05, abs=0.02) and losses != wanted
    assert any((tensors[name] != each).any() for name, each in plain.items())


@pytest.mark.parametrize("own", [("train.precision=float32", TOWERS), (BF16,)])
def test_in_float32_and_of_a_model_without_layers_nothing_is_cast(config, tmp_path, own):
    tensors, _ = trained(config, tmp_path / "plain", *own[1:])
    with patch.object(torch, "autocast", side_effect=AssertionError):
        found, _ = trained(config, tmp_path / "run", *own)
    assert all(torch.equal(tensors[name], each) for name, each in found.items())


def test_a_killed_run_in_bf16_ends_with_the_same_bytes(config, tmp_path):
    own = plan_of(config, *SHORT, TOWERS, BF16)
    train(own, tmp_path / "whole")
    train_until(own, tmp_path / "killed", 3)
    train(own, tmp_path / "killed")
    assert sha256_of(tmp_path / "killed") == sha256_of(tmp_path / "whole")


def sha256_of(folder):
    return last_checkpoint(folder).facts["sha256"]


@needs_cuda
@pytest.mark.parametrize("own", [(), (*FIELDS, TOWERS, ALL), (*FIELDS, TOWERS, BF16)])
def test_on_cuda_an_epoch_is_close_to_the_cpu_s(config, tmp_path, own):
    _, wanted = trained(config, tmp_path / "cpu", *own, "train.device=cpu")
    _, losses = trained(config, tmp_path / "cuda", *own, "train.device=cuda")
    assert losses == pytest.approx(wanted, rel=0.05, abs=0.02)


@needs_cuda
@pytest.mark.parametrize("own", [(), (*FIELDS, TOWERS, ALL), (*FIELDS, TOWERS, BF16)])
def test_on_cuda_a_killed_run_ends_with_the_same_bytes(config, tmp_path, own):
    plan = plan_of(config, *SHORT, *own, "train.device=cuda")
    train(plan, tmp_path / "whole")
    for num_steps in range(1, 6):
        folder = tmp_path / f"killed-{num_steps}"
        train_until(plan, folder, num_steps)
        train(plan, folder)
        assert sha256_of(folder) == sha256_of(tmp_path / "whole"), num_steps
