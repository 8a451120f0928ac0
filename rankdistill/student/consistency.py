"""How far a student orders candidates as the teacher does. Shapes: R requests, N slots."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rankdistill.lists.batch import segment_sum, spans
from rankdistill.quality.pairs_within import num_pairs, rising_pairs, sorted_down, tied_pairs
from rankdistill.student.chunk import Chunk


@dataclass
class Consistency:
    """OPA: of the pairs that both have a teacher rank, the share that the student orders alike;
    a tie of its scores counts one half. agreed, pairs: of each request."""

    agreed: list[np.ndarray] = field(default_factory=list)
    pairs: list[np.ndarray] = field(default_factory=list)

    def add(self, chunk: Chunk, scores: np.ndarray) -> None:
        ranked = chunk.columns["teacher_rank"] > 0
        num = segment_sum(ranked, chunk.offsets)
        # The ranked candidates stand first, in the teacher's order.
        rows = spans(chunk.offsets[:-1], num)
        score = scores[rows].astype(np.float64)
        offsets = np.concatenate([[0], np.cumsum(num)])
        rising = rising_pairs(score, offsets)
        tied = tied_pairs(sorted_down(score, offsets), offsets, 0.0)
        total = num_pairs(num)
        self.agreed.append(total - rising - tied / 2)
        self.pairs.append(total)

    def told(self) -> dict[str, float | None]:
        """macro: mean over requests with a pair; micro: of all pairs."""
        agreed = np.concatenate([np.zeros(0), *self.agreed])
        pairs = np.concatenate([np.zeros(0, np.int64), *self.pairs])
        held = pairs > 0
        if not held.any():
            return {"opa": None, "opa_micro": None, "num_requests": 0}
        return {
            "opa": float((agreed[held] / pairs[held]).mean()),
            "opa_micro": float(agreed.sum() / pairs.sum()),
            "num_requests": int(held.sum()),
        }
