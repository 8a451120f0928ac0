"""What a loss is: one function of (scores, targets, weights, mask), and the laws it keeps.

scores: float32 [B, n], logits, or cosines where the loss says so; targets: as scores; weights:
float32 [B]; mask: bool [B, n], False where there is nothing: such entries may hold anything,
NaN too, take no rank and no part and get no gradient. A loss gives a scalar: sum of weight *
loss over the rows that have what it needs, divided by their number, and 0 (with zero gradient)
where there is none. What a row needs: points one entry, pairs both, lists two, contrast the
positive and one negative; the ones that need more say so.
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
    "permutation",  # the order of a row's entries does not matter (contrast: of the negatives)
    "order_of_targets",  # only order and sign of the targets matter, not their size
    "at_target",  # no gradient where scores are the targets (up to a shift, if that is a law)
    "not_negative",  # never below 0
    "scale",  # multiplying all scores of a row by a positive number changes nothing
]
FAR = -1e30  # a logit of no weight; finite, for the gradient of infinity is NaN


@dataclass(frozen=True)
class Loss:
    """function(scores, targets, weights, mask, **parameters); the parameters are the fields of
    its options, but for those of every term.

    laws: that it keeps, all others it breaks (for order_of_targets and permutation: without
    tied targets). needs: further tensors [B, n] that the view has to give, by name, handed over
    as keywords: similarity (inner product of the positive's vector with each entry's), log_q
    (log of the chance that a negative draw is this entry), count (how many equal ones the entry
    stands for). cosines: the scores (and
    similarity) have to be cosines.
    """

    function: Callable[..., torch.Tensor]
    rows: Rows
    laws: frozenset[Law]
    needs: tuple[str, ...] = ()
    cosines: bool = False


def held(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The values, 0 where there is nothing; no gradient goes there, whatever stood there."""
    return torch.where(mask, values, values.new_zeros(()))


def weighted_mean(
    losses: torch.Tensor, weights: torch.Tensor, is_row: torch.Tensor
) -> torch.Tensor:
    """sum(w * loss) / number of rows, 0 of none; all [B], is_row: whether it counts.

    The number of rows, not the sum of weights: a weight is what a row counts, and a batch of
    light rows moves the student less than one of heavy rows.
    """
    found = held(losses, is_row) * held(weights, is_row)
    return found.sum() / is_row.sum().clamp(min=1)
