"""The one embedding table of a student, and its optimizer: row-wise Adagrad.

A step touches the rows of its batch and nothing else, so its cost does not depend on the
vocabulary. Shapes: V rows of D numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rankdistill.hashing import mix, name_key, unit

_PIECE = 2**20  # numbers made at once
# (codes int64 [K], grads float32 [K, D]) of a process -> those of all of them.
Share = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Touched:
    """What a step changes: row int64 [K] ascending, its gradient float32 [K, D], and the mean of
    its squares float32 [K]."""

    row: torch.Tensor
    grads: torch.Tensor
    squares: torch.Tensor

    def scaled(self, factor: float) -> Touched:
        return Touched(self.row, self.grads * factor, self.squares * factor**2)


class EmbeddingTable:
    """weight: float32 [V, D]; state: float32 [V], the sums of mean squared gradients.

    `gather` hands out rows as leaves of the graph; after `backward`, `gradients` adds up those of
    each row that was handed out, and `update` changes it in place.
    """

    def __init__(self, weight: torch.Tensor, state: torch.Tensor) -> None:
        assert len(weight) == len(state), (weight.shape, state.shape)
        self.weight, self.state = weight, state
        self._given: list[tuple[torch.Tensor, torch.Tensor]] = []

    @classmethod
    def new(
        cls, keys: np.ndarray, dim: int, seed: int, scale: float, start: float
    ) -> EmbeddingTable:
        """Rows drawn uniformly from [-scale, scale) by a hash of what names them (keys: uint64
        [V]), so that a value starts alike in any vocabulary; start: of every state."""
        weight = np.empty((len(keys), dim), dtype=np.float32)
        step = max(_PIECE // dim, 1)
        for first in range(0, len(keys), step):
            own = keys[first : first + step, None]
            lot = unit(mix(seed, name_key("train.embedding"), own, np.arange(dim)))
            weight[first : first + step] = (2 * lot - 1) * scale
        state = torch.full((len(keys),), start, dtype=torch.float32)
        return cls(torch.from_numpy(weight), state)

    def to(self, device: torch.device) -> EmbeddingTable:
        """The same on that device."""
        return EmbeddingTable(self.weight.to(device), self.state.to(device))

    @property
    def dim(self) -> int:
        return self.weight.shape[1]

    def gather(self, codes: torch.Tensor) -> torch.Tensor:
        """The rows of the codes, int64 [...]: float32 [..., D]; a leaf where gradients are on."""
        rows = self.weight.index_select(0, codes.reshape(-1)).reshape(*codes.shape, self.dim)
        if torch.is_grad_enabled():
            rows.requires_grad_()
            self._given.append((codes, rows))
        return rows

    @torch.no_grad()
    def gradients(
        self, share: Share | None = None, only: Sequence[tuple[int, int]] | None = None
    ) -> Touched:
        """The rows that were handed out since the last time, each once with its summed gradient.

        share: makes them those of all processes; only: ranges of rows, the others are let go of.
        """
        given = [(codes, rows.grad) for codes, rows in self._given if rows.grad is not None]
        self._given.clear()
        codes = torch.cat([self._none[:, 0].long(), *(codes.reshape(-1) for codes, _ in given)])
        grads = torch.cat([self._none, *(grad.reshape(-1, self.dim) for _, grad in given)])
        if only is not None:
            kept = torch.zeros_like(codes, dtype=torch.bool)
            for first, last in only:
                kept |= (codes >= first) & (codes < last)
            codes, grads = codes[kept], grads[kept]
        if share is not None:
            codes, grads = share(codes, grads)
        row, place = torch.unique(codes, return_inverse=True)
        if len(row) < len(codes):
            grads = grads.new_zeros(len(row), self.dim).index_add_(0, place, grads)
        else:
            grads = torch.empty_like(grads).index_copy_(0, place, grads)
        return Touched(row, grads, grads.square().mean(1))

    @property
    def _none(self) -> torch.Tensor:
        return self.weight[:0]

    @torch.no_grad()
    def update(self, touched: Touched, lr: float, l2: float = 0.0) -> None:
        """Row-wise Adagrad (Duchi et al. 2011, one state for a row as in FBGEMM): for a row w of
        summed gradient g, state += mean(g^2), w -= lr * (g / sqrt(state) + l2 * w)."""
        row = touched.row
        state = self.state.index_select(0, row) + touched.squares
        self.state.index_copy_(0, row, state)
        held = self.weight.index_select(0, row)
        if l2:
            held.mul_(1 - lr * l2)
        held.addcdiv_(touched.grads, state.sqrt()[:, None], value=-lr)
        self.weight.index_copy_(0, row, held)
