"""The factorization machine (Rendle 2010), written as user vector . item vector.

With vectors v_f and linear weights w_f of the fields, its score
    w_0 + sum_f w_f + sum_{f<g} <v_f, v_g>
falls into terms of the user's fields alone, of the item's alone, and the inner product of the
two sums of vectors. So [sum v_user, 1, own_user] . [sum v_item, own_item, 1] is the score.
"""

from __future__ import annotations

import torch
from torch import nn

from rankdistill.student.fields.encode import Shape
from rankdistill.student.models.options import FmOptions
from rankdistill.student.models.student import Inputs, Student


class FactorizationMachine(Student):
    """The last number of an embedding row is the linear weight of its value."""

    scale = 0.01

    def __init__(self, options: FmOptions, user: Shape, item: Shape) -> None:
        super().__init__()
        self.width, self.size = options.dim + 1, options.dim + 2
        self.bias = nn.Parameter(torch.zeros(()))
        # A number x of a side is a field with vector x * v and linear weight x * w.
        self.user_dense = nn.Parameter(torch.zeros(user.numbers, self.width))
        self.item_dense = nn.Parameter(torch.zeros(item.numbers, self.width))

    def users(self, inputs: Inputs) -> torch.Tensor:
        total, own = self._side(inputs, self.user_dense)
        return torch.cat([total, torch.ones_like(own), own + self.bias], -1)

    def items(self, inputs: Inputs) -> torch.Tensor:
        total, own = self._side(inputs, self.item_dense)
        return torch.cat([total, own, torch.ones_like(own)], -1)

    def _side(self, inputs: Inputs, dense: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(sum of vectors [n, dim], linear terms and pairs within the side [n, 1])."""
        rows = inputs.rows
        if len(dense):
            rows = torch.cat([rows, inputs.dense[:, :, None] * dense], 1)
        vectors, linear = rows.split([rows.shape[2] - 1, 1], 2)
        if rows.shape[1] == 1:  # nothing to add up, and no pair
            return vectors[:, 0], linear[:, 0]
        total = vectors.sum(1)
        pairs = 0.5 * (total.square() - vectors.square().sum(1)).sum(-1, keepdim=True)
        return total, linear.sum(1) + pairs
