"""Several objectives over one pair of towers: what each makes of the user vector.

The first objective takes it as it is. Every further one re-weights its numbers and adds a bias
of its own, so item vectors, and an index of them, serve all. Shapes: R users, d wide vectors.
"""

from __future__ import annotations

import torch
from torch import nn


class Heads(nn.Module):
    """scale, float32 [H, d], and bias, [H], of the H objectives beside the first; all 0 at first,
    where every objective scores alike."""

    def __init__(self, num: int, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(num, size))
        self.bias = nn.Parameter(torch.zeros(num))

    def forward(self, users: torch.Tensor, head: int) -> torch.Tensor:
        """The user vectors [R, d] of objective `head`, 0 the first: u * (1 + scale), and the bias
        on the last number, which meets a 1 in every item vector."""
        if head == 0:
            return users
        found = users * (1 + self.scale[head - 1])
        return torch.cat([found[:, :-1], found[:, -1:] + self.bias[head - 1]], 1)
