"""Losses of single candidates: every entry of a row by itself, then the mean of the row."""

from __future__ import annotations

import torch
from torch.nn import functional

from rankdistill.student.losses.loss import weighted_mean


def bce(
    scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Binary cross-entropy of logits against labels in [0, 1], hard or soft."""
    losses = functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
    return weighted_mean(row_mean(losses, mask), weights, mask.any(1))


def row_mean(losses: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of each row over its entries, [B]; 0 of none."""
    held = torch.where(mask, losses, losses.new_zeros(()))
    return held.sum(1) / mask.sum(1).clamp(min=1)
