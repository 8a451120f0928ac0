"""What to train, and how: the block `train` of the configuration. Knows no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from rankdistill.config import Options
from rankdistill.log.vectors import VectorTable
from rankdistill.student.evaluation.measures import AUC, OF_EVALUATE, parsed
from rankdistill.student.fields.options import FieldsOptions
from rankdistill.student.losses.options import Term
from rankdistill.student.models.options import FmOptions, Model


class BatchOptions(Options):
    """requests, slots: a batch has at most so many requests and candidates (a longer list is a
    batch of its own). pool: requests that are shuffled among each other; whole row groups, so
    memory holds at least one. workers: threads that decode ahead; the order does not depend on
    them."""

    requests: int = Field(512, ge=1)
    slots: int = Field(32_768, ge=1)
    pool: int = Field(65_536, ge=1)
    workers: int = Field(1, ge=1, le=64)


class OptimizerOptions(Options):
    """lr: of embeddings, by row-wise Adagrad; dense_lr: of all else, by Adam. l2: pulls touched
    rows towards 0, as a share per unit of lr."""

    lr: float = Field(0.1, gt=0)
    dense_lr: float = Field(0.003, gt=0)
    l2: float = Field(0.0, ge=0)
    init_accumulator: float = Field(1e-10, gt=0)


class ValidationOptions(Options):
    """measure: of `evaluate`, by which the best checkpoint is chosen; patience: epochs without
    a better one until training stops, None = never."""

    measure: str = "opa"
    patience: int | None = Field(2, ge=1)

    @field_validator("measure")
    @classmethod
    def _chooses(cls, name: str) -> str:
        if name != AUC:
            measure, _ = parsed(name)
            if not measure.better or measure.needs in OF_EVALUATE:
                raise ValueError(f'measure "{name}" is for `evaluate`, and chooses no student')
        return name


class StartOptions(Options):
    """What a fresh student starts from. vectors: the teacher's embeddings, by the column of the
    field that takes them over; values without one start from a hash."""

    vectors: dict[str, VectorTable] = {}


class TrainOptions(Options):
    """A student trained on the lists of a build.

    samples: fresh = drawn anew each epoch by the kernels and options of `samples`; stored = read
    from the build's tables. Negatives are always read, as they look into the catalogue.
    objectives: name -> its losses, each with a weight; the first is what the student serves.
    None: feedback and the teacher's order, as far as the log has them.
    """

    model: Model = FmOptions()
    fields: FieldsOptions = FieldsOptions()
    objectives: dict[str, Annotated[list[Term], Field(min_length=1)]] | None = None
    samples: Literal["fresh", "stored"] = "fresh"
    start: StartOptions = StartOptions()
    epochs: int = Field(10, ge=1, le=10_000)
    batch: BatchOptions = BatchOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    validation: ValidationOptions = ValidationOptions()
    checkpoint_every: int | None = Field(None, ge=1, description="steps; besides every epoch's end")
    keep_checkpoints: int = Field(2, ge=1, description="newest ones, besides the best")
    threads: int = Field(0, ge=0, description="of torch; 0: as many as there are cores")
