"""User vectors meet item vectors: the logit of every slot of a batch, and its gradient.

Autograd would make and scatter a gradient of [N, d] for either side; as products of a sparse
matrix [R, I] of the slots' gradients with the vectors of the other side none is made.
Shapes: R requests, I distinct items, N slots, d wide vectors.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import torch

from rankdistill.student.chunk import Chunk
from rankdistill.student.device import CPU, moved


def meet(users: torch.Tensor, items: torch.Tensor, chunk: Chunk) -> torch.Tensor:
    """users[request] . items[item] of each slot, float [N]; users [R, d], items [I, d]."""
    links, device = chunk.links, users.device
    request, item = moved(chunk.request, device), moved(links.item, device)
    if device != CPU:  # cuSPARSE does not promise the same sums twice
        return (users.index_select(0, request) * items.index_select(0, item)).sum(-1)
    offsets, order, start = (moved(e, device) for e in (chunk.offsets, links.order, links.start))
    scores: torch.Tensor = _Meeting.apply(users, items, request, item, offsets, order, start)
    return scores


def _sparse(
    start: torch.Tensor, column: torch.Tensor, values: torch.Tensor, shape: tuple[int, ...]
) -> torch.Tensor:
    _hear_once()
    return torch.sparse_csr_tensor(start, column, values, shape, check_invariants=False)


@cache
def _hear_once() -> None:
    """Torch says once in a process that its CSR is in beta; the user can do nothing about it."""
    none = torch.zeros(1, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor(none, none[:0], none[:0].float(), (0, 0), check_invariants=False)


class _Meeting(torch.autograd.Function):
    @staticmethod
    def forward(
        users: torch.Tensor,
        items: torch.Tensor,
        request: torch.Tensor,
        item: torch.Tensor,
        *rest: torch.Tensor,
    ) -> torch.Tensor:
        return (users.index_select(0, request) * items.index_select(0, item)).sum(-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        users, items, request, item, offsets, order, start = ctx.saved_tensors
        shape = (len(users), len(items))
        by_user = _sparse(offsets, item, grad, shape)
        by_item = _sparse(start, request[order], grad[order], shape[::-1])
        return by_user @ items, by_item @ users, None, None, None, None, None
