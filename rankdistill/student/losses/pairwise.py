"""Losses of pairs: scores [B, 2], the candidate that should be above first."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

from rankdistill.student.losses.loss import held, weighted_mean

Calibration = Literal["none", "zscore", "affine"]


def bpr(
    scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """-log sigmoid(s_pos - s_neg) (Rendle et al. 2009; RankNet, Burges et al. 2005)."""
    losses = functional.softplus(-margin_of(held(scores, mask)))
    return weighted_mean(losses, weights, mask.all(1))


def triplet_hinge(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    margin: float,
) -> torch.Tensor:
    """max(0, margin - (s_pos - s_neg)) (Huang et al. 2020, on cosines)."""
    losses = (margin - margin_of(held(scores, mask))).clamp(min=0)
    return weighted_mean(losses, weights, mask.all(1))


def triplet_logistic(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    gamma: float,
) -> torch.Tensor:
    """log(1 + exp(-gamma (s_pos - s_neg))); gamma is a scale: 1 makes it bpr."""
    losses = functional.softplus(-gamma * margin_of(held(scores, mask)))
    return weighted_mean(losses, weights, mask.all(1))


def margin_mse(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    calibration: Calibration,
) -> torch.Tensor:
    """((s_pos - s_neg) - a (t_pos - t_neg))^2, t the teacher's logits (Hofstaetter et al. 2020).

    a, by calibration, of the batch's targets and without gradient: none 1; zscore 1 / their
    standard deviation, so that the teacher's scores spread by 1; affine 1 / (highest - lowest),
    so that they span [0, 1]. Of an affine map a t + b the b falls out of margins.
    """
    is_pair = mask.all(1)
    student = margin_of(held(scores, mask))
    teacher = margin_of(held(targets, mask)) / _size(targets, is_pair, calibration)
    return weighted_mean((student - teacher).square(), weights, is_pair)


def margin_of(values: torch.Tensor) -> torch.Tensor:
    """[B, 2] -> [B]: how far the first stands above the second."""
    return values[:, 0] - values[:, 1]


def _size(targets: torch.Tensor, is_pair: torch.Tensor, calibration: Calibration) -> torch.Tensor:
    """What the teacher's scores of the batch's pairs are divided by; 1 where they are all one."""
    found = targets[is_pair]
    if calibration == "none" or not len(found):
        return targets.new_ones(())
    size = found.std(correction=0) if calibration == "zscore" else found.max() - found.min()
    return torch.where(size > 0, size, size.new_ones(()))
