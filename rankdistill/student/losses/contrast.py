"""Losses of one positive and n negatives: scores [B, 1 + n], the positive first.

Negatives that are none (the positive itself, what the user took before) are masked.
"""

from __future__ import annotations

import torch

from rankdistill.student.losses.listwise import log_softmax
from rankdistill.student.losses.loss import FAR, held, weighted_mean


def softmax(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    temperature: float,
) -> torch.Tensor:
    """-log of the positive's share in the softmax of s / T."""
    losses = -log_softmax(scores / temperature, mask)[:, 0]
    return weighted_mean(losses, weights, has_both(mask))


def sampled_softmax(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    log_q: torch.Tensor,
    count: torch.Tensor,
    temperature: float,
    beta: float,
) -> torch.Tensor:
    """softmax of s / T - beta log q, q the chance that a draw of a negative is this item, for
    the positive too (Bengio & Senecal 2008; in batches, Yi et al. 2019), of an entry that stands
    for `count` equal ones: with beta 1 it goes to the softmax over all items as the negatives get
    many; 0 leaves out the correction."""
    corrected = scores / temperature - (beta * log_q - count.log())
    losses = -log_softmax(corrected, mask)[:, 0]
    return weighted_mean(losses, weights, has_both(mask))


def adaptive_margin(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    similarity: torch.Tensor,
    alpha: float,
    margin: float,
    symmetric: float,
) -> torch.Tensor:
    """sum_i max(0, d_i + s_i - s_pos), d_i = alpha (1 - sim_i) + margin (JD, EMNLP 2023).

    sim_i, the cosine of positive and negative, is given no gradient there: the nearer a
    negative is to the positive, the less it has to be below. symmetric times the same with the
    positive as anchor is added: sim_i in place of s_i, d_i of s_i. The affine form is a
    reconstruction.
    """

    def side(near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        wanted = alpha * (1 - far.detach()) + margin
        return held((wanted + near - positive).clamp(min=0), negatives).sum(1)

    found, alike = held(scores, mask), held(similarity, mask)
    positive, negatives = found[:, :1], _negatives(mask)
    losses = side(found, alike) + symmetric * side(alike, found)
    return weighted_mean(losses, weights, has_both(mask))


def adaptive_softmax(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    similarity: torch.Tensor,
    temperature: float,
    alpha: float,
    symmetric: float,
) -> torch.Tensor:
    """log(1 + sum_i exp((s_i - s_pos) / T_i)), T_i = temperature + alpha (1 - sim_i) (JD, EMNLP
    2023); sim_i and symmetric as in `adaptive_margin`. alpha 0: the ordinary softmax. The affine
    form is a reconstruction."""

    def side(near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        # A cosine may be rounded to above 1.
        heat = temperature + alpha * (1 - far.detach()).clamp(min=0)
        logits = torch.where(negatives, (near - positive) / heat, FAR)
        return torch.cat([torch.zeros_like(positive), logits], 1).logsumexp(1)

    found, alike = held(scores, mask), held(similarity, mask)
    positive, negatives = found[:, :1], _negatives(mask)
    losses = side(found, alike) + symmetric * side(alike, found)
    return weighted_mean(losses, weights, has_both(mask))


def has_both(mask: torch.Tensor) -> torch.Tensor:
    """Whether a row has its positive and a negative, [B]."""
    return mask[:, 0] & mask[:, 1:].any(1)


def _negatives(mask: torch.Tensor) -> torch.Tensor:
    first = torch.arange(mask.shape[1], device=mask.device) == 0
    return mask & ~first
