"""Samples of a batch as the losses take them: scores, targets, weights and a mask.

Every user and item gets its vector once, every slot its score once; a view gathers its rows
from them. Shapes: R requests, I distinct items, N slots, B rows of n scores each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from rankdistill.lists.batch import owners
from rankdistill.student import labels
from rankdistill.student.chunk import Chunk, padded
from rankdistill.student.device import moved
from rankdistill.student.dynamic import dynamic_weights
from rankdistill.student.known import is_known
from rankdistill.student.losses.loss import Rows
from rankdistill.student.meeting import meet


@dataclass(frozen=True)
class Scored:
    """A batch after the student: users float32 [R, d], items float32 [I, d], slot_item int64
    [N] (which item a slot holds), slots float32 [N] (its logit). The last number of an item is
    1, that of a user the bias. head: the same as an objective scores it, None = all alike."""

    users: torch.Tensor
    items: torch.Tensor
    slot_item: torch.Tensor
    slots: torch.Tensor
    head: Callable[[str], Scored] | None = None

    def of(self, objective: str) -> Scored:
        """The batch as this objective scores it."""
        return self if self.head is None else self.head(objective)


@dataclass(frozen=True)
class Sample:
    """What a loss is given; see `losses.loss`. gives: how to make what only some losses need."""

    scores: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    mask: torch.Tensor
    gives: Mapping[str, Callable[[], torch.Tensor]] = field(default_factory=dict)


def as_cosines(scored: Scored, chunk: Chunk) -> Scored:
    """The batch with vectors of length 1, without the bias: its scores are cosines, whatever the
    student serves."""
    users = functional.normalize(scored.users[:, :-1])
    items = functional.normalize(scored.items[:, :-1])
    return replace(scored, users=users, items=items, slots=meet(users, items, chunk))


def gathered(
    scored: Scored,
    slots: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    mask: np.ndarray | None = None,
) -> Sample:
    """The scores of slots (int64 [B, n]) with targets [B, n], weights [B] and mask [B, n]."""
    device = scored.slots.device
    at = moved(slots.astype(np.int64, copy=False), device)
    held = np.ones(slots.shape, dtype=bool) if mask is None else mask
    return Sample(
        scored.slots[at],
        _floats(targets, device),
        _floats(weights, device),
        moved(held, device),
        {"similarity": lambda: _to_the_first(scored, at)},
    )


def _to_the_first(scored: Scored, at: torch.Tensor) -> torch.Tensor:
    """Inner product of each entry's item with that of the row's first, [B, n]."""
    vectors = scored.items[scored.slot_item[at]]
    return (vectors * vectors[:, :1]).sum(-1)


def _floats(values: np.ndarray, device: torch.device) -> torch.Tensor:
    return moved(values.astype(np.float32, copy=False), device)


def feedback(scored: Scored, chunk: Chunk, label: str = "responded") -> Sample:
    """Exposed candidates, 1 where the user responded: [B, 1]. label: a column of slots."""
    slots = np.flatnonzero(chunk.columns["exposed"])
    targets = labels.responses(chunk, label)
    return gathered(scored, slots[:, None], targets[:, None], np.ones(len(slots)))


def pointwise(scored: Scored, chunk: Chunk, mu: float | None = None) -> Sample:
    """The points of the kernel, with label and weight: [B, 1]. mu: times the dynamic weight."""
    drawn = chunk.drawn["pointwise"]
    slots, label = drawn.slots["item"][:, None], drawn.values["label"][:, None]
    sample = gathered(scored, slots, label, drawn.values["weight"])
    if mu is None:
        return sample
    return replace(sample, weights=sample.weights * dynamic_weights(scored.slots, chunk, mu))


def pairwise(scored: Scored, chunk: Chunk) -> Sample:
    """The pairs of the kernel, the positive first: [B, 2]."""
    drawn = chunk.drawn["pairwise"]
    slots = labels.pairs(chunk)
    targets = np.broadcast_to([1.0, 0.0], slots.shape)
    return gathered(scored, slots, targets, drawn.values["weight"])


def scores_pointwise(scored: Scored, chunk: Chunk) -> Sample:
    """Candidates with a teacher score, targets its logits: [B, 1]."""
    slots = np.flatnonzero(chunk.columns["has_score"])
    return gathered(scored, slots[:, None], labels.of_points(chunk)[:, None], np.ones(len(slots)))


def scores_pairwise(scored: Scored, chunk: Chunk) -> Sample:
    """The pairs of the kernel with targets the teacher's logits, where both have one: [B, 2]."""
    drawn = chunk.drawn["pairwise"]
    slots = labels.pairs(chunk)
    mask = chunk.columns["has_score"][slots]
    return gathered(scored, slots, _logits(chunk, slots), drawn.values["weight"], mask)


def scores(scored: Scored, chunk: Chunk) -> Sample:
    """The candidates of a request that have a teacher score, targets its logits: [B, n]."""
    kept = np.flatnonzero(chunk.columns["has_score"])
    start = np.searchsorted(chunk.request[kept], np.arange(chunk.num_requests + 1))
    rows = np.flatnonzero(np.diff(start))
    slots, mask = padded(kept, start[rows], start[rows + 1])
    return gathered(scored, slots, _logits(chunk, slots), np.ones(len(rows)), mask)


def _logits(chunk: Chunk, slots: np.ndarray) -> np.ndarray:
    logit: np.ndarray = chunk.columns["logit"]
    return logit[slots]


def listwise(scored: Scored, chunk: Chunk) -> Sample:
    """The graded lists of the kernel, in the teacher's order, targets the grades: [B, n]."""
    drawn = chunk.drawn["listwise"]
    begin, end = drawn.filled()
    slots, mask = padded(drawn.slots["item"], begin, end)
    grades, _ = padded(drawn.values["grade"], begin, end)
    return gathered(scored, slots, grades, drawn.values["weight"][begin], mask)


def order_sample(scored: Scored, chunk: Chunk, drawn: str) -> Sample:
    """What was drawn under that name for an order, in the teacher's order; targets 1 / place of
    the interesting ones, 0 of the others: [B, n]."""
    found = chunk.drawn[drawn]
    begin, end = found.filled()
    slots, mask = padded(found.slots["item"], begin, end)
    place, _ = padded(found.values["place"], begin, end)
    targets = (place > 0) / np.maximum(place, 1)
    return gathered(scored, slots, targets, np.ones(len(begin)), mask)


def contrast(scored: Scored, chunk: Chunk) -> Sample:
    """A positive, then the negatives that were drawn for it or for its request: [B, 1 + n]."""
    drawn = chunk.drawn["negatives"]
    if (drawn.slots["pos"] >= 0).any():
        anchor = drawn.slots["pos"]
        first = np.flatnonzero(np.append(True, np.diff(anchor) != 0)[: len(anchor)])
        positive, begin = anchor[first], first
        end = np.append(first[1:], len(anchor))
    else:
        positives = chunk.drawn["positives"]
        of = owners(positives.start)
        positive, begin, end = positives.slots["item"], drawn.start[of], drawn.start[of + 1]
    kept = np.flatnonzero(end > begin)
    slots, mask = padded(drawn.slots["item"], begin[kept], end[kept])
    slots = np.concatenate([positive[kept, None], slots], 1)
    mask = np.concatenate([np.ones((len(kept), 1), dtype=bool), mask], 1)
    targets = np.zeros(slots.shape)
    targets[:, 0] = 1
    return gathered(scored, slots, targets, np.ones(len(kept)), mask)


def in_batch(scored: Scored, chunk: Chunk) -> Sample:
    """A positive, then each item that is a positive of the batch or was drawn uniformly by one of
    its requests: [B, 1 + P]. Masked: what the user is known to want. Gives count, how often an
    item is there.

    Gives log_q by the law of the mixture of both sources, and for the positive, which is there
    once whatever its share, the log of 1 / draws: then the softmax's denominator has the mean
    of the one over all items (docs/decisions/0014).
    """
    columns, positive = chunk.columns, chunk.drawn["positives"].slots["item"]
    uniform = chunk.drawn["uniform"].slots["item"] if "uniform" in chunk.drawn else positive[:0]
    every = np.concatenate([positive, uniform])
    # By id, for rare items share one row of the table.
    _, first, count = np.unique(columns["item_key"][every], return_index=True, return_counts=True)
    pool, device = every[first], scored.users.device
    request = moved(chunk.request[positive], device)
    vectors = scored.items[scored.slot_item[moved(pool, device)]]
    matrix = scored.users[request] @ vectors.T
    num_draws = max(len(every) - 1, 1)  # a positive is not drawn against itself
    share = (len(positive) - 1) * columns["share"][pool]
    share += len(uniform) / max(chunk.num_items, 1)
    law = np.append(1.0, np.where(share > 0, share, 1.0)) / num_draws
    log_q, often = _floats(np.log(law), device), _floats(np.append(1, count), device)
    mask = np.ones((len(positive), 1 + len(pool)), dtype=bool)
    mask[:, 1:] = ~is_known(chunk, positive, pool)
    targets = torch.zeros(mask.shape, device=device)
    targets[:, 0] = 1
    return Sample(
        torch.cat([scored.slots[moved(positive, device)][:, None], matrix], 1),
        targets,
        torch.ones(len(mask), device=device),
        moved(mask, device),
        {
            "log_q": lambda: log_q.expand(len(mask), -1),
            "count": lambda: often.expand(len(mask), -1),
        },
    )


@dataclass(frozen=True)
class View:
    """function: (scored batch, chunk, what the term tells it by name) -> what the loss is given.
    rows: of which kind; kind: the sample kind that has to be drawn for it; slots: the column of
    slots that it looks at beside what is drawn; needs_score: whether it is of the teacher's scores;
    in_batch: whether it takes negatives from the batch, and so needs positives and their shares;
    labels: what its losses are to tell apart in a batch, None where that is not known."""

    function: Callable[..., Sample]
    rows: Rows
    kind: str | None = None
    slots: str | None = None
    needs_score: bool = False
    in_batch: bool = False
    labels: Callable[[Chunk], np.ndarray] | None = None


VIEWS: dict[str, View] = {
    "feedback": View(feedback, "points", slots="exposed", labels=labels.responses),
    "pointwise": View(
        pointwise, "points", "pointwise", labels=lambda c: c.drawn["pointwise"].values["label"]
    ),
    "scores_pointwise": View(
        scores_pointwise, "points", slots="has_score", needs_score=True, labels=labels.of_points
    ),
    "pairwise": View(pairwise, "pairs", "pairwise", labels=labels.of_rows("pairwise")),
    "scores_pairwise": View(
        scores_pairwise, "pairs", "pairwise", needs_score=True, labels=labels.of_pairs
    ),
    "listwise": View(listwise, "lists", "listwise", labels=labels.of_rows("listwise")),
    "order_sample": View(order_sample, "lists"),
    "scores": View(scores, "lists", slots="has_score", needs_score=True, labels=labels.of_lists),
    "negatives": View(contrast, "contrast", "negatives", labels=labels.of_rows("negatives")),
    "in_batch": View(
        in_batch,
        "contrast",
        slots="responded",
        in_batch=True,
        labels=labels.of_rows("positives"),
    ),
}

OF_FEEDBACK = "feedback."  # and the name of a feedback column


def view_of(name: str) -> View:
    """The view that a term looks at; feedback.like is of likes alone."""
    if not name.startswith(OF_FEEDBACK):
        return VIEWS[name]
    label = f"hit.{name.removeprefix(OF_FEEDBACK)}"
    return replace(
        VIEWS["feedback"],
        function=partial(feedback, label=label),
        labels=partial(labels.responses, label=label),
    )
