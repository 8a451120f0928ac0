"""A step of training: gradients of the mean loss of all processes, and the update they make.

Row-wise Adagrad for the embedding table, Adam for the dense weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rankdistill.student.device import moved
from rankdistill.student.embedding import Touched
from rankdistill.student.options import OptimizerOptions
from rankdistill.student.parallel import Group
from rankdistill.student.scoring import Scorer

ADAM = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Gradients:
    """losses: by name, the mean over processes; norm: of the gradient of their sum; rows: of the
    embedding table; those of dense weights are with them."""

    losses: Mapping[str, float]
    norm: float
    rows: Touched


class Optimizer:
    """only: ranges of rows of the table that are trained, and nothing else is; None: all."""

    def __init__(
        self,
        scorer: Scorer,
        options: OptimizerOptions,
        group: Group,
        only: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self._scorer, self._options, self._group, self._only = scorer, options, group, only
        self._dense = list(scorer.student.parameters())
        if only is not None:
            scorer.student.requires_grad_(False)
        self._adam = torch.optim.Adam(self._dense, options.dense_lr)

    def gradients(self, losses: Mapping[str, torch.Tensor]) -> Gradients:
        """Of the sum of these losses."""
        self._adam.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        told = torch.stack([loss.detach() for loss in losses.values()])
        self._share(told)
        share = self._group.rows if self._group.size > 1 else None
        rows = self._scorer.table.gradients(share, self._only)
        squares = rows.squares.sum() * rows.grads.shape[1]
        for each in self._dense:
            if each.grad is not None:
                squares = squares + each.grad.square().sum()
        *values, norm = torch.cat([told, squares.sqrt()[None]]).tolist()
        return Gradients(dict(zip(losses, values, strict=True)), norm, rows)

    def _share(self, told: torch.Tensor) -> None:
        """Means over processes in the place of losses and dense gradients."""
        if self._group.size == 1:
            return
        own = np.array([each.grad is not None for each in self._dense], np.float32)
        has = moved(own, told.device)
        for each in self._dense:
            if each.grad is None:
                each.grad = torch.zeros_like(each)
        self._group.mean([told, has, *(e.grad for e in self._dense if e.grad is not None)])
        for each, share in zip(self._dense, has.tolist(), strict=True):
            if not share:  # nobody had one
                each.grad = None

    def update(self, found: Gradients) -> None:
        """Make the step; a gradient longer than `clip` is shortened to it."""
        chosen, rows = self._options, found.rows
        if chosen.clip is not None and found.norm > chosen.clip:
            factor = chosen.clip / found.norm
            rows = rows.scaled(factor)
            for each in self._dense:
                if each.grad is not None:
                    each.grad.mul_(factor)
        self._adam.step()
        self._scorer.table.update(rows, chosen.lr, chosen.l2)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Adam's state, by the names of the weights. Adagrad's is with the table."""
        return {
            f"adam.{key}.{name}": value
            for name, parameter in self._scorer.student.named_parameters()
            for key, value in self._adam.state.get(parameter, {}).items()
        }

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """The inverse of `tensors`, of the weights whose state is there."""
        for name, parameter in self._scorer.student.named_parameters():
            self._adam.state[parameter] = {  # Adam counts its steps on the CPU
                key: tensors[f"adam.{key}.{name}"].to("cpu" if key == "step" else parameter.device)
                for key in ADAM
                if f"adam.{key}.{name}" in tensors
            }
