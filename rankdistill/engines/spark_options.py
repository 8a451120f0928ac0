"""Settings of the Spark engine; apart from it, so that reading a config loads no engine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankdistill.config import Options


class SparkOptions(Options):
    """`engine: {kind: spark}`; under spark-submit the master is the submission's."""

    kind: Literal["spark"] = "spark"
    master: str | None = Field(None, description="like local[*]; only without spark-submit")
    conf: dict[str, str] = Field({}, description="Spark settings, like spark.executor.memory")
    batch_rows: int = Field(1_000_000, ge=1, description="candidates worked on at once")
