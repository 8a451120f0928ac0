"""The losses by name, and what they are told. Knows no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rankdistill.config import Options


class LossOptions(Options):
    """One term of an objective. on: the view of a batch that it looks at; weight: of the term.
    Further fields are the parameters of the loss function."""

    kind: str
    on: str
    weight: float = Field(1.0, ge=0)

    def parameters(self) -> dict[str, Any]:
        """What the loss function is given beside scores, targets, weights and mask."""
        return self.model_dump(exclude={"kind", "on", "weight"})


class BceLoss(LossOptions):
    """Binary cross-entropy. on: feedback (exposed candidates, 1 where the user responded), or
    pointwise (label and weight of the kernel)."""

    kind: Literal["bce"] = "bce"
    on: Literal["feedback", "pointwise"] = "feedback"


class BprLoss(LossOptions):
    """-log sigmoid(s_pos - s_neg)."""

    kind: Literal["bpr"] = "bpr"
    on: Literal["pairwise"] = "pairwise"


class SoftmaxLoss(LossOptions):
    """-log softmax of the positive among itself and its negatives."""

    kind: Literal["softmax"] = "softmax"
    on: Literal["negatives"] = "negatives"


Term = Annotated[BceLoss | BprLoss | SoftmaxLoss, Field(discriminator="kind")]
