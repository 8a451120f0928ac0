"""What a step minimises: weighted sums of losses, each of its own view of the batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rankdistill.student.catalogue import LOSSES
from rankdistill.student.chunk import Chunk
from rankdistill.student.losses.options import BceLoss, BprLoss, LossOptions
from rankdistill.student.views import VIEWS, Scored, View


@dataclass(frozen=True)
class Objectives:
    """terms: name of the objective -> its losses."""

    terms: Mapping[str, Sequence[Any]]

    @property
    def views(self) -> list[View]:
        """Those that the terms look at."""
        names = {term.on for terms in self.terms.values() for term in terms}
        return [VIEWS[name] for name in sorted(names)]

    @property
    def kinds(self) -> frozenset[str]:
        """The sample kinds that have to be drawn."""
        return frozenset(view.kind for view in self.views if view.kind)

    @property
    def slots(self) -> frozenset[str]:
        """The columns whose slots are looked at beside what is drawn."""
        return frozenset(view.slots for view in self.views if view.slots)

    def losses(self, scored: Scored, chunk: Chunk) -> Iterator[tuple[str, torch.Tensor]]:
        """(name, weighted loss) of every term."""
        for name, terms in self.terms.items():
            for term in terms:
                view = VIEWS[term.on].function(scored, chunk)
                loss = LOSSES[term.kind].function(
                    view.scores, view.targets, view.weights, view.mask, **term.parameters()
                )
                yield f"{name}.{term.kind}.{term.on}", term.weight * loss


def default_terms(*, has_response: bool) -> dict[str, list[LossOptions]]:
    """Feedback beside the teacher's order; the order alone where nobody responded to anything."""
    return {"main": [*([BceLoss()] if has_response else []), BprLoss()]}
