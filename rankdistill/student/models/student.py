"""What every student is: two towers whose vectors meet in one inner product.

Shapes: R users, I items, F fields of a side, D width of the embedding table, d of the vectors.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import nn

from rankdistill.student.models.heads import Heads


@dataclass(frozen=True)
class Inputs:
    """The features of one side: rows float32 [n, F, D] of the embedding table (fields with one
    value, then those with several, each their mean), dense float32 [n, E]."""

    rows: torch.Tensor
    dense: torch.Tensor


class Student(nn.Module):
    """A student. The item side never sees the user, so item vectors can be made in advance.

    width: D, what a row of the embedding table must have; scale: fresh rows are drawn from
    [-scale, scale); size: d. The last number of every item vector is 1, so that of a user's is
    the bias of the logit. heads: of the objectives beside the first, where there are any.
    in_bf16: whether the layers of towers compute in bfloat16 while they are trained.
    """

    width: int
    scale: float
    size: int
    heads: Heads
    in_bf16 = False

    @abstractmethod
    def users(self, inputs: Inputs) -> torch.Tensor:
        """User vectors, float32 [R, d]."""

    @abstractmethod
    def items(self, inputs: Inputs) -> torch.Tensor:
        """Item vectors, float32 [I, d]."""

    def layers(self, tower: nn.Module, values: torch.Tensor) -> torch.Tensor:
        """What a tower makes of float32 [n, k]: float32 [n, m]."""
        found: torch.Tensor
        if not (self.in_bf16 and self.training):
            found = tower(values)
            return found
        with torch.autocast(values.device.type, torch.bfloat16):
            found = tower(values)
        return found.float()

    def forward(
        self,
        users: Inputs,
        items: Inputs,
        user: torch.Tensor,
        item: torch.Tensor,
    ) -> torch.Tensor:
        """Logits of slots [N]: user (int64 [N]) and item (int64 [N]) of each."""
        return (self.users(users)[user] * self.items(items)[item]).sum(-1)
