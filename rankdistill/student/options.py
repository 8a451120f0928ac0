"""What to train, and how: the block `train` of the configuration. Knows no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

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
    rows towards 0, as a share per unit of lr. clip: a step's gradient is at most so long."""

    lr: float = Field(0.1, gt=0)
    dense_lr: float = Field(0.003, gt=0)
    l2: float = Field(0.0, ge=0)
    init_accumulator: float = Field(1e-10, gt=0)
    clip: float | None = Field(None, gt=0)


class ValidationOptions(Options):
    """measure: of `evaluate`, by which the best checkpoint is chosen; patience: epochs without
    a better one until training stops, None = never; those that begin before the last change of
    a schedule do not count."""

    measure: str = "opa"
    patience: int | None = Field(2, ge=1)

    @field_validator("measure")
    @classmethod
    def _chooses(cls, name: str) -> str:
        if name.startswith("catalogue_"):
            raise ValueError(f'measure "{name}" is for `evaluate`, and chooses no student')
        if name != AUC:
            measure, _ = parsed(name)
            if not measure.better or measure.needs in OF_EVALUATE:
                raise ValueError(f'measure "{name}" is for `evaluate`, and chooses no student')
        return name


class StartOptions(Options):
    """What a fresh student starts from. vectors: the teacher's embeddings, by the column of the
    field that takes them over; values without one start from a hash. run: the folder of a finished
    run, whose vocabularies, weights and optimizer state it goes on with."""

    vectors: dict[str, VectorTable] = {}
    run: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_start(self) -> StartOptions:
        if self.run is not None and self.vectors:
            raise ValueError(
                "start from a run or from vectors, not both: a run has vectors of its own"
            )
        return self


class TensorBoardOptions(Options):
    """Scalars as event files. folder: default the run's folder, `tensorboard` in it."""

    kind: Literal["tensorboard"] = "tensorboard"
    folder: str | None = None


class MlflowOptions(Options):
    """A run of MLflow. uri: of the tracking server or store, default as MLflow is set up; name:
    of the run, default the folder's."""

    kind: Literal["mlflow"] = "mlflow"
    uri: str | None = None
    experiment: str = Field("rankdistill", min_length=1)
    name: str | None = None


Tracker = Annotated[TensorBoardOptions | MlflowOptions, Field(discriminator="kind")]


class TrainOptions(Options):
    """A student trained on the lists of a build.

    mode: full = the requests shuffled, every weight; incremental = from another run, the requests
    in the order of their times, once, and of the weights the embeddings of id fields alone.
    samples: fresh = drawn anew each epoch by the kernels and options of `samples`; stored = read
    from the build's tables. Negatives are always read, as they look into the catalogue.
    objectives: name -> its losses, each with a weight; the first is what the student serves.
    None: feedback and the teacher's order, as far as the log has them. validation: null = none,
    and the last epoch is kept.
    """

    mode: Literal["full", "incremental"] = "full"
    model: Model = FmOptions()
    fields: FieldsOptions = FieldsOptions()
    objectives: dict[str, Annotated[list[Term], Field(min_length=1)]] | None = None
    samples: Literal["fresh", "stored"] = "fresh"
    start: StartOptions = StartOptions()
    epochs: int | None = Field(
        None, ge=1, le=10_000, description="null: 10, and 1 where it starts from a run"
    )
    batch: BatchOptions = BatchOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    validation: ValidationOptions | None = ValidationOptions()
    checkpoint_every: int | None = Field(None, ge=1, description="steps; besides every epoch's end")
    keep_checkpoints: int = Field(2, ge=1, description="newest ones, besides the best")
    metrics_every: int = Field(100, ge=1, description="steps between lines of steps.jsonl")
    trackers: list[Tracker] = []
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: cuda where torch sees such a device"
    )
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="of the towers' layers while they are trained; all else is float32"
    )
    threads: int = Field(0, ge=0, description="of torch; 0: as many as there are cores")

    @property
    def num_epochs(self) -> int:
        return self.epochs or (1 if self.start.run is not None else 10)

    @model_validator(mode="after")
    def _as_the_mode_goes(self) -> TrainOptions:
        if self.mode == "incremental":
            if self.start.run is None:
                raise ValueError("mode incremental goes on from a run: set train.start.run")
            if self.num_epochs > 1:
                raise ValueError(
                    f"mode incremental passes once over its requests, not {self.num_epochs} times:"
                    " set train.epochs to 1 or null"
                )
        return self
