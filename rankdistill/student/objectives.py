"""What a step minimises: weighted sums of losses, each of its own view of the batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rankdistill.samples.order_sample import OrderSampleOptions
from rankdistill.student.catalogue import LOSSES
from rankdistill.student.chunk import Chunk
from rankdistill.student.losses.options import BceLoss, BprLoss, LossOptions
from rankdistill.student.losses.schedule import Moment, factor, is_settled
from rankdistill.student.views import OF_FEEDBACK, Scored, View, as_cosines, view_of


@dataclass(frozen=True)
class Objectives:
    """terms: name of the objective -> its losses."""

    terms: Mapping[str, Sequence[Any]]

    @property
    def view_names(self) -> list[str]:
        """Of those that the terms look at."""
        return sorted({term.view for terms in self.terms.values() for term in terms})

    @property
    def views(self) -> list[View]:
        """Those that the terms look at."""
        return [view_of(name) for name in self.view_names]

    @property
    def kinds(self) -> frozenset[str]:
        """The sample kinds that have to be drawn."""
        return frozenset(view.kind for view in self.views if view.kind)

    @property
    def slots(self) -> frozenset[str]:
        """The columns whose slots are looked at beside what is drawn."""
        return frozenset(view.slots for view in self.views if view.slots)

    @property
    def uniform(self) -> int | None:
        """How many items each request draws uniformly for negatives from the batch; None where
        no term has such."""
        terms = [term for own in self.terms.values() for term in own if view_of(term.view).in_batch]
        return max((term.uniform for term in terms), default=None)

    @property
    def draws(self) -> dict[str, OrderSampleOptions]:
        """What is drawn for single terms, by name; the same for terms that ask for the same."""
        terms = [term for own in self.terms.values() for term in own]
        return {name: options for term in terms for name, options in term.draws().items()}

    def for_kinds(self, kinds: Mapping[str, Any]) -> Objectives:
        """With what the resolved options of the sample kinds decide filled in."""
        return Objectives(
            {name: [term.for_kinds(kinds) for term in terms] for name, terms in self.terms.items()}
        )

    @property
    def of_feedback(self) -> list[str]:
        """The feedback columns that are looked at one by one."""
        found = (name for name in self.view_names if name.startswith(OF_FEEDBACK))
        return [name.removeprefix(OF_FEEDBACK) for name in found]

    @property
    def of_scores(self) -> list[str]:
        """The views that need the teacher's scores."""
        return [name for name in self.view_names if view_of(name).needs_score]

    def weights(self, moment: Moment) -> dict[str, float]:
        """What each term counts at that moment."""
        return {name: term.weight * factor(term.schedule, moment) for _, name, term in self.named()}

    def is_settled(self, moment: Moment) -> bool:
        """Whether all weights stay as they are after that moment."""
        return all(is_settled(term.schedule, moment) for _, _, term in self.named())

    def losses(
        self, scored: Scored, chunk: Chunk, moment: Moment
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """(name, weighted loss) of every term that counts at that moment, each of the scores of
        its objective; the others are not computed."""
        seen: dict[tuple[str, bool], Scored] = {}
        for objective, name, term in self.named():
            weight = term.weight * factor(term.schedule, moment)
            if not weight:
                continue
            loss = LOSSES[term.kind]
            key = objective, loss.cosines
            if key not in seen:
                own = scored.of(objective)
                seen[key] = as_cosines(own, chunk) if loss.cosines else own
            sample = view_of(term.view).function(seen[key], chunk, **term.looks())
            needs = {need: sample.gives[need]() for need in loss.needs}
            value = loss.function(
                sample.scores,
                sample.targets,
                sample.weights,
                sample.mask,
                **needs,
                **term.parameters(),
            )
            yield name, weight * value

    def named(self) -> Iterator[tuple[str, str, Any]]:
        """(objective, OBJECTIVE.LOSS.VIEW, term) of every term; the same again gets a number."""
        seen: Counter[str] = Counter()
        for objective, terms in self.terms.items():
            for term in terms:
                name = f"{objective}.{term.kind}.{term.view}"
                seen[name] += 1
                yield objective, name if seen[name] == 1 else f"{name}.{seen[name]}", term


def default_terms(*, has_response: bool) -> dict[str, list[LossOptions]]:
    """Feedback beside the teacher's order; the order alone where nobody responded to anything."""
    return {"main": [*([BceLoss()] if has_response else []), BprLoss()]}
