"""A trained student as evaluation sees it: scores of lists, vectors of users and items, and what
its measures gather. The only file of this room that knows torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rankdistill.errors import TrainingError
from rankdistill.lists.batch import Lists
from rankdistill.student.chunk import Chunk, Encoded
from rankdistill.student.drawing import Drawing, Outside
from rankdistill.student.evaluation.options import EvaluateOptions
from rankdistill.student.fields.encode import Fields
from rankdistill.student.folder import load_student
from rankdistill.student.options import BatchOptions
from rankdistill.student.reading import ListsSource
from rankdistill.student.scoring import Scorer

BLOCK = 65_536  # users or items at a time


@dataclass
class Contestant:
    """folder: its run; facts: its run.json; items: those of the catalogue, as it sees them."""

    folder: Path
    scorer: Scorer
    fields: Fields
    facts: Mapping[str, Any]
    items: list[Encoded] = field(default_factory=list)
    users: list[Encoded] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> Contestant:
        """Raises TrainingError E0503."""
        scorer, fields, facts = load_student(folder)
        scorer.student.eval()
        return cls(folder, scorer, fields, facts)

    @property
    def columns(self) -> list[str]:
        """What it reads of the lists."""
        return self.fields.columns

    def chunk(self, lists: Lists, source: ListsSource, options: EvaluateOptions) -> Chunk:
        """The lists whole, with grades."""
        drawing = Drawing(source, self.fields, {}, 0, grade=options.grade)
        return drawing.chunk(lists, {}, Outside(lists))

    @torch.no_grad()
    def score(self, chunk: Chunk) -> np.ndarray:
        """The logit of every slot, float32 [N]. TrainingError E0501 where one is not finite."""
        batch = BatchOptions.model_validate(self.facts["options"]["batch"])
        cuts = chunk.cuts(batch.requests, batch.slots)
        parts = [chunk.part(a, b) for a, b in pairwise(cuts)]
        scores = [self.scorer.score(part).slots.cpu().numpy() for part in parts]
        found = np.concatenate([np.zeros(0, np.float32), *scores])
        if not np.isfinite(found).all():
            bad = chunk.request[np.flatnonzero(~np.isfinite(found))[0]]
            raise TrainingError(
                "E0501",
                f"the student in {self.folder} gives scores that are not finite",
                found=f"in request {chunk.request_id[int(bad)]}",
                help="train it again with a lower train.optimizer.lr",
            )
        return found

    def keep_items(self, lists: Lists, candidates: np.ndarray) -> None:
        """Candidates that the catalogue has not seen yet."""
        self.items.append(self.fields.encode(lists, candidates)[1])

    def keep_users(self, chunk: Chunk, requests: np.ndarray) -> None:
        """Requests whose responses are looked for in the catalogue."""
        self.users.append(chunk.users.take(requests))

    @torch.no_grad()
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """(of the kept users [Q, d], of the kept items [I, d]), float32."""
        student = self.scorer.student
        sides = []
        for kept, side in ((self.users, student.users), (self.items, student.items)):
            found = []
            for encoded in kept:
                for first in range(0, len(encoded), BLOCK):
                    part = encoded.part(first, min(first + BLOCK, len(encoded)))
                    found.append(side(self.scorer.inputs(part)).cpu().numpy())
            sides.append(np.concatenate(found) if found else np.zeros((0, 1), np.float32))
        return sides[0], sides[1]
