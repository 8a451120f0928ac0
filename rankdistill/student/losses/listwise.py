"""Losses of lists by probabilities: of the first place (softmax) or of an order (Plackett-Luce).

A row is a request's candidates; two are needed, or there is nothing to order.
"""

from __future__ import annotations

from typing import Literal

import torch

from rankdistill.student.losses.loss import FAR, held, weighted_mean

PlaceWeight = Literal["log", "exponential"]


def list_kd(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    temperature: float,
) -> torch.Tensor:
    """T^2 KL(softmax(t/T) || softmax(s/T)) of logits s against the teacher's t (Hinton et al.
    2015)."""
    student = log_softmax(scores / temperature, mask)
    teacher = log_softmax(targets / temperature, mask)
    losses = temperature**2 * held(teacher.exp() * (teacher - student), mask).sum(1)
    return weighted_mean(losses, weights, is_list(mask))


def list_net(
    scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """-sum softmax(y) log softmax(s), y grades or logits (Cao et al. 2007, top one)."""
    student, wanted = log_softmax(scores, mask), log_softmax(targets, mask).exp()
    return weighted_mean(-held(wanted * student, mask).sum(1), weights, is_list(mask))


def list_mle(
    scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """sum_k (log sum_{i>=k} e^{s_i} - s_k), in the order of the targets (Xia et al. 2008).

    Tied targets stay in the order of the row.
    """
    losses, _, _ = place_losses(scores, targets, mask)
    return weighted_mean(losses.sum(1), weights, is_list(mask))


def p_list_mle(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mask: torch.Tensor,
    *,
    place_weight: PlaceWeight,
) -> torch.Tensor:
    """ListMLE, its term of place k weighted (Lan et al. 2014).

    place_weight: exponential (2^(n-k) - 1) / 2^(n-1), the paper's divided by a number of the
    list so that long lists do not overflow; log 1 / log2(1 + k).
    """
    losses, _, there = place_losses(scores, targets, mask)
    place = torch.arange(1, scores.shape[1] + 1, device=scores.device).to(scores.dtype)
    if place_weight == "log":
        weight = 1 / torch.log2(1 + place)
    else:
        weight = torch.exp2(1 - place) - torch.exp2(1.0 - mask.sum(1, keepdim=True))
    return weighted_mean(held(losses * weight, there).sum(1), weights, is_list(mask))


def rrd(
    scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Relaxed ranking distillation (Kang et al. 2020): the likelihood of the interesting
    candidates in their order, all before the uninteresting ones, whose order is free:
    -sum_k [s_k - log(sum_{i=k..K} e^{s_i} + sum_l e^{s_l})].

    targets: above 0 for the interesting ones, the first highest (ties: in the order of the
    row), at most 0 for the others.
    """
    losses, wanted, there = place_losses(scores, targets, mask)
    is_interesting = there & (wanted > 0)
    is_row = is_list(mask) & is_interesting.any(1)
    return weighted_mean(held(losses, is_interesting).sum(1), weights, is_row)


def is_list(mask: torch.Tensor) -> torch.Tensor:
    """Whether a row has something to order, [B]."""
    return mask.sum(1) >= 2


def log_softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Log of the softmax over what is there; FAR elsewhere."""
    return torch.where(mask, scores, FAR).log_softmax(1)


def place_losses(
    scores: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(log sum_{i>=k} e^{s_i} - s_k, 0 where there is nothing; targets; mask), all [B, n], by
    targets from the highest, what is not there last."""
    wanted = torch.where(mask, targets, -torch.inf)
    order = wanted.argsort(dim=1, descending=True, stable=True)
    there = mask.gather(1, order)
    found = torch.where(mask, scores, FAR)
    # Only differences count: near 0 they are exact.
    found = (found - found.detach().amax(1, keepdim=True)).gather(1, order)
    rest = found.flip(1).logcumsumexp(1).flip(1)
    return held(rest - found, there), wanted.gather(1, order), there
