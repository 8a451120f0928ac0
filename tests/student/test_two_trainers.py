"""Two trainers in one folder: the second is refused; what was killed early is left to others."""

import json

import pytest

pytest.importorskip("torch")

from rankdistill.errors import TrainingError
from tests.student.kit import built, plan_of, train, train_until


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return built(tmp_path_factory.mktemp("two"))[0]


def test_a_second_trainer_in_one_folder_is_refused(config, tmp_path):
    seen = []

    def beside(event, **_):
        if event == "progress" and not seen:
            with pytest.raises(TrainingError, match="another process trains in") as caught:
                train(plan_of(config), tmp_path / "run")
            seen.append(caught.value.code)

    train(plan_of(config), tmp_path / "run", notify=beside)
    assert seen == ["E0503"]
    assert json.loads((tmp_path / "run/run.json").read_text())["student"]


LONG = "train.checkpoint_every=1000"


def test_a_run_killed_before_its_first_checkpoint_leaves_its_folder_to_another_config(
    config, tmp_path
):
    train_until(plan_of(config, LONG), tmp_path / "run", 2)
    assert (tmp_path / "run/run.json").exists() and not [*tmp_path.glob("run/checkpoints/*.json")]
    train(plan_of(config, "train.model.dim=4"), tmp_path / "run")
    facts = json.loads((tmp_path / "run/run.json").read_text())
    assert facts["options"]["model"]["dim"] == 4 and facts["student"]


def test_a_run_killed_after_it_keeps_its_folder(config, tmp_path):
    train_until(plan_of(config), tmp_path / "run", 2)
    with pytest.raises(TrainingError, match="another config"):
        train(plan_of(config, "train.model.dim=4"), tmp_path / "run")
