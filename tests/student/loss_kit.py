"""Every loss with its parameters, and random batches that it can be given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args, get_origin

import torch

from rankdistill.student.catalogue import LOSSES
from rankdistill.student.losses.options import GainOptions, LossOptions

OF_GAIN = GainOptions.__subclasses__()
CLASSES = [cls for cls in LossOptions.__subclasses__() if cls is not GainOptions] + OF_GAIN
OPTIONS = {cls.model_fields["kind"].default: cls for cls in CLASSES}
# Beside the choices that options spell out.
FURTHER = {
    "neural_ndcg": [{"sinkhorn": 0}, {"gain": "linear"}],
    "approx_ndcg": [{"gain": "linear"}],
    "lambda_loss": [{"gain": "linear"}],
    "adaptive_softmax": [{"symmetric": 0.0}],
}


def parameters_of(kind: str, **given: Any) -> dict[str, Any]:
    if OPTIONS[kind] in OF_GAIN:
        given = {"gain": "exponential", **given}
    return OPTIONS[kind](**given).parameters()


def variants() -> list[tuple[str, dict[str, Any]]]:
    """(kind, what is given beside the defaults): each loss, each choice of each of its options."""
    found: list[tuple[str, dict[str, Any]]] = []
    for kind, options in OPTIONS.items():
        found.append((kind, {}))
        for name, about in options.model_fields.items():
            own = name not in {*LossOptions.model_fields, *options.of_view}
            if own and get_origin(about.annotation) is Literal:
                choices = [c for c in get_args(about.annotation) if c != about.default]
                found += [(kind, {name: choice}) for choice in choices]
        found += [(kind, given) for given in FURTHER.get(kind, [])]
    return found


def named(variant: tuple[str, dict[str, Any]]) -> str:
    return "-".join([variant[0], *(f"{key}={value}" for key, value in variant[1].items())])


@dataclass(frozen=True)
class Batch:
    """What a loss is given; see `losses.loss`."""

    scores: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    mask: torch.Tensor
    needs: dict[str, torch.Tensor] = field(default_factory=dict)

    def but(self, **changes: Any) -> Batch:
        return replace(self, **changes)

    def loss(self, kind: str, **given: Any) -> torch.Tensor:
        asked = parameters_of(kind, **given)
        loss = LOSSES[kind]
        return loss.function(
            self.scores, self.targets, self.weights, self.mask, **self.needs, **asked
        )

    def gradient(self, kind: str, **given: Any) -> torch.Tensor:
        scores = self.scores.clone().requires_grad_()
        (found,) = torch.autograd.grad(self.but(scores=scores).loss(kind, **given), scores)
        return found

    def map(self, change: Any) -> Batch:
        """Every [B, n] tensor changed alike."""
        needs = {name: change(tensor) for name, tensor in self.needs.items()}
        return Batch(
            change(self.scores), change(self.targets), self.weights, change(self.mask), needs
        )


def random_batch(kind: str, seed: int, num: int = 4, width: int = 5, *, full: bool = False):
    """float64; lists and contrasts of 2 to `width` entries, targets without ties but 0s."""
    draw = torch.Generator().manual_seed(seed)
    loss = LOSSES[kind]
    width = 2 if loss.rows == "pairs" else width

    def uniform(low: float, high: float) -> torch.Tensor:
        lots = torch.empty(num, width, dtype=torch.float64)
        return lots.uniform_(low, high, generator=draw)

    scores = uniform(-1, 1) if loss.cosines else uniform(-2, 2)
    orders = uniform(0, 1).argsort(1).double()
    targets = {
        "points": uniform(0, 1),
        "pairs": uniform(-2, 2),
        "lists": orders,
        "contrast": (torch.arange(width) == 0).double().expand(num, width),
    }[loss.rows]
    lengths = torch.randint(min(2, width), width + 1, (num, 1), generator=draw)
    mask = torch.arange(width) < lengths
    if full:
        mask = torch.ones_like(mask)
    drawn = {
        "log_q": uniform(0.01, 0.2).log(),
        "count": uniform(0, 3).ceil(),
        "similarity": uniform(-1, 1),
    }
    weights = torch.empty(num, dtype=torch.float64).uniform_(0.5, 2, generator=draw)
    needs = {name: drawn[name] for name in loss.needs}
    return Batch(scores, targets, weights, mask, needs)
