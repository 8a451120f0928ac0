"""Losses of pairs: scores [B, 2], the candidate that should be above first."""

from __future__ import annotations

import torch
from torch.nn import functional

from rankdistill.student.losses.loss import weighted_mean


def bpr(
    scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """-log sigmoid(s_pos - s_neg) (Rendle et al. 2009; RankNet, Burges et al. 2005)."""
    losses = functional.softplus(scores[:, 1] - scores[:, 0])
    return weighted_mean(losses, weights, mask.all(1))
