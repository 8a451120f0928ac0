"""What a loss is: one function of (scores, targets, weights, mask), and the laws it keeps.

scores: float32 [B, n], logits; targets: as scores; weights: float32 [B]; mask: bool [B, n],
False where there is nothing (such entries take no rank, no part and no gradient). A loss gives
a scalar: sum of weight * loss over the rows that have what it needs, divided by their number,
and 0 (with zero gradient) where there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

# What a row of B is: single candidates; (better, worse); a list; (positive, negatives ...).
Rows = Literal["points", "pairs", "lists", "contrast"]
Law = Literal[
    "shift",  # adding a number to all scores of a row changes nothing
    "permutation",  # the order of a row's entries does not matter
    "order_of_targets",  # only the order of the targets matters, not their size
    "at_target",  # no gradient where scores are the targets (up to a shift, if that is a law)
    "not_negative",  # never below 0
    "scale",  # multiplying all scores of a row by a positive number changes nothing
]


@dataclass(frozen=True)
class Loss:
    """function(scores, targets, weights, mask, **parameters); the parameters are the fields of
    its options, but for those of every term."""

    function: Callable[..., torch.Tensor]
    rows: Rows
    laws: frozenset[Law]


def weighted_mean(
    losses: torch.Tensor, weights: torch.Tensor, is_row: torch.Tensor
) -> torch.Tensor:
    """sum(w * loss) / number of rows, 0 of none; all [B], is_row: whether it counts.

    The number of rows, not the sum of weights: a weight is what a row counts, and a batch of
    light rows moves the student less than one of heavy rows.
    """
    found = torch.where(is_row, losses * weights, losses.new_zeros(()))
    return found.sum() / is_row.sum().clamp(min=1)
