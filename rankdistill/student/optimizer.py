"""A step of training: gradients of the mean loss of all processes, and the update they make.

Row-wise Adagrad for the embedding table, Adam for the dense weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.optim.adam import adam

from rankdistill.student.device import moved
from rankdistill.student.embedding import Touched
from rankdistill.student.options import OptimizerOptions
from rankdistill.student.parallel import Group
from rankdistill.student.scoring import Scorer

ADAM = ("step", "exp_avg", "exp_avg_sq")  # its state of each weight


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
        self._dense = dict(scorer.student.named_parameters())
        if only is not None:
            scorer.student.requires_grad_(False)
        self._adam: dict[str, dict[str, torch.Tensor]] = {}

    def gradients(self, losses: Mapping[str, torch.Tensor]) -> Gradients:
        """Of the sum of these losses."""
        self._scorer.student.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        told = torch.stack([loss.detach() for loss in losses.values()])
        self._share(told)
        share = self._group.rows if self._group.size > 1 else None
        rows = self._scorer.table.gradients(share, self._only)
        squares = rows.squares.sum() * rows.grads.shape[1]
        for each in self._with_gradients().values():
            squares = squares + each.square().sum()
        *values, norm = torch.cat([told, squares.sqrt()[None]]).tolist()
        return Gradients(dict(zip(losses, values, strict=True)), norm, rows)

    def _share(self, told: torch.Tensor) -> None:
        """Means over processes in the place of losses and dense gradients."""
        if self._group.size == 1:
            return
        dense = list(self._dense.values())
        own = np.array([each.grad is not None for each in dense], np.float32)
        has = moved(own, told.device)
        for each in dense:
            if each.grad is None:
                each.grad = torch.zeros_like(each)
        self._group.mean([told, has, *(e.grad for e in dense if e.grad is not None)])
        for each, share in zip(dense, has.tolist(), strict=True):
            if not share:  # nobody had one
                each.grad = None

    def update(self, found: Gradients) -> None:
        """Make the step; a gradient longer than `clip` is shortened to it."""
        chosen, rows = self._options, found.rows
        if chosen.clip is not None and found.norm > chosen.clip:
            factor = chosen.clip / found.norm
            rows = rows.scaled(factor)
            for each in self._with_gradients().values():
                each.mul_(factor)
        self._adam_step()
        self._scorer.table.update(rows, chosen.lr, chosen.l2)

    def _with_gradients(self) -> dict[str, torch.Tensor]:
        """The gradients of the dense weights that have one, by name."""
        return {name: each.grad for name, each in self._dense.items() if each.grad is not None}

    @torch.no_grad()
    def _adam_step(self) -> None:
        """Adam (Kingma & Ba 2015) by torch's function: its class loads the compiler of torch when
        it is made, which takes seconds."""
        grads = self._with_gradients()
        weights: list[torch.Tensor] = [self._dense[name] for name in grads]
        for name, grad in grads.items():
            if name not in self._adam:
                start = torch.zeros(()), torch.zeros_like(grad), torch.zeros_like(grad)
                self._adam[name] = dict(zip(ADAM, start, strict=True))
        step, mean, square = ([self._adam[name][key] for name in grads] for key in ADAM)
        adam(
            weights,
            list(grads.values()),
            mean,
            square,
            [],
            step,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._options.dense_lr,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """Adam's state, by the names of the weights. Adagrad's is with the table."""
        return {
            f"adam.{key}.{name}": value
            for name, state in self._adam.items()
            for key, value in state.items()
        }

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """The inverse of `tensors`, of the weights whose state is there."""
        self._adam = {}
        for name, weight in self._dense.items():
            if f"adam.step.{name}" in tensors:
                step, *moments = (tensors[f"adam.{key}.{name}"] for key in ADAM)
                # Steps are counted on the CPU.
                state = step.clone(), *(each.to(weight.device, copy=True) for each in moments)
                self._adam[name] = dict(zip(ADAM, state, strict=True))
