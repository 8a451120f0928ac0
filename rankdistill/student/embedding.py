"""The one embedding table of a student, and its optimizer: row-wise Adagrad.

A step touches the rows of its batch and nothing else, so its cost does not depend on the
vocabulary. Shapes: V rows of D numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from rankdistill.hashing import mix, name_key, unit
from rankdistill.student.chunk import stable_order

_PIECE = 2**20  # numbers made at once
# (codes int64 [K], grads float32 [K, D]) of a process -> those of all of them.
Share = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def sums(
    rows: torch.Tensor,
    codes: torch.Tensor,
    start: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sums of rows [V, D]: those of codes[start[i] : start[i + 1]], each times its weight if there
    are any; float32 [n, D]. codes, weights: [K]; start: int64 [n + 1], from 0 to K."""
    if not len(codes):
        return rows.new_zeros(len(start) - 1, rows.shape[1])
    return functional.embedding_bag(
        codes, rows, start, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


@dataclass(frozen=True)
class Given:
    """Rows that were handed out: leaf float32 [..., D], of codes int64 [K]. start: int64 [n + 1],
    where each of n means of them begins; None where they are no means."""

    leaf: torch.Tensor
    codes: torch.Tensor
    start: torch.Tensor | None = None


@dataclass(frozen=True)
class Uses:
    """K uses of rows of the table: codes int64 [K], grads float32 [G, D]. place: int64 [K], the
    gradient of each; weight: float32 [K], what it counts; None where they follow each other."""

    codes: torch.Tensor
    grads: torch.Tensor
    place: torch.Tensor | None = None
    weight: torch.Tensor | None = None

    @classmethod
    def of(cls, given: Sequence[Given], table: torch.Tensor) -> Uses:
        """given: all with a gradient."""
        none, width = table[:0], table.shape[1]
        codes = torch.cat([none[:, 0].long(), *(each.codes for each in given)])
        grads = [each.leaf.grad.reshape(-1, width) for each in given if each.leaf.grad is not None]
        assert len(grads) == len(given)
        held = torch.cat([none, *grads])
        if all(each.start is None for each in given):
            return cls(codes, held)
        places, weights, first = [], [], 0
        for each, grad in zip(given, grads, strict=True):
            place = torch.arange(len(grad), device=codes.device)
            weight = torch.ones_like(grad[:, 0])
            if each.start is not None:
                lengths = each.start.diff()
                weight = (weight / lengths).repeat_interleave(lengths)
                place = place.repeat_interleave(lengths)
            places.append(first + place)
            weights.append(weight)
            first += len(grad)
        return cls(codes, held, torch.cat(places), torch.cat(weights))

    def of_rows(self, ranges: Sequence[tuple[int, int]]) -> Uses:
        """Those of rows in one of the ranges."""
        kept = torch.zeros_like(self.codes, dtype=torch.bool)
        for first, last in ranges:
            kept |= (self.codes >= first) & (self.codes < last)
        at = kept.nonzero()[:, 0]
        weight = None if self.weight is None else self.weight[at]
        return Uses(
            self.codes[at], self.grads, at if self.place is None else self.place[at], weight
        )


@dataclass(frozen=True)
class Touched:
    """What a step changes: row int64 [K], each once, its gradient float32 [K, D], and the mean of
    its squares float32 [K]."""

    row: torch.Tensor
    grads: torch.Tensor
    squares: torch.Tensor

    @classmethod
    def of(cls, uses: Uses, only: Sequence[tuple[int, int]] | None = None) -> Touched:
        """The rows that are used, with the sums of their gradients. only: ranges of rows."""
        if only is not None:
            uses = uses.of_rows(only)
        row, grads = uses.codes, uses.grads
        order, start = equal_together(row)
        if uses.place is not None or len(start) <= len(row):
            row = row[order[start[:-1]]]
            at = order if uses.place is None else uses.place[order]
            weight = None if uses.weight is None else uses.weight[order]
            grads = sums(grads, at, start, weight)
        squares = torch.linalg.vector_norm(grads, dim=1).square() / grads.shape[1]
        return cls(row, grads, squares)

    def scaled(self, factor: float) -> Touched:
        return Touched(self.row, self.grads * factor, self.squares * factor**2)


def equal_together(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(order int64 [K], start int64 [K' + 1]): the codes in that order, equal ones together, those
    of the i-th distinct one from start[i] on."""
    if codes.is_cpu:
        order = torch.from_numpy(stable_order(codes.numpy()[:, None]))
    else:
        order = codes.argsort(stable=True)
    ordered = codes[order]
    is_new = torch.ones(len(codes) + 1, dtype=torch.bool, device=codes.device)
    is_new[1:-1] = ordered[1:] != ordered[:-1]
    start = is_new.nonzero()[:, 0]
    return order, start if len(codes) else start[:1]


class EmbeddingTable:
    """weight: float32 [V, D]; state: float32 [V], the sums of mean squared gradients.

    `gather` and `means` hand out rows as leaves of the graph; after `backward`, `gradients` adds
    up those of each row that was handed out, and `update` changes it in place.
    """

    def __init__(self, weight: torch.Tensor, state: torch.Tensor) -> None:
        assert len(weight) == len(state), (weight.shape, state.shape)
        self.weight, self.state = weight, state
        self._given: list[Given] = []

    @classmethod
    def new(
        cls, keys: np.ndarray, dim: int, seed: int, scale: float, start: float
    ) -> EmbeddingTable:
        """Rows drawn uniformly from [-scale, scale) by a hash of what names them (keys: uint64
        [V]), so that a value starts alike in any vocabulary; start: of every state."""
        weight = np.empty((len(keys), dim), dtype=np.float32)  # in huge pages, torch's is not
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
        return self._leaf(self._rows(codes.reshape(-1)).view(*codes.shape, self.dim), codes)

    def means(self, codes: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """The means of the rows of codes[start[i] : start[i + 1]], 0 of none, float32 [n, D]; a
        leaf as of `gather`. codes: int64 [K]; start: int64 [n + 1]."""
        share = 1 / start.diff().clamp(min=1)
        return self._leaf(sums(self.weight, codes, start) * share[:, None], codes, start)

    def _leaf(
        self, rows: torch.Tensor, codes: torch.Tensor, start: torch.Tensor | None = None
    ) -> torch.Tensor:
        if torch.is_grad_enabled():
            rows.requires_grad_()
            self._given.append(Given(rows, codes.reshape(-1), start))
        return rows

    def _rows(self, codes: torch.Tensor) -> torch.Tensor:
        """Sums of one row each: their kernel fetches ahead, and so is twice as fast as
        `index_select`."""
        each = torch.arange(len(codes) + 1, device=codes.device)
        return sums(self.weight, codes, each)

    @torch.no_grad()
    def gradients(
        self, share: Share | None = None, only: Sequence[tuple[int, int]] | None = None
    ) -> Touched:
        """The rows that were handed out since the last time, each once with its summed gradient.

        share: makes them those of all processes; only: ranges of rows, the others are let go of.
        """
        given = [each for each in self._given if each.leaf.grad is not None]
        self._given.clear()
        touched = Touched.of(Uses.of(given, self.weight), only)
        if share is None:
            return touched
        return Touched.of(Uses(*share(touched.row, touched.grads)))

    @torch.no_grad()
    def update(self, touched: Touched, lr: float, l2: float = 0.0) -> None:
        """Row-wise Adagrad (Duchi et al. 2011, one state for a row as in FBGEMM): for a row w of
        summed gradient g, state += mean(g^2), w -= lr * (g / sqrt(state) + l2 * w)."""
        row = touched.row
        state = self.state.index_select(0, row) + touched.squares
        self.state.index_copy_(0, row, state)
        held = self._rows(row)
        if l2:
            held.mul_(1 - lr * l2)
        held.addcdiv_(touched.grads, state.sqrt()[:, None], value=-lr)
        self.weight.index_copy_(0, row, held)
