"""The losses by name, and what they are told. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rankdistill.config import Options
from rankdistill.samples.order_sample import OrderSampleOptions
from rankdistill.student.losses.schedule import ConstantSchedule, Schedule

Temperature = Annotated[float, Field(gt=0)]


class LossOptions(Options):
    """One term of an objective. on: the view of a batch that it looks at; weight: of the term;
    schedule: by which the weight changes while training. Further fields are the parameters of
    the loss function, but for those `of_view`; docs/losses.md has the formulas."""

    of_view: ClassVar[frozenset[str]] = frozenset()
    kind: str
    on: str
    weight: float = Field(1.0, ge=0)
    schedule: Schedule = ConstantSchedule()

    @property
    def view(self) -> str:
        """What it looks at, as `view_of` knows it."""
        return self.on

    def parameters(self) -> dict[str, Any]:
        """What the loss function is given beside scores, targets, weights and mask."""
        return self.model_dump(exclude={*LossOptions.model_fields, *self.of_view})

    def looks(self) -> dict[str, Any]:
        """What the view is told beside the batch."""
        return {}

    def draws(self) -> dict[str, OrderSampleOptions]:
        """What is drawn for it alone, by name."""
        return {}

    def for_kinds(self, kinds: Mapping[str, Any]) -> Self:
        """With what the options of the sample kinds decide filled in."""
        return self


class GainOptions(LossOptions):
    """gain of a grade: exponential 2^g - 1, linear g; None: that of samples.listwise."""

    gain: Literal["exponential", "linear"] | None = None

    def for_kinds(self, kinds: Mapping[str, Any]) -> Self:
        return self.model_copy(update={"gain": self.gain or kinds["listwise"].resolved_gain})

    def parameters(self) -> dict[str, Any]:
        assert self.gain is not None, self
        return super().parameters()


class BceLoss(LossOptions):
    """Binary cross-entropy. on: feedback (exposed candidates, 1 where the user responded), or
    pointwise (label and weight of the kernel). feedback: one column, 1 where it is a response, or
    above 0 where it never counts as one; None: any response. weighting dynamic: positives on
    pointwise also weigh max(0, tanh(mu (the student's estimated rank - teacher rank)))."""

    of_view: ClassVar[frozenset[str]] = frozenset({"feedback", "weighting", "mu"})
    kind: Literal["bce"] = "bce"
    on: Literal["feedback", "pointwise"] = "feedback"
    feedback: str | None = None
    weighting: Literal["static", "dynamic"] = "static"
    mu: float = Field(0.1, gt=0)

    @model_validator(mode="after")
    def _of_feedback(self) -> Self:
        if self.feedback is not None and self.on != "feedback":
            raise ValueError(f"feedback {self.feedback} is looked at on feedback, not on {self.on}")
        if self.weighting == "dynamic" and self.on != "pointwise":
            raise ValueError(f"weighting dynamic is of places on pointwise, not on {self.on}")
        return self

    @property
    def view(self) -> str:
        return self.on if self.feedback is None else f"{self.on}.{self.feedback}"

    def looks(self) -> dict[str, Any]:
        return {"mu": self.mu} if self.weighting == "dynamic" else {}


class LogitMseLoss(LossOptions):
    """Squared difference of the student's and the teacher's logit."""

    kind: Literal["logit_mse"] = "logit_mse"
    on: Literal["scores_pointwise"] = "scores_pointwise"


class BinaryKdLoss(LossOptions):
    """T^2 times the divergence of sigmoid(student / T) from sigmoid(teacher / T)."""

    kind: Literal["binary_kd"] = "binary_kd"
    on: Literal["scores_pointwise"] = "scores_pointwise"
    temperature: Temperature = 2.0


class CosineLoss(LossOptions):
    """Cosines of positives toward +1, of negatives down to `margin`."""

    kind: Literal["cosine"] = "cosine"
    on: Literal["feedback", "pointwise"] = "pointwise"
    margin: float = Field(-1.0, ge=-1, le=1)


class BprLoss(LossOptions):
    """-log sigmoid(s_pos - s_neg)."""

    kind: Literal["bpr"] = "bpr"
    on: Literal["pairwise"] = "pairwise"


class TripletHingeLoss(LossOptions):
    """max(0, margin - (s_pos - s_neg)). The default margin is one for cosines."""

    kind: Literal["triplet_hinge"] = "triplet_hinge"
    on: Literal["pairwise"] = "pairwise"
    margin: float = Field(0.1, ge=0)


class TripletLogisticLoss(LossOptions):
    """log(1 + exp(-gamma (s_pos - s_neg))). The default gamma is one for cosines."""

    kind: Literal["triplet_logistic"] = "triplet_logistic"
    on: Literal["pairwise"] = "pairwise"
    gamma: float = Field(10.0, gt=0)


class MarginMseLoss(LossOptions):
    """Squared difference of the student's and the teacher's margin. calibration: by what the
    teacher's scores are divided: none; zscore: their deviation in the batch; affine: their
    range in the batch."""

    kind: Literal["margin_mse"] = "margin_mse"
    on: Literal["scores_pairwise"] = "scores_pairwise"
    calibration: Literal["none", "zscore", "affine"] = "none"


class ListKdLoss(LossOptions):
    """T^2 times the divergence of softmax(student / T) from softmax(teacher / T)."""

    kind: Literal["list_kd"] = "list_kd"
    on: Literal["scores"] = "scores"
    temperature: Temperature = 2.0


class ListNetLoss(LossOptions):
    """Cross-entropy of softmax(student) to softmax(targets)."""

    kind: Literal["list_net"] = "list_net"
    on: Literal["listwise", "scores"] = "listwise"


class ListMleLoss(LossOptions):
    """Likelihood of the targets' order (Plackett-Luce)."""

    kind: Literal["list_mle"] = "list_mle"
    on: Literal["listwise", "scores"] = "listwise"


class PListMleLoss(LossOptions):
    """list_mle, places weighted: 1 / log2(1 + k), or (2^(n-k) - 1) / 2^(n-1)."""

    kind: Literal["p_list_mle"] = "p_list_mle"
    on: Literal["listwise", "scores"] = "listwise"
    place_weight: Literal["log", "exponential"] = "log"


class RrdLoss(LossOptions, OrderSampleOptions):
    """Relaxed ranking distillation: the interesting candidates in their order, before all others.
    interesting all: the graded list, those with a grade; sampled, redrawn each epoch: `num` of
    the teacher's first `top` by exp(-rank / decay), and `others` uniform of the rest."""

    of_view: ClassVar[frozenset[str]] = frozenset({"interesting", *OrderSampleOptions.model_fields})
    kind: Literal["rrd"] = "rrd"
    on: Literal["listwise"] = "listwise"
    interesting: Literal["all", "sampled"] = "all"

    @property
    def view(self) -> str:
        return self.on if self.interesting == "all" else "order_sample"

    def looks(self) -> dict[str, Any]:
        return {"drawn": self._drawn} if self.interesting == "sampled" else {}

    def draws(self) -> dict[str, OrderSampleOptions]:
        return {self._drawn: self._order} if self.interesting == "sampled" else {}

    @property
    def _order(self) -> OrderSampleOptions:
        return OrderSampleOptions(**self.model_dump(include=set(OrderSampleOptions.model_fields)))

    @property
    def _drawn(self) -> str:
        return f"order_sample {self._order.model_dump_json()}"


class LambdaLoss(GainOptions):
    """Pairs of a list, weighted by what their order is worth to NDCG. mu: of ndcg2pp alone."""

    kind: Literal["lambda_loss"] = "lambda_loss"
    on: Literal["listwise"] = "listwise"
    scheme: Literal["ndcg1", "ndcg2", "ndcg2pp", "lambdarank"] = "lambdarank"
    sigma: float = Field(1.0, gt=0)
    mu: float = Field(10.0, ge=0)


class ApproxNdcgLoss(GainOptions):
    """NDCG with ranks estimated by sigmoids of score differences / temperature."""

    kind: Literal["approx_ndcg"] = "approx_ndcg"
    on: Literal["listwise"] = "listwise"
    temperature: Temperature = 0.1


class NeuralNdcgLoss(GainOptions):
    """NDCG of a relaxed sort (NeuralSort). sinkhorn: rounds of scaling at most; 0 = PiRank."""

    kind: Literal["neural_ndcg"] = "neural_ndcg"
    on: Literal["listwise"] = "listwise"
    temperature: Temperature = 1.0
    sinkhorn: int = Field(50, ge=0, le=1000)


class SoftmaxLoss(LossOptions):
    """Softmax over a positive and its negatives."""

    kind: Literal["softmax"] = "softmax"
    on: Literal["negatives"] = "negatives"
    temperature: Temperature = 1.0


class SampledSoftmaxLoss(LossOptions):
    """softmax with scores less beta times the log of how likely an item is drawn. uniform: items
    that each request of the batch draws from all, beside the batch's positives."""

    of_view: ClassVar[frozenset[str]] = frozenset({"uniform"})
    kind: Literal["sampled_softmax"] = "sampled_softmax"
    on: Literal["in_batch"] = "in_batch"
    uniform: int = Field(0, ge=0, le=10_000)
    temperature: Temperature = 1.0
    beta: float = Field(1.0, ge=0)


class AdaptiveMarginLoss(LossOptions):
    """Hinge of cosines; the margin shrinks by alpha as the negative gets like the positive,
    down to `margin`. symmetric: weight of the term with the positive as anchor."""

    kind: Literal["adaptive_margin"] = "adaptive_margin"
    on: Literal["negatives"] = "negatives"
    alpha: float = Field(0.5, ge=0)
    margin: float = Field(0.01, ge=0)
    symmetric: float = Field(0.05, ge=0)


class AdaptiveSoftmaxLoss(LossOptions):
    """Softmax of cosines; the temperature falls by alpha as the negative gets like the
    positive, down to `temperature`. symmetric: as in adaptive_margin."""

    kind: Literal["adaptive_softmax"] = "adaptive_softmax"
    on: Literal["negatives"] = "negatives"
    temperature: Temperature = 1 / 30
    alpha: float = Field(1 / 30, ge=0)
    symmetric: float = Field(0.05, ge=0)


Term = Annotated[
    BceLoss
    | LogitMseLoss
    | BinaryKdLoss
    | CosineLoss
    | BprLoss
    | TripletHingeLoss
    | TripletLogisticLoss
    | MarginMseLoss
    | ListKdLoss
    | ListNetLoss
    | ListMleLoss
    | PListMleLoss
    | RrdLoss
    | LambdaLoss
    | ApproxNdcgLoss
    | NeuralNdcgLoss
    | SoftmaxLoss
    | SampledSoftmaxLoss
    | AdaptiveMarginLoss
    | AdaptiveSoftmaxLoss,
    Field(discriminator="kind"),
]
