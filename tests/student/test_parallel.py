"""Processes that train one student make the steps of one that takes the mean of their losses."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from rankdistill.errors import TrainingError
from rankdistill.student.folder import load_student, read_run
from rankdistill.student.loader import Loader
from rankdistill.student.losses.schedule import Moment
from rankdistill.student.optimizer import Optimizer
from rankdistill.student.parallel import Group
from rankdistill.student.scoring import Scorer
from tests.pages_kit import named
from tests.student.kit import built, last_checkpoint, plan_of, train

TOWERS = "train.model={kind: two_tower, dim: 4, towers: [8, 4]}"
HEADS = "train.objectives={main: [{kind: bpr}], click: [{kind: bce}]}"


@dataclass
class Table:
    """Where the threads of a test lay what they tell each other."""

    size: int
    held: dict[int, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self):
        self.barrier = threading.Barrier(self.size, timeout=60)

    def exchange(self, rank, own):
        self.held[rank] = own.clone()
        self.barrier.wait()
        found = [self.held[each] for each in range(self.size)]
        self.barrier.wait()
        return found


@dataclass(frozen=True)
class Threads(Group):
    """A group whose processes are threads of this one."""

    table: Table | None = None

    def _gather(self, own):
        return self.table.exchange(self.rank, own)

    def _sum(self, own):
        return torch.stack(self.table.exchange(self.rank, own)).sum(0)


def together(size, act):
    """act(group) in as many threads; what each returned."""
    table = Table(size)
    with ThreadPoolExecutor(size) as threads:
        groups = [Threads(rank, size, table) for rank in range(size)]
        return list(threads.map(act, groups))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return built(tmp_path_factory.mktemp("parallel"))[0]


@pytest.fixture(scope="module")
def fields(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    train(plan_of(config, "train.epochs=1"), folder)
    return load_student(folder)[1]


def new_scorer(plan, fields):
    return Scorer.new(plan.options.model, fields, 3, 0.1, list(plan.objectives.terms))


def trained(plan, fields, group, num=6):
    """A student after some steps, each of the mean loss of as many batches as processes."""
    source = plan.learned
    make = plan.drawing(source, fields)
    scorer = new_scorer(plan, fields)
    optimizer = Optimizer(scorer, plan.options.optimizer, group)
    loader = Loader(source, make, plan.options.batch, plan.seed, rank=group.rank, world=group.size)
    found = []
    for chunk, _ in zip(loader.epoch(), range(num), strict=False):
        losses = dict(plan.objectives.losses(scorer.score(chunk), chunk, Moment(1, 0.5)))
        step = optimizer.gradients(losses)
        optimizer.update(step)
        found.append((dict(step.losses), step.norm))
    return {**scorer.tensors(), **optimizer.tensors()}, found


def trained_alone(plan, fields, size, num=3):
    """The same by one process that takes the mean of the losses of `size` batches."""
    source = plan.learned
    scorer = new_scorer(plan, fields)
    optimizer = Optimizer(scorer, plan.options.optimizer, Group())
    batches = list(
        Loader(source, plan.drawing(source, fields), plan.options.batch, plan.seed).epoch()
    )
    found = []
    for first in range(0, len(batches) - size + 1, size):
        losses: dict[str, torch.Tensor] = {}
        for chunk in batches[first : first + size]:
            own = plan.objectives.losses(scorer.score(chunk), chunk, Moment(1, 0.5))
            for name, loss in own:
                losses[name] = losses.get(name, torch.zeros(())) + loss / size
        step = optimizer.gradients(losses)
        optimizer.update(step)
        found.append((dict(step.losses), step.norm))
    return {**scorer.tensors(), **optimizer.tensors()}, found


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("own", [(), (TOWERS, HEADS), ("train.optimizer.clip=0.01",)])
def test_steps_are_those_of_one_process_on_the_mean_of_their_losses(config, fields, own, size):
    plan = plan_of(config, *own)
    wanted, told = trained_alone(plan, fields, size)
    assert len(told) >= 2
    # Made here: fresh weights come from a generator that threads would share.
    seeds = iter([new_scorer(plan, fields) for _ in range(size)])
    lock = threading.Lock()
    monkey = pytest.MonkeyPatch()

    def drawn(*_):
        with lock:
            return next(seeds)

    monkey.setattr(sys.modules[__name__], "new_scorer", drawn)
    try:
        every = together(size, lambda group: trained(plan, fields, group))
    finally:
        monkey.undo()
    for tensors, found in every:
        assert tensors.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert torch.allclose(tensors[name], tensor, rtol=1e-5, atol=1e-6), name
            assert torch.equal(tensors[name], every[0][0][name]), name
        for (losses, norm), (losses_alone, norm_alone) in zip(found, told, strict=True):
            assert losses == pytest.approx(losses_alone, rel=1e-5)
            assert norm == pytest.approx(norm_alone, rel=1e-5)


def test_what_processes_tell_comes_in_the_order_of_their_ranks():
    values = [{"a": 1}, None, "a longer text than the others", [2.5]]
    found = together(4, lambda group: group.told(values[group.rank]))
    assert found == [values] * 4
    assert Group().told(values) == [values]


def test_a_loss_that_is_not_finite_in_one_process_stops_all(config, tmp_path):
    plan = plan_of(config, "train.optimizer.lr=1e30", processes=2)

    def stopped(group):
        with pytest.raises(TrainingError, match="E0501"):
            train(plan, tmp_path / "run", group=group)
        return group.rank

    assert together(2, stopped) == [0, 1]
    assert {file.name for file in (tmp_path / "run").glob("bad*")} == {
        "bad_batch.json",
        "bad_batch.1.json",
    }


def torchrun(config, out, *overrides):
    """As docs/training.md has it."""
    places = {"feed.yaml": str(config), "RUN": str(out)}
    shown = [places.get(word, word) for word in shlex.split(named("training.md", "torchrun"))]
    assert shown[0] == "torchrun"
    command = [sys.executable, "-m", "torch.distributed.run"]
    command += ["--local-addr", "127.0.0.1", *shown[1:]]  # names need not be known here
    command += [part for each in overrides for part in ("--set", each)]
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": root, "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def ended(process):
    """(stdout, stderr) once it is over; it is ended where that takes too long."""
    try:
        return process.communicate(timeout=90)
    finally:
        process.terminate()


def workers_of(process):
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def test_two_processes_of_torchrun_do_as_the_threads_do(config, tmp_path):
    process = torchrun(config, tmp_path / "run", "train.metrics_every=2")
    said, why = ended(process)
    assert process.returncode == 0, why
    assert said.count("student in ") == 1  # the first process alone speaks
    plan = plan_of(config, processes=2)
    together(2, lambda group: train(plan, tmp_path / "threads", group=group))
    run, threads = (last_checkpoint(tmp_path / name).facts for name in ("run", "threads"))
    assert run["sha256"] == threads["sha256"] and run["history"] == threads["history"]
    assert read_run(tmp_path / "run")["processes"] == 2
    lines = [json.loads(line) for line in (tmp_path / "run" / "steps.jsonl").open()]
    assert [line["step"] for line in lines] == list(range(2, run["step"] + 1, 2))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_one_process_killed_ends_all_and_the_run_goes_on_to_the_same_end(config, tmp_path):
    long = ["train.epochs=60", "train.validation.patience=null"]
    process = torchrun(config, tmp_path / "run", *long)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "run").glob("checkpoints/*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int(workers_of(process)[-1]), signal.SIGKILL)
    ended(process)
    assert process.returncode != 0
    begun = last_checkpoint(tmp_path / "run").facts["step"]
    plan = plan_of(config, *long, processes=2)
    together(2, lambda group: train(plan, tmp_path / "run", group=group))
    together(2, lambda group: train(plan, tmp_path / "whole", group=group))
    run, whole = (last_checkpoint(tmp_path / name).facts for name in ("run", "whole"))
    assert begun < whole["step"] and run["sha256"] == whole["sha256"]


def test_another_number_of_processes_is_another_run(config, tmp_path):
    train(plan_of(config, "train.epochs=1"), tmp_path / "run")
    with pytest.raises(TrainingError, match="E0503"):
        train(plan_of(config, "train.epochs=1", processes=2), tmp_path / "run")
