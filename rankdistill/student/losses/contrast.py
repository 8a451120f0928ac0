"""Losses of a positive against negatives: scores [B, 1 + n], the positive first."""

from __future__ import annotations

import torch

from rankdistill.student.losses.loss import weighted_mean


def softmax(
    scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """-log softmax of the first entry over those that are not masked."""
    held = scores.masked_fill(~mask, -torch.inf)
    held = torch.where(mask.any(1, keepdim=True), held, torch.zeros_like(held))
    losses = held.logsumexp(1) - held[:, 0]
    return weighted_mean(losses, weights, mask[:, 0] & mask[:, 1:].any(1))
