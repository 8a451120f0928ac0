"""Samples of a batch as the losses take them: scores, targets, weights and a mask.

Every user and item gets its vector once, every slot its score once; a view gathers its rows
from them. Shapes: R requests, I distinct items, N slots, B rows of n scores each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from rankdistill.lists.batch import spans
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


def contrast(scored: Scored, chunk: Chunk) -> Sample:
    """A positive, then the negatives that were drawn for it or for its request: [B, 1 + n]."""
    drawn, request = chunk.drawn["negatives"], np.arange(chunk.num_requests)
    if (drawn.slots["pos"] >= 0).any():
        anchor = drawn.slots["pos"]
        first = np.flatnonzero(np.append(True, np.diff(anchor) != 0)[: len(anchor)])
        positive, begin = anchor[first], first
        end = np.append(first[1:], len(anchor))
    else:
        positives = chunk.drawn["positives"]
        of = np.repeat(request, np.diff(positives.start))
        positive, begin, end = positives.slots["item"], drawn.start[of], drawn.start[of + 1]
    kept = np.flatnonzero(end > begin)
    slots, mask = padded(drawn.slots["item"], begin[kept], end[kept])
    slots = np.concatenate([positive[kept, None], slots], 1)
    mask = np.concatenate([np.ones((len(kept), 1), dtype=bool), mask], 1)
    targets = np.zeros(slots.shape)
    targets[:, 0] = 1
    return gathered(scored, slots, targets, np.ones(len(kept)), mask)


def padded(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """values[begin : end] of each of B rows as [B, n] with zeros behind, and where they are."""
    lengths = end - begin
    place = np.arange(int(lengths.max(initial=0)))
    mask = place < lengths[:, None]
    found = np.zeros(mask.shape, dtype=values.dtype)
    found[mask] = values[spans(begin, lengths)]
    return found, mask


@dataclass(frozen=True)
class View:
    """function: (scored batch, chunk) -> what the loss is given. kind: the sample kind that has
    to be drawn for it; slots: the column of slots that it looks at beside what is drawn."""

    function: Callable[[Scored, Chunk], Sample]
    kind: str | None = None
    slots: str | None = None


VIEWS: dict[str, View] = {
    "feedback": View(feedback, slots="exposed"),
    "pointwise": View(pointwise, "pointwise"),
    "pairwise": View(pairwise, "pairwise"),
    "negatives": View(contrast, "negatives"),
}
