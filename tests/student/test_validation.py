"""A student may be chosen by any measure that has a better side and is known in training."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rankdistill.student.evaluation.measures import is_better
from rankdistill.student.options import ValidationOptions


@pytest.mark.parametrize("name", ["opa", "ndcg@10", "recall@50@10", "gauc", "auc", "logloss"])
def test_these_choose(name: str) -> None:
    assert ValidationOptions(measure=name).measure == name


@pytest.mark.parametrize("name", ["opaa", "ndcg", "calibration", "joint_recall@9@5@3"])
def test_these_do_not(name: str) -> None:
    with pytest.raises(ValidationError, match=r"measure"):
        ValidationOptions(measure=name)


def test_less_is_better_of_a_loss_alone() -> None:
    assert is_better("logloss", 0.4, 0.5)
    assert is_better("auc", 0.6, 0.5)
    assert not is_better("ndcg@10", 0.5, 0.5)
