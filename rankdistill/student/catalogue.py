"""Losses and models by name. Adding one is a function or class, its options, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rankdistill.student.losses.contrast import softmax
from rankdistill.student.losses.loss import Loss
from rankdistill.student.losses.pairwise import bpr
from rankdistill.student.losses.pointwise import bce
from rankdistill.student.models.fm import FactorizationMachine
from rankdistill.student.models.student import Student

LOSSES: dict[str, Loss] = {
    "bce": Loss(bce, "points", frozenset({"permutation", "not_negative"})),
    "bpr": Loss(bpr, "pairs", frozenset({"shift", "order_of_targets", "not_negative"})),
    "softmax": Loss(softmax, "contrast", frozenset({"shift", "not_negative"})),
}
# (options, numbers of a user, numbers of an item) -> a student
MODELS: dict[str, Callable[[Any, int, int], Student]] = {"fm": FactorizationMachine}
