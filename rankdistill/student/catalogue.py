"""Losses and models by name. Adding one is a function or class, its options, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rankdistill.student.fields.encode import Shape
from rankdistill.student.losses.contrast import (
    adaptive_margin,
    adaptive_softmax,
    sampled_softmax,
    softmax,
)
from rankdistill.student.losses.lambdas import lambda_loss
from rankdistill.student.losses.listwise import list_kd, list_mle, list_net, p_list_mle, rrd
from rankdistill.student.losses.loss import Law, Loss
from rankdistill.student.losses.pairwise import bpr, margin_mse, triplet_hinge, triplet_logistic
from rankdistill.student.losses.pointwise import bce, binary_kd, cosine, logit_mse
from rankdistill.student.losses.smooth_ndcg import approx_ndcg, neural_ndcg
from rankdistill.student.models.fm import FactorizationMachine
from rankdistill.student.models.student import Student
from rankdistill.student.models.two_tower import TwoTower


def _keeps(*laws: Law) -> frozenset[Law]:
    return frozenset(laws)


POINT = _keeps("permutation", "not_negative")
TEACHER_POINT = POINT | _keeps("at_target")
PAIR = _keeps("shift", "order_of_targets", "not_negative")
TEACHER_PAIR = _keeps("shift", "permutation", "not_negative", "at_target")
LIST = _keeps("shift", "permutation")
SOFT_LIST = LIST | _keeps("not_negative", "at_target")
ORDER = LIST | _keeps("not_negative", "order_of_targets")
CONTRAST = _keeps("permutation", "not_negative", "order_of_targets")

LOSSES: dict[str, Loss] = {
    "bce": Loss(bce, "points", POINT),
    "logit_mse": Loss(logit_mse, "points", TEACHER_POINT),
    "binary_kd": Loss(binary_kd, "points", TEACHER_POINT),
    "cosine": Loss(cosine, "points", POINT, cosines=True),
    "bpr": Loss(bpr, "pairs", PAIR),
    "triplet_hinge": Loss(triplet_hinge, "pairs", PAIR),
    "triplet_logistic": Loss(triplet_logistic, "pairs", PAIR),
    "margin_mse": Loss(margin_mse, "pairs", TEACHER_PAIR),
    "list_kd": Loss(list_kd, "lists", SOFT_LIST),
    "list_net": Loss(list_net, "lists", SOFT_LIST),
    "list_mle": Loss(list_mle, "lists", ORDER),
    "p_list_mle": Loss(p_list_mle, "lists", ORDER),
    "rrd": Loss(rrd, "lists", ORDER),
    "lambda_loss": Loss(lambda_loss, "lists", LIST | _keeps("not_negative")),
    "approx_ndcg": Loss(approx_ndcg, "lists", LIST),
    "neural_ndcg": Loss(neural_ndcg, "lists", LIST),
    "softmax": Loss(softmax, "contrast", CONTRAST | _keeps("shift")),
    "sampled_softmax": Loss(
        sampled_softmax, "contrast", CONTRAST | _keeps("shift"), needs=("log_q", "count")
    ),
    "adaptive_margin": Loss(
        adaptive_margin, "contrast", CONTRAST, needs=("similarity",), cosines=True
    ),
    "adaptive_softmax": Loss(
        adaptive_softmax, "contrast", CONTRAST, needs=("similarity",), cosines=True
    ),
}
# (options, what a user has, what an item has) -> a student
MODELS: dict[str, Callable[[Any, Shape, Shape], Student]] = {
    "fm": FactorizationMachine,
    "two_tower": TwoTower,
}
