"""A student with its embedding table, and the scores that it gives to the slots of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from rankdistill.student.catalogue import MODELS
from rankdistill.student.chunk import Bag, Chunk, Encoded
from rankdistill.student.device import moved
from rankdistill.student.embedding import EmbeddingTable
from rankdistill.student.fields.encode import Fields
from rankdistill.student.meeting import meet
from rankdistill.student.models.heads import Heads
from rankdistill.student.models.options import Model
from rankdistill.student.models.student import Inputs, Student
from rankdistill.student.views import Scored


@dataclass
class Scorer:
    """student and the table that it looks its fields up in; objectives: whose heads it has, the
    first is the one that is served."""

    student: Student
    table: EmbeddingTable
    objectives: tuple[str, ...] = ("main",)

    @classmethod
    def new(
        cls,
        options: Model,
        fields: Fields,
        seed: int,
        start: float,
        objectives: Sequence[str] = ("main",),
    ) -> Scorer:
        """A fresh student; a function of the seed."""
        torch.manual_seed(seed % 2**63)
        student = MODELS[options.kind](options, fields.shape("user"), fields.shape("item"))
        if len(objectives) > 1:
            student.heads = Heads(len(objectives) - 1, student.size)
        keys = fields.row_keys()
        table = EmbeddingTable.new(keys, student.width, seed, student.scale, start)
        return cls(student, table, tuple(objectives))

    @property
    def device(self) -> torch.device:
        return self.table.weight.device

    def to(self, device: torch.device) -> Scorer:
        """Itself, moved to that device."""
        self.student.to(device)
        self.table = self.table.to(device)
        return self

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps of it."""
        own = {f"student.{name}": value for name, value in self.student.state_dict().items()}
        return {"table.weight": self.table.weight, "table.state": self.table.state, **own}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """The inverse of `tensors`."""
        self.table.weight.copy_(tensors["table.weight"])
        self.table.state.copy_(tensors["table.state"])
        own = {name: tensors[f"student.{name}"] for name in self.student.state_dict()}
        self.student.load_state_dict(own)

    def inputs(self, encoded: Encoded) -> Inputs:
        """The rows of the table, to be trained where gradients are on."""
        held = encoded.plain()
        rows = self.table.gather(moved(held.codes, self.device))
        means = [self._mean(bag) for bag in held.bags]
        if means:
            rows = torch.cat([rows, torch.stack(means, 1)], 1)
        dense = held.dense if held.dense.shape[1] else np.zeros((len(held), 0), np.float32)
        return Inputs(rows, moved(dense, self.device))

    def _mean(self, bag: Bag) -> torch.Tensor:
        """The mean of each list's rows, float32 [n, D]."""
        return self.table.means(moved(bag.codes, self.device), moved(bag.start, self.device))

    def score(self, chunk: Chunk) -> Scored:
        """Each user's and each distinct item's vector once, and the logit of every slot, of the
        objective that is served; the others in `of`."""
        users = self.student.users(self.inputs(chunk.users))
        items = self.student.items(self.inputs(chunk.items.take(chunk.links.row)))
        slots = meet(users, items, chunk)
        scored = Scored(users, items, moved(chunk.links.item, self.device), slots)
        if len(self.objectives) == 1:
            return scored
        return replace(scored, head=partial(self._head, scored, chunk))

    def _head(self, scored: Scored, chunk: Chunk, objective: str) -> Scored:
        """The batch as an objective scores it."""
        number = self.objectives.index(objective)
        if number == 0:
            return scored
        users = self.student.heads(scored.users, number)
        return replace(scored, users=users, slots=meet(users, scored.items, chunk))
