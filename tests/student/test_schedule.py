"""When a term counts how much; a scheduled run is resumed to the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

pytest.importorskip("torch")

from pydantic import TypeAdapter, ValidationError

from rankdistill.errors import TrainingError
from rankdistill.store.dataset import DataSet
from rankdistill.student import run as runs
from rankdistill.student.losses.options import BceLoss, BprLoss
from rankdistill.student.losses.schedule import (
    LateSchedule,
    Moment,
    Schedule,
    StepSchedule,
    WarmUpSchedule,
    factor,
)
from rankdistill.student.objectives import Objectives
from rankdistill.student.options import ValidationOptions
from rankdistill.student.plan import Plan
from tests.student.kit import built, train_until


def factors(told, *shares):
    schedule = TypeAdapter(Schedule).validate_python(told)
    return [factor(schedule, Moment(round(1000 * share), share)) for share in shares]


def test_schedules_give_what_they_say():
    assert factors({"kind": "constant"}, 0.001, 0.5, 1) == [1, 1, 1]
    assert factors({"kind": "warm_up", "until": 0.2}, 0.05, 0.1, 0.2, 1) == [0.25, 0.5, 1, 1]
    assert factors({"kind": "step", "at": 0.5}, 0.1, 0.5, 0.501, 1) == [1, 1, 0, 0]
    late = {"kind": "late", "start": 0.5, "end": 0.75, "before": 0.25, "after": 2.25}
    assert factors(late, 0.1, 0.5, 0.625, 0.75, 1) == [0.25, 0.25, 1.25, 2.25, 2.25]


def test_schedules_count_steps_where_asked_to():
    told = {"kind": "step", "unit": "step", "at": 3, "before": 0, "after": 1}
    schedule = TypeAdapter(Schedule).validate_python(told)
    assert [factor(schedule, Moment(step, 0.9)) for step in (1, 2, 3, 4, 5)] == [0, 0, 0, 1, 1]


def test_a_late_schedule_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValidationError, match="must come after"):
        LateSchedule(start=0.5, end=0.5)


@pytest.fixture(scope="module")
def plan_of(tmp_path_factory):
    _, chosen = built(tmp_path_factory.mktemp("schedule"))
    data_set = DataSet.open(chosen.output)
    kinds = {"pairwise": chosen.samples.pairwise.for_student(chosen.student)}

    def made(*terms):
        objectives = Objectives({"main": terms})
        return Plan(data_set, data_set.newest(), chosen.train, objectives, kinds, chosen.seed, None)

    return made


@pytest.fixture
def moments(monkeypatch):
    """Of every step that is made."""
    seen, losses = [], Objectives.losses

    def watched(self, scored, chunk, moment):
        seen.append(moment)
        return losses(self, scored, chunk, moment)

    monkeypatch.setattr(Objectives, "losses", watched)
    return seen


LATE = (
    BceLoss(schedule=StepSchedule(at=2 / 3)),
    BprLoss(schedule=LateSchedule(start=0.2, end=0.6)),
)


def epochs(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_moments_rise_to_the_end_and_a_killed_run_goes_on_with_the_same(plan_of, moments, tmp_path):
    plan = plan_of(*LATE)
    runs.train(plan, tmp_path / "whole", lambda *_, **__: None, print)
    whole = moments.copy()
    assert [m.step for m in whole] == list(range(1, len(whole) + 1))
    assert all(a.share < b.share for a, b in pairwise(whole))
    assert whole[-1].share == pytest.approx(1) and 0 < whole[0].share < 0.1

    train_until(plan, tmp_path / "killed", 9)
    runs.train(plan, tmp_path / "killed", lambda *_, **__: None, print)
    again = {m.step: m for m in moments[len(whole) :]}
    assert list(again.values()) == whole
    assert epochs(tmp_path / "killed") == epochs(tmp_path / "whole")
    best = json.loads((tmp_path / "whole" / "run.json").read_text())["student"]
    tensors = [
        tmp_path / run / "checkpoints" / f"{best}.safetensors" for run in ("whole", "killed")
    ]
    assert tensors[0].read_bytes() == tensors[1].read_bytes()


def test_patience_waits_for_the_last_switch(plan_of, monkeypatch, tmp_path):
    """Each epoch is worse than the one before: one in vain after the switch ends training."""
    for at, terms, num in (
        ("constant", (BprLoss(),), 2),
        ("share", (BprLoss(), BceLoss(schedule=StepSchedule(at=1 / 2))), 4),
        ("amid", (BprLoss(), BceLoss(schedule=LateSchedule(start=0.1, end=0.4))), 4),
        ("step", (BprLoss(), BceLoss(schedule=StepSchedule(at=8, unit="step"))), 3),
        ("end", (BprLoss(), BceLoss(schedule=StepSchedule(at=1))), 6),
    ):
        told = iter(range(100, 0, -1))
        monkeypatch.setattr(
            "rankdistill.student.train.validate", lambda *_, told=told: {"opa": next(told)}
        )
        plan = plan_of(*terms)
        options = plan.options.model_copy(
            update={"epochs": 6, "validation": ValidationOptions(patience=1)}
        )
        plan = replace(plan, options=options)
        runs.train(plan, tmp_path / at, lambda *_, **__: None, print)
        found = epochs(tmp_path / at)
        assert len(found) == num, at
        best = json.loads((tmp_path / at / "run.json").read_text())["student"]
        assert int(best.removeprefix("step-")) == found[0]["step"]


def test_the_own_loss_ends_with_its_epoch(plan_of, tmp_path):
    runs.train(plan_of(*LATE), tmp_path / "run", lambda *_, **__: None, print)
    own = [epoch["losses"]["main.bce.feedback"] for epoch in epochs(tmp_path / "run")]
    assert own[0] > 0 and own[1] > 0 and own[2] == 0


def test_a_moment_without_any_loss_is_told(plan_of, tmp_path):
    plan = plan_of(BprLoss(schedule=StepSchedule(at=0.5)))
    with pytest.raises(TrainingError, match="no loss counts at step") as told:
        runs.train(plan, tmp_path / "run", lambda *_, **__: None, print)
    assert told.value.code == "E0502"


def test_a_warm_up_alone_trains_from_the_first_step(plan_of, tmp_path):
    plan = plan_of(BprLoss(schedule=WarmUpSchedule()))
    runs.train(plan, tmp_path, lambda *_, **__: None, print)
    assert epochs(tmp_path)[0]["losses"]["main.bpr.pairwise"] > 0
