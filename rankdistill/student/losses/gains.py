"""Grades to gains, scores to ranks: what the losses around DCG share. Shapes [B, n]."""

from __future__ import annotations

from typing import Literal

import torch

from rankdistill.student.losses.loss import held

Gain = Literal["exponential", "linear"]


def shares_of_ideal(
    grades: torch.Tensor, mask: torch.Tensor, gain: Gain
) -> tuple[torch.Tensor, torch.Tensor]:
    """(gain / ideal DCG of each entry [B, n], whether the list has any gain [B]).

    gain: exponential 2^grade - 1, linear the grade; 0 where there is nothing.
    """
    found = held(grades, mask)
    gained = torch.exp2(found) - 1 if gain == "exponential" else found
    best = gained.sort(1, descending=True).values
    ideal = (best / discounts(best)).sum(1, keepdim=True)
    has_gain = ideal > 0
    return gained / torch.where(has_gain, ideal, 1.0), has_gain[:, 0]


def discounts(like: torch.Tensor) -> torch.Tensor:
    """D of the places 1 .. n, [n]: log2(1 + place), by which gains are divided."""
    places = torch.arange(1, like.shape[1] + 1, device=like.device)
    return torch.log2(1 + places.to(like.dtype))


def ranks(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The place of each entry by score, from 1, int64, without gradient; ties in the order of
    the row; what is not there comes last."""
    order = torch.where(mask, scores, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return order.argsort(1) + 1
