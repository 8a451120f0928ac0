"""The dynamic weight of ranking distillation (Tang & Wang 2018): a positive that the student ranks
where the teacher does needs no more of its attention. Shapes: N slots, T points, B requests of n.
"""

from __future__ import annotations

import numpy as np
import torch

from rankdistill.student.chunk import Chunk, padded
from rankdistill.student.device import moved
from rankdistill.student.losses.loss import held

# Of one candidate. Whole numbers add up to the same in any order, on every device.
TICKS = 2**20


def dynamic_weights(scores: torch.Tensor, chunk: Chunk, mu: float) -> torch.Tensor:
    """max(0, tanh(mu (r_s - r_t))) of the positives that have a teacher rank r_t, 1 of all other
    points; float32 [T], without gradient.

    scores: of the slots [N]. r_s is the student's rank among the points of the request, each
    standing for 1 / probability candidates.
    """
    points = chunk.drawn["pointwise"]
    begin, end = points.filled()
    slots, mask = padded(points.slots["item"], begin, end)
    stands_for, _ = padded(1 / points.values["probability"], begin, end)
    ticks = np.rint(stands_for * TICKS).astype(np.int64)

    device = scores.device
    there, found = moved(mask, device), scores.detach()[moved(slots, device)]
    student = estimated_ranks(found, moved(ticks, device), there)[there]
    teacher = chunk.columns["teacher_rank"][points.slots["item"]]
    is_ranked = moved((points.values["label"] > 0) & (teacher > 0), device)
    behind = student - moved(teacher.astype(np.float32), device)
    return torch.where(is_ranked, torch.tanh(mu * behind).clamp(min=0), 1.0)


def estimated_ranks(scores: torch.Tensor, ticks: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """1 + how many candidates score higher, float32 [B, n]; ticks: int64 [B, n], how many each
    entry stands for, in TICKS."""
    falling = torch.where(mask, -scores, torch.inf)
    ordered, order = falling.sort(1)
    num_higher = torch.searchsorted(ordered, falling)
    running = held(ticks, mask).gather(1, order).cumsum(1)
    running = torch.cat([torch.zeros_like(running[:, :1]), running], 1)
    return 1 + (running.gather(1, num_higher).double() / TICKS).to(scores.dtype)
