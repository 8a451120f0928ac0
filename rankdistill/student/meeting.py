"""User vectors meet item vectors: the logit of every slot of a batch, and its gradient.

Autograd would make and scatter [N, d] for either side, forth and back. Here none is made: the
logits are entries of a sparse product [R, I], their gradients weighted sums of vectors.
Shapes: R requests, I distinct items, N slots, d wide vectors.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import torch

from rankdistill.student.chunk import Chunk
from rankdistill.student.device import CPU, moved
from rankdistill.student.embedding import sums


def meet(users: torch.Tensor, items: torch.Tensor, chunk: Chunk) -> torch.Tensor:
    """users[request] . items[item] of each slot, float [N]; users [R, d], items [I, d]."""
    links, device = chunk.links, users.device
    request, item = moved(chunk.request, device), moved(links.item, device)
    if device != CPU:  # cuSPARSE does not promise the same sums twice
        return (users.index_select(0, request) * items.index_select(0, item)).sum(-1)
    offsets, order, start = (moved(e, device) for e in (chunk.offsets, links.order, links.start))
    scores: torch.Tensor = _Meeting.apply(users, items, request, item, offsets, order, start)
    return scores


@cache
def _hear_once() -> None:
    """Torch says once in a process that its CSR is in beta; the user can do nothing about it."""
    none = torch.zeros(1, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor(none, none[:0], none[:0].float(), (0, 0), check_invariants=False)


class _Meeting(torch.autograd.Function):
    """The entries of users @ items.T that slots ask for, float [N]."""

    @staticmethod
    def forward(
        users: torch.Tensor,
        items: torch.Tensor,
        request: torch.Tensor,
        item: torch.Tensor,
        offsets: torch.Tensor,
        *rest: torch.Tensor,
    ) -> torch.Tensor:
        if len(item) >= len(users) * len(items):  # which a sparse matrix cannot hold
            return (users @ items.t())[request, item]
        _hear_once()
        shape = len(users), len(items)
        wanted = torch.sparse_csr_tensor(
            offsets, item, users.new_zeros(len(item)), shape, check_invariants=False
        )
        return torch.sparse.sampled_addmm(wanted, users, items.t(), beta=0.0).values()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        users, items, request, item, offsets, order, start = ctx.saved_tensors
        by_user = sums(items, item, offsets, grad)
        by_item = sums(users, request[order], start, grad[order])
        return by_user, by_item, None, None, None, None, None
