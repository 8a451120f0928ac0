"""Two towers over the fields of their sides, met late by dot product or cosine.

Shapes: n users or items, F rows of the embedding table of D numbers each, E numbers beside them.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from rankdistill.student.fields.encode import Shape
from rankdistill.student.models.options import TwoTowerOptions
from rankdistill.student.models.student import Inputs, Student

COSINE_TEMPERATURE = 0.1  # a cosine spans 2: logits from -10 to 10


class TwoTower(Student):
    """The towers share the embedding table, and nothing else."""

    scale = 0.1

    def __init__(self, options: TwoTowerOptions, user: Shape, item: Shape) -> None:
        super().__init__()
        self.width, self.size = options.dim, options.towers[-1] + 1
        self._is_cosine = options.similarity == "cosine"
        default = COSINE_TEMPERATURE if self._is_cosine else 1.0
        self._temperature = options.temperature or default
        self.user_tower, self.item_tower = (_tower(options, side) for side in (user, item))
        self.bias = nn.Parameter(torch.zeros(1))

    def users(self, inputs: Inputs) -> torch.Tensor:
        found = self._vectors(self.user_tower, inputs) / self._temperature
        return torch.cat([found, self.bias.expand(found.shape[0], 1)], 1)

    def items(self, inputs: Inputs) -> torch.Tensor:
        found = self._vectors(self.item_tower, inputs)
        return torch.cat([found, torch.ones_like(found[:, :1])], 1)

    def _vectors(self, tower: nn.Module, inputs: Inputs) -> torch.Tensor:
        found = self.layers(tower, torch.cat([inputs.rows.flatten(1), inputs.dense], 1))
        return functional.normalize(found, dim=1) if self._is_cosine else found


class Cross(nn.Module):
    """The cross network of DCN-v2: x_(l+1) = x_0 * (W_l x_l + b_l) + x_l, elementwise *."""

    def __init__(self, width: int, num: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(num))

    def forward(self, start: torch.Tensor) -> torch.Tensor:
        found = start
        for layer in self.layers:
            found = start * layer(found) + found
        return found


def _tower(options: TwoTowerOptions, side: Shape) -> nn.Sequential:
    width = side.vectors * options.dim + side.numbers
    layers: list[nn.Module] = []
    if options.network == "dcn":
        layers.append(Cross(width, options.cross))
    for before, after in pairwise([width, *options.towers]):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
