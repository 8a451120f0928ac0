"""Sinkhorn's scaling of square matrices: numbers for the rows and the columns of each.

The matrix is left as it is, so that a round costs two products with a vector, backwards too, and
keeps a few numbers for each row. Shapes: B matrices of n rows and columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from rankdistill.student.losses.loss import held

TOLERANCE = 1e-6  # of column sums, from which a matrix counts as doubly stochastic
LEAST = 1e-10  # that a sum is taken for: a column of nearly nothing is not blown up


def sinkhorn(
    matrix: torch.Tensor, there: torch.Tensor, rounds: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(of rows, of columns), float64 [B, n]: what to multiply them with, after columns, then rows
    were scaled to sum 1 `rounds` times, or until all columns of a matrix differ from it by less
    than TOLERANCE: by each matrix of the batch alone, whatever the others need.

    matrix: [B, n, n], not negative, rows of sum 1 or 0; there: bool [B, n], the columns that
    have anything.
    """
    # What all but vanished in float32 is scaled up by more than float32 holds.
    found: tuple[torch.Tensor, torch.Tensor] = _Sinkhorn.apply(matrix.double(), there, rounds)
    return found


class _Half(NamedTuple):
    """One scaling. scale: of it, [B, n]; by_before, by_sum: its derivative by the scale before,
    and by the sums; other: of the other side, that the sums were made with."""

    scale: torch.Tensor
    by_before: torch.Tensor
    by_sum: torch.Tensor
    other: torch.Tensor


class _Sinkhorn(torch.autograd.Function):
    """The gradient goes back through every round, and to the matrix in one product of all."""

    @staticmethod
    def forward(
        ctx: Any, matrix: torch.Tensor, there: torch.Tensor, rounds: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = columns = torch.ones_like(matrix[:, 0])
        halves: list[_Half] = []
        for _ in range(rounds):
            sums = _times(matrix.mT, rows)
            is_off = held((columns * sums - 1).abs(), there).amax(1) >= TOLERANCE
            if not is_off.any():
                break
            halves.append(_scaled(columns, sums, rows, is_off))
            columns = halves[-1].scale
            halves.append(_scaled(rows, _times(matrix, columns), columns, is_off))
            rows = halves[-1].scale
        ctx.num_halves = len(halves)
        ctx.save_for_backward(matrix, *(tensor for half in halves for tensor in half))
        return rows, columns

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        matrix, *kept = ctx.saved_tensors
        halves = [_Half(*kept[at : at + 4]) for at in range(0, len(kept), 4)]
        by_row, by_column = grads
        of_rows, of_columns = [], []
        for number, half in reversed(list(enumerate(halves))):
            if number % 2:
                by_sum = by_row * half.by_sum
                by_row = by_row * half.by_before
                by_column = by_column + _times(matrix.mT, by_sum)
                of_rows.append(by_sum)
                of_columns.append(half.other)
            else:
                by_sum = by_column * half.by_sum
                by_column = by_column * half.by_before
                by_row = by_row + _times(matrix, by_sum)
                of_rows.append(half.other)
                of_columns.append(by_sum)
        if not halves:
            return torch.zeros_like(matrix), None, None
        return torch.stack(of_rows, 2) @ torch.stack(of_columns, 1), None, None


def _scaled(
    before: torch.Tensor, sums: torch.Tensor, other: torch.Tensor, is_off: torch.Tensor
) -> _Half:
    """The scales with which sums are 1, where the matrix is off and the sum is more than 0."""
    now = before * sums
    changes = is_off[:, None] & (now > 0)
    is_least = now < LEAST
    is_set = changes & ~is_least
    found = torch.where(is_set, 1 / sums, torch.where(changes, before / LEAST, before))
    by_before = torch.where(changes, torch.where(is_least, 1 / LEAST, 0.0), 1.0)
    return _Half(found, by_before.to(found.dtype), held(-found.square(), is_set), other)


def _times(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    # The vector from the left: several times as fast as from the right.
    return torch.bmm(vector[:, None, :], matrix.mT)[:, 0]
