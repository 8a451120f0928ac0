"""What a run tells while it goes: lines of steps, taken back on resume; TensorBoard and MLflow."""

from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("torch")

from rankdistill.errors import ResourceError
from rankdistill.student.metrics import Metrics
from tests.student.kit import built, last_checkpoint, plan_of, train

TWICE = ("train.epochs=2", "train.metrics_every=3")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return built(tmp_path_factory.mktemp("metrics"))[0]


def lines(place):
    return [json.loads(line) for line in place.read_text().splitlines()]


def killed_after(num):
    steps = []

    def kill(event, **_):
        steps.append(event)
        if steps.count("progress") == num:
            raise KeyboardInterrupt

    return kill


def timeless(told):
    return [{k: v for k, v in line.items() if k != "requests_per_second"} for line in told]


def test_steps_are_told_with_losses_weights_and_speed(config, tmp_path):
    late = "train.objectives={main: [{kind: bpr, schedule: {kind: warm_up, until: 1}}]}"
    train(plan_of(config, *TWICE, late), tmp_path)
    found = lines(tmp_path / "steps.jsonl")
    num = last_checkpoint(tmp_path).facts["step"]
    assert [line["step"] for line in found] == list(range(3, num + 1, 3))
    for line in found:
        assert line["weights"] == {"main.bpr.pairwise": pytest.approx(line["share"], abs=1e-5)}
        assert line["losses"].keys() == line["weights"].keys()
        assert line["requests_per_second"] > 0 and line["gradient"] > 0


def test_killed_and_resumed_the_lines_are_those_of_the_whole_run(config, tmp_path):
    plan = plan_of(config, *TWICE, "train.checkpoint_every=4")
    train(plan, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path / "run", notify=killed_after(7))
    with (tmp_path / "run" / "steps.jsonl").open("a") as file:
        file.write('{"step": 6, "sha')  # cut by the kill
    train(plan, tmp_path / "run")
    whole, run = (lines(tmp_path / name / "steps.jsonl") for name in ("whole", "run"))
    assert timeless(run) == timeless(whole)
    texts = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "run")]
    assert texts[0] == texts[1]


def test_trackers_hear_every_number_of_a_line(tmp_path):
    heard = []

    class Heard:
        def put(self, values, step):
            heard.append((step, values))

        def close(self):
            heard.append("closed")

    metrics = Metrics(tmp_path, 2, [Heard()])
    for step in (1, 2):
        metrics.step(step, 10, lambda: {"losses": {"a": 0.5}})
    metrics.epoch([{"epoch": 0, "step": 2, "losses": {"a": 0.25}, "validation": {"opa": None}}])
    metrics.close()
    (step, own), epoch, closed = heard
    assert step == 2 and own.pop("requests_per_second") > 0 and own == {"losses/a": 0.5}
    assert epoch == (2, {"epoch": 0.0, "epoch_losses/a": 0.25}) and closed == "closed"


def test_tensorboard_reads_back_what_was_told(config, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plan = plan_of(
        config, *TWICE, "train.checkpoint_every=4", "train.trackers=[{kind: tensorboard}]"
    )
    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path, notify=killed_after(7))
    train(plan, tmp_path)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    steps = lines(tmp_path / "steps.jsonl")
    told = [(each.step, each.value) for each in found.Scalars("losses/main.bpr.pairwise")]
    wanted = [(line["step"], line["losses"]["main.bpr.pairwise"]) for line in steps]
    assert [step for step, _ in told] == [step for step, _ in wanted]
    assert [value for _, value in told] == pytest.approx([value for _, value in wanted])
    opa = [each.value for each in found.Scalars("validation/opa")]
    epochs = lines(tmp_path / "metrics.jsonl")
    assert opa == pytest.approx([line["validation"]["opa"] for line in epochs])


def test_mlflow_reads_back_what_was_told_in_one_run(config, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "store").as_uri()
    tracker = f"train.trackers=[{{kind: mlflow, uri: '{uri}', experiment: students}}]"
    plan = plan_of(config, *TWICE, "train.checkpoint_every=4", tracker)
    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path / "run", notify=killed_after(7))
    train(plan, tmp_path / "run")
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("students").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.run_name == "run" and run.info.status == "FINISHED"
    told = client.get_metric_history(run.info.run_id, "losses/main.bpr.pairwise")
    assert {each.step: each.value for each in told} == {
        line["step"]: line["losses"]["main.bpr.pairwise"]
        for line in lines(tmp_path / "run" / "steps.jsonl")
    }


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow"])
def test_a_missing_tracker_is_told_before_training(config, tmp_path, monkeypatch, kind):
    for name in ("torch.utils.tensorboard", "mlflow", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ResourceError, match=r"E0404.*" + kind) as missing:
        train(plan_of(config, f"train.trackers=[{{kind: {kind}}}]"), tmp_path)
    assert "rankdistill[track]" in missing.value.help
    assert not (tmp_path / "metrics.jsonl").exists()
