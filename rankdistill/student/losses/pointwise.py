"""Losses of single candidates: every entry of a row by itself, then the mean of the row."""

from __future__ import annotations

import torch
from torch.nn import functional

from rankdistill.student.losses.loss import held, weighted_mean


def bce(
    scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Binary cross-entropy of logits against labels in [0, 1], hard or soft."""
    losses = functional.binary_cross_entropy_with_logits(
        held(scores, mask), held(targets, mask), reduction="none"
    )
    return weighted_mean(row_mean(losses, mask), weights, mask.any(1))


def logit_mse(
    scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """(s - t)^2 of logits s against the teacher's t (Ba & Caruana 2014)."""
    losses = (held(scores, mask) - held(targets, mask)).square()
    return weighted_mean(row_mean(losses, mask), weights, mask.any(1))


def binary_kd(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    temperature: float,
) -> torch.Tensor:
    """T^2 KL(sigmoid(t/T) || sigmoid(s/T)) of logits s against the teacher's t (Hinton et al.
    2015, per item): the gradient of the cross-entropy, without the teacher's entropy."""
    student, teacher = held(scores, mask) / temperature, held(targets, mask) / temperature
    # logsigmoid keeps what is left of a probability near 0 or 1.
    yes = functional.logsigmoid(teacher) - functional.logsigmoid(student)
    no = functional.logsigmoid(-teacher) - functional.logsigmoid(-student)
    losses = temperature**2 * (teacher.sigmoid() * yes + (-teacher).sigmoid() * no)
    return weighted_mean(row_mean(losses, mask), weights, mask.any(1))


def cosine(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    margin: float,
) -> torch.Tensor:
    """y (1 - s) + (1 - y) max(0, s - margin) of cosines s and labels y in [0, 1]: positives go
    toward +1, negatives toward `margin` (-1: all the way)."""
    found, label = held(scores, mask), held(targets, mask)
    losses = label * (1 - found) + (1 - label) * (found - margin).clamp(min=0)
    return weighted_mean(row_mean(losses, mask), weights, mask.any(1))


def row_mean(losses: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of each row over its entries, [B]; 0 of none."""
    return held(losses, mask).sum(1) / mask.sum(1).clamp(min=1)
