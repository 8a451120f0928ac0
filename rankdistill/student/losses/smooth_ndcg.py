"""NDCG made smooth: by estimated ranks, or by a relaxed sort. Memory goes with B * n^2."""

from __future__ import annotations

import torch

from rankdistill.student.losses.gains import Gain, discounts, shares_of_ideal
from rankdistill.student.losses.listwise import is_list
from rankdistill.student.losses.loss import FAR, held, weighted_mean
from rankdistill.student.losses.sinkhorn import sinkhorn as sinkhorn_scales


def approx_ndcg(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    temperature: float,
    gain: Gain,
) -> torch.Tensor:
    """-sum G_i / log2(1 + rank_i), rank_i = 1 + sum_{j != i} sigmoid((s_j - s_i) / T), G the
    gain of a grade over the ideal DCG (Qin et al. 2010). A row needs a gain."""
    found = held(scores, mask)
    gained, has_gain = shares_of_ideal(targets, mask, gain)
    others = mask[:, None, :] & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    above = torch.sigmoid((found[:, None, :] - found[:, :, None]) / temperature)
    rank = 1 + held(above, others).sum(2)
    losses = -(gained / torch.log2(1 + rank)).sum(1)
    return weighted_mean(losses, weights, is_list(mask) & has_gain)


def neural_ndcg(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    temperature: float,
    sinkhorn: int,
    gain: Gain,
) -> torch.Tensor:
    """-NDCG of the gains as a relaxed sort of the scores places them (Pobrotyn & Bialobrzeski
    2021): -sum_k [P gain]_k / (D_k ideal DCG), P NeuralSort's matrix (Grover et al. 2019) after
    at most `sinkhorn` rounds of Sinkhorn's scaling; 0: none, the relaxed form of PiRank
    (Swezey et al. 2021). A row needs a gain."""
    gained, has_gain = shares_of_ideal(targets, mask, gain)
    num = mask.sum(1, keepdim=True)
    is_place = torch.arange(mask.shape[1], device=mask.device) < num
    sorting = neural_sort(held(scores, mask), mask, temperature)
    sorting = held(sorting, is_place[:, :, None] & mask[:, None, :])
    rows, columns = sinkhorn_scales(sorting, mask, sinkhorn)
    placed = rows * (sorting.double() @ (columns * gained)[:, :, None])[:, :, 0]
    placed = placed.to(scores.dtype)
    losses = -(placed / discounts(placed)).sum(1)
    return weighted_mean(losses, weights, is_list(mask) & has_gain)


def neural_sort(scores: torch.Tensor, mask: torch.Tensor, temperature: float) -> torch.Tensor:
    """How much each entry stands at each place, [B, place, entry], every row of sum 1:
    softmax(((n + 1 - 2k) s - A) / T), A_j the sum of |s_j - s_l|, n the entries there are."""
    both = mask[:, :, None] & mask[:, None, :]
    distance = held((scores[:, :, None] - scores[:, None, :]).abs(), both).sum(2)
    places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    slope = (mask.sum(1, keepdim=True) + 1 - 2 * places).to(scores.dtype)
    logits = slope[:, :, None] * scores[:, None, :] - distance[:, None, :]
    return torch.where(mask[:, None, :], logits / temperature, FAR).softmax(2)
