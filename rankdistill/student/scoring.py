"""A student with its embedding table, and the scores that it gives to the slots of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from rankdistill.student.catalogue import MODELS
from rankdistill.student.chunk import Chunk, Encoded
from rankdistill.student.embedding import EmbeddingTable
from rankdistill.student.fields.encode import Fields
from rankdistill.student.meeting import meet
from rankdistill.student.models.options import Model
from rankdistill.student.models.student import Inputs, Student
from rankdistill.student.views import Scored

SCALE = 0.01  # of fresh embedding rows


@dataclass
class Scorer:
    """student and the table that it looks its fields up in."""

    student: Student
    table: EmbeddingTable

    @classmethod
    def new(cls, options: Model, fields: Fields, seed: int, start: float) -> Scorer:
        """A fresh student; a function of the seed."""
        torch.manual_seed(seed % 2**63)
        student = MODELS[options.kind](options, 0, 0)
        return cls(student, EmbeddingTable.new(fields.num_rows, student.width, seed, SCALE, start))

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps of it."""
        own = {f"student.{name}": value for name, value in self.student.state_dict().items()}
        return {"table.weight": self.table.weight, "table.state": self.table.state, **own}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """The inverse of `tensors`."""
        self.table = EmbeddingTable(tensors["table.weight"], tensors["table.state"])
        own = {name: tensors[f"student.{name}"] for name in self.student.state_dict()}
        self.student.load_state_dict(own)

    def inputs(self, encoded: Encoded) -> Inputs:
        """The rows of the table, to be trained where gradients are on."""
        rows = self.table.gather(torch.from_numpy(encoded.codes))
        return Inputs(rows, torch.from_numpy(encoded.dense))

    def score(self, chunk: Chunk) -> Scored:
        """Each user's and each distinct item's vector once, and the logit of every slot."""
        users = self.student.users(self.inputs(chunk.users))
        items = self.student.items(self.inputs(chunk.items.take(chunk.links.row)))
        return Scored(users, items, torch.from_numpy(chunk.links.item), meet(users, items, chunk))
