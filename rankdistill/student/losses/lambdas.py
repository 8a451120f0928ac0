"""LambdaLoss: pairs of a list, weighted by what their order is worth under the current ranks.

Memory goes with B * n^2.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch.nn import functional

from rankdistill.student.losses.gains import Gain, ranks, shares_of_ideal
from rankdistill.student.losses.listwise import is_list
from rankdistill.student.losses.loss import held, weighted_mean

Scheme = Literal["ndcg1", "ndcg2", "ndcg2pp", "lambdarank"]


def lambda_loss(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    scheme: Scheme,
    sigma: float,
    mu: float,
    gain: Gain,
) -> torch.Tensor:
    """-sum w_ij log2 sigmoid(sigma (s_i - s_j)), targets grades (Wang et al. 2018).

    With G = gain / ideal DCG and D = log2(1 + rank under the current scores), which are given
    no gradient: ndcg1 takes all ordered pairs with w = G_i / D_i; the others those of a higher
    and a lower grade, with w
        ndcg2       |G_i - G_j| |1/D(|i-j|) - 1/D(|i-j|+1)|, i and j the ranks
        lambdarank  |G_i - G_j| |1/D_i - 1/D_j| (Burges 2010)
        ndcg2pp     mu * ndcg2 + lambdarank
    A row needs a gain, and a pair.
    """
    found, grades = held(scores, mask), held(targets, mask)
    gained, has_gain = shares_of_ideal(grades, mask, gain)
    rank = ranks(found.detach(), mask)
    is_pair = mask[:, :, None] & mask[:, None, :]
    if scheme == "ndcg1":
        is_pair = is_pair & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
        worth = (gained / _discount(rank, gained))[:, :, None]
    else:
        is_pair = is_pair & (grades[:, :, None] > grades[:, None, :])
        worth = (gained[:, :, None] - gained[:, None, :]) * _swap(scheme, rank, gained, mu)
    losses = functional.softplus(-sigma * (found[:, :, None] - found[:, None, :]))
    total = held(worth * losses, is_pair).sum((1, 2)) / math.log(2)
    is_row = is_list(mask) & has_gain & is_pair.any(2).any(1)
    return weighted_mean(total, weights, is_row)


def _swap(scheme: Scheme, rank: torch.Tensor, like: torch.Tensor, mu: float) -> torch.Tensor:
    """What a unit of gain is worth between the ranks of i and j, [B, n, n]; D(0) stands for 1
    on the diagonal, which is no pair."""
    places = 1 / _discount(rank, like)
    by_place = (places[:, :, None] - places[:, None, :]).abs()
    if scheme == "lambdarank":
        return by_place
    gap = (rank[:, :, None] - rank[:, None, :]).abs().clamp(min=1)
    by_gap = 1 / _discount(gap, like) - 1 / _discount(gap + 1, like)
    return by_gap if scheme == "ndcg2" else mu * by_gap + by_place


def _discount(rank: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return torch.log2(1 + rank.to(like.dtype))
