"""Samples of a batch as the losses take them: scores, targets, weights and a mask.

Every user and item gets its vector once, every slot its score once; a view gathers its rows
from them. Shapes: R requests, I distinct items, N slots, B rows of n scores each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from rankdistill.student.chunk import Chunk


@dataclass(frozen=True)
class Scored:
    """A batch after the student: users float32 [R, d], items float32 [I, d], slot_item int64
    [N] (which item a slot holds), slots float32 [N] (its logit)."""

    users: torch.Tensor
    items: torch.Tensor
    slot_item: torch.Tensor
    slots: torch.Tensor


@dataclass(frozen=True)
class Sample:
    """What a loss is given; see `losses.loss`."""

    scores: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    mask: torch.Tensor


def gathered(
    scored: Scored,
    slots: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    mask: np.ndarray | None = None,
) -> Sample:
    """The scores of slots (int64 [B, n]) with targets [B, n], weights [B] and mask [B, n]."""
    device = scored.slots.device
    at = torch.from_numpy(np.ascontiguousarray(slots, np.int64)).to(device)
    held = np.ones(slots.shape, dtype=bool) if mask is None else mask
    return Sample(
        scored.slots[at],
        _floats(targets).to(device),
        _floats(weights).to(device),
        torch.from_numpy(held).to(device),
    )


def _floats(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def feedback(scored: Scored, chunk: Chunk) -> Sample:
    """Exposed candidates, 1 where the user responded: [B, 1]."""
    slots = np.flatnonzero(chunk.columns["exposed"])
    label = chunk.columns["responded"][slots]
    return gathered(scored, slots[:, None], label[:, None], np.ones(len(slots)))


def pointwise(scored: Scored, chunk: Chunk) -> Sample:
    """The points of the kernel, with label and weight: [B, 1]."""
    drawn = chunk.drawn["pointwise"]
    slots, label = drawn.slots["item"][:, None], drawn.values["label"][:, None]
    return gathered(scored, slots, label, drawn.values["weight"])


def pairwise(scored: Scored, chunk: Chunk) -> Sample:
    """The pairs of the kernel, the positive first: [B, 2]."""
    drawn = chunk.drawn["pairwise"]
    slots = np.stack([drawn.slots["pos"], drawn.slots["neg"]], 1)
    targets = np.broadcast_to([1.0, 0.0], slots.shape)
    return gathered(scored, slots, targets, drawn.values["weight"])


VIEWS: dict[str, Callable[[Scored, Chunk], Sample]] = {
    "feedback": feedback,
    "pointwise": pointwise,
    "pairwise": pairwise,
}
# The sample kind that a view needs drawn.
KINDS = {"pointwise": "pointwise", "pairwise": "pairwise"}
