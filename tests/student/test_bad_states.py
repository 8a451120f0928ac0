"""States that nothing can be learned from stop a run, and say what there is to look at."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("torch")

import torch

from rankdistill.errors import TrainingError
from rankdistill.store.dataset import DataSet
from rankdistill.student import watch
from rankdistill.student.chunk import Chunk, Drawn, Encoded
from rankdistill.student.embedding import EmbeddingTable, Touched
from rankdistill.student.fields.encode import Shape
from rankdistill.student.models.fm import FactorizationMachine
from rankdistill.student.models.options import FmOptions
from rankdistill.student.optimizer import Gradients, Optimizer
from rankdistill.student.options import BatchOptions, OptimizerOptions
from rankdistill.student.parallel import Group
from rankdistill.student.scoring import Scorer
from tests.student.kit import (
    built,
    last_checkpoint,
    loader_of,
    plan_of,
    source_of,
    train,
)

LATER, EARLIER = "2026-11-09T00:00:00Z", "2026-10-01T00:00:00Z"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return built(tmp_path_factory.mktemp("bad"))[0]


def built_with(folder, *overrides):
    return built(folder, overrides)[0], overrides


def test_a_loss_that_is_not_finite_stops_with_the_ids_of_its_batch(config, tmp_path):
    plan = plan_of(config, "train.optimizer.lr=1e30")
    with pytest.raises(TrainingError, match="E0501") as stopped:
        train(plan, tmp_path / "run")
    place = tmp_path / "run" / "bad_batch.json"
    assert str(place) in stopped.value.found
    ids = json.loads(place.read_text())["request_id"]
    data_set = DataSet.open(plan.data_set.root)
    known = {
        each
        for rows in data_set.read("lists", columns=["request_id"])
        for each in rows.column("request_id").to_pylist()
    }
    assert len(ids) == 16 and set(ids) <= known


def test_what_failed_before_a_checkpoint_is_begun_anew_with_another_config(config, tmp_path):
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    with pytest.raises(TrainingError, match="E0501"):
        train(plan_of(config, "train.optimizer.lr=1e30", "train.checkpoint_every=null"), run)
    (run / "mlflow_run.txt").write_text("of the failed run")
    mended = plan_of(config, "train.optimizer.lr=0.05", "train.epochs=1")
    train(mended, run)
    train(mended, fresh)
    assert last_checkpoint(run).facts["sha256"] == last_checkpoint(fresh).facts["sha256"]
    assert {file.name for file in run.iterdir()} == {file.name for file in fresh.iterdir()}
    with pytest.raises(TrainingError, match="E0503"):  # now there is something to lose
        train(plan_of(config, "train.epochs=2"), run)


def test_losses_of_pairs_without_a_pair_are_refused(tmp_path):
    loader = loader_of(source_of(tmp_path), BatchOptions(requests=50))
    chunk = next(iter(loader.epoch()))
    seen: dict[str, list[float]] = {}
    watch.see_labels(seen, ["pairwise"], chunk.part(0, 0))
    assert seen == {}
    with pytest.raises(TrainingError, match="E0502") as refused:
        watch.refuse_nothing(seen, ["pairwise"])
    assert "samples.pairwise" in refused.value.help
    watch.see_labels(seen, ["pairwise"], chunk)
    watch.refuse_nothing(seen, ["pairwise"])
    watch.refuse_constant(seen)


def lists_with(num_scored):
    """A chunk of three requests of two candidates, of which so many have a teacher score."""
    has = np.array([place < num_scored for _ in range(3) for place in range(2)])
    pairs = Drawn(np.arange(4), {"pos": np.arange(0, 6, 2), "neg": np.arange(1, 6, 2)}, {})
    columns = {"has_score": has, "logit": np.where(has, np.arange(6.0), 0)}
    none = Encoded(np.zeros((0, 0), np.int64))
    ids, offsets = pa.array(range(3)), np.arange(0, 7, 2)
    return Chunk(ids, offsets, none, none, columns, {"pairwise": pairs})


@pytest.mark.parametrize("view", ["scores", "scores_pairwise"])
def test_scores_of_single_candidates_are_nothing_for_losses_of_two(view):
    seen: dict[str, list[float]] = {}
    watch.see_labels(seen, [view], lists_with(1))
    with pytest.raises(TrainingError, match="E0502") as refused:
        watch.refuse_nothing(seen, [view])
    assert "teacher_score" in refused.value.help
    watch.see_labels(seen, [view], lists_with(2))
    assert seen == {view: [0, 5]}


def gradients(norm):
    none = torch.zeros(0)
    return Gradients({"main.bpr.pairwise": 0.5}, norm, Touched(none, none, none))


def test_a_gradient_far_beyond_those_before_is_warned_of_once(tmp_path):
    said: list[str] = []
    own = watch.Watch(tmp_path / "bad.json", said.append)
    for step in range(30):
        own.step(step, None, gradients(1.0))
    assert said == []
    own.step(30, None, gradients(150.0))
    own.step(31, None, gradients(1e9))
    assert len(said) == 1 and "step 30" in said[0] and "train.optimizer.clip" in said[0]


def stepped(clip, factor):
    """Weights of a small student after one step on `factor` times a loss."""
    table = EmbeddingTable(torch.ones(4, 3), torch.ones(4))
    student = FactorizationMachine(FmOptions(dim=2), Shape(1), Shape(1))
    optimizer = Optimizer(
        Scorer(student, table), OptimizerOptions(clip=clip, init_accumulator=1), Group()
    )
    rows = table.gather(torch.tensor([0, 2, 2]))
    found = optimizer.gradients({"loss": factor * (rows.square().sum() + 3 * student.bias)})
    optimizer.update(found)
    return found.norm, torch.cat([table.weight.flatten(), student.bias.detach().reshape(1)])


def test_a_clipped_gradient_is_a_shorter_one_of_the_same_direction():
    norm, whole = stepped(None, 1.0)
    # Row 0: (2, 2, 2); row 2, twice in the batch: (4, 4, 4); bias: 3.
    assert norm == pytest.approx((3 * 4 + 3 * 16 + 9) ** 0.5)
    (_, clipped), (_, half) = stepped(norm / 2, 1.0), stepped(None, 0.5)
    assert torch.allclose(clipped, half) and not torch.allclose(clipped, whole)
    assert torch.equal(stepped(2 * norm, 1.0)[1], whole)


@pytest.mark.parametrize("bad", [[float("nan")], [float("inf")], [float("inf"), float("-inf")]])
def test_weights_that_are_not_finite_are_not_kept(bad):
    tensors = {"student.bias": torch.zeros(2), "table.weight": torch.tensor([1.0, *bad])}
    with pytest.raises(TrainingError, match=r"table.weight is not finite after step 7"):
        watch.refuse_infinite(tensors, 7)
    watch.refuse_infinite({"table.weight": torch.full((9,), 3e38)}, 7)


def test_labels_that_are_all_the_same_stop_the_first_epoch(tmp_path):
    config, overrides = built_with(tmp_path, "log.response={click: 99}")
    with pytest.raises(TrainingError, match=r'E0502.*"feedback"') as stopped:
        train(plan_of(config, *overrides), tmp_path / "run")
    assert "every label of the first epoch is 0" in stopped.value.found
    assert len((tmp_path / "run" / "run.json").read_text()) > 0
    train(plan_of(config, *overrides, "train.objectives={main: [{kind: bpr}]}"), tmp_path / "order")


def test_labels_differ_where_those_of_any_process_do():
    seen = [{"feedback": [0.0, 0.0]}, {"feedback": [1.0, 1.0], "pointwise": [2.0, 2.0]}]
    assert watch.all_labels(seen) == {"feedback": [0.0, 1.0], "pointwise": [2.0, 2.0]}
    watch.refuse_constant({"feedback": [0.0, 1.0]})


def test_without_a_request_to_validate_on_it_says_what_to_set_and_goes_on_without(tmp_path):
    config, overrides = built_with(tmp_path, f"split.train_until={LATER}")
    with pytest.raises(TrainingError, match=r"E0502") as stopped:
        train(plan_of(config, *overrides), tmp_path / "run")
    assert "train.validation: null" in stopped.value.help
    assert not (tmp_path / "run").exists()
    train(plan_of(config, *overrides, "train.validation=null"), tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    last = last_checkpoint(tmp_path / "run").facts
    assert len(last["history"]) == 3 and facts["student"] == f"step-{last['step']:012d}"


def test_a_measure_that_no_request_has_stops_the_first_epoch(tmp_path):
    config, overrides = built_with(tmp_path, "log.response={click: 99}")
    chosen = ["train.objectives={main: [{kind: bpr}]}", "train.validation.measure=auc"]
    with pytest.raises(TrainingError, match=r"E0502.*by auc"):
        train(plan_of(config, *overrides, *chosen), tmp_path / "run")


def test_without_a_request_to_train_on_nothing_is_written(tmp_path):
    config, overrides = built_with(tmp_path, f"split.train_until={EARLIER}")
    with pytest.raises(TrainingError, match=r"E0502.*no request to train on"):
        train(plan_of(config, *overrides), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_rows_left_are_the_requests_that_are_really_read(config, tmp_path):
    told: list[tuple[str, dict]] = []
    train(
        plan_of(config), tmp_path / "run", notify=lambda event, **facts: told.append((event, facts))
    )
    (started,) = [facts["rows"] for event, facts in told if event == "started"]
    assert started == sum(facts["rows"] for event, facts in told if event == "progress") == 300


def test_a_signal_says_how_training_goes_on(config, tmp_path):
    out = tmp_path / "run"
    asked = ["train", "-c", str(config), "--out", str(out), "--set", "train.epochs=2000"]
    asked += ["--set", "train.validation.patience=null"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rankdistill", *asked], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (out / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "the same command goes on from the last checkpoint" in said
