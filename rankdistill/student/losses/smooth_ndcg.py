"""NDCG made smooth: by estimated ranks, or by a relaxed sort. Memory goes with B * n^2."""

from __future__ import annotations

import torch

from rankdistill.student.losses.gains import Gain, discounts, shares_of_ideal
from rankdistill.student.losses.listwise import is_list
from rankdistill.student.losses.loss import FAR, held, weighted_mean

TOLERANCE = 1e-6  # of row and column sums, from which a matrix counts as doubly stochastic
LEAST = 1e-10  # that a sum is taken for: a column of nearly nothing is not blown up


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
    sorting = scaled_by_sinkhorn(sorting, is_place, mask, sinkhorn)
    placed = (sorting @ gained[:, :, None])[:, :, 0]
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


def scaled_by_sinkhorn(
    matrix: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, rounds: int
) -> torch.Tensor:
    """Columns, then rows scaled to sum 1, `rounds` times, or until all of a matrix differ from
    it by less than TOLERANCE: by each matrix of the batch alone, whatever the others need.

    matrix: [B, n, n], 0 outside of `rows` x `columns` (bool [B, n]).
    """
    for _ in range(rounds):
        off = torch.maximum(
            held((matrix.detach().sum(2) - 1).abs(), rows).amax(1),
            held((matrix.detach().sum(1) - 1).abs(), columns).amax(1),
        )
        is_off = off >= TOLERANCE
        if not is_off.any():
            break
        scaled = matrix / _divisor(matrix.sum(1), columns)[:, None, :]
        scaled = scaled / _divisor(scaled.sum(2), rows)[:, :, None]
        matrix = torch.where(is_off[:, None, None], scaled, matrix)
    return matrix


def _divisor(sums: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """1 where there is nothing: dividing by 0, or nearly, each round, gradients overflow."""
    return torch.where(there, sums.clamp(min=LEAST), 1.0)
