"""What `mine-negatives` is asked for: vector tables, a search, and the rules of the draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from rankdistill.catalogue.ann import ExactSearch, Search
from rankdistill.catalogue.nearest import Metric
from rankdistill.config import load
from rankdistill.document import apply_overrides, read_document, read_file
from rankdistill.engines.duckdb_options import DuckDbOptions
from rankdistill.log.vectors import VectorTable
from rankdistill.samples.mining import MiningOptions
from rankdistill.settings import Engine, with_engine_kind


class MineOptions(MiningOptions):
    """One YAML file of `rankdistill mine-negatives`."""

    users: VectorTable = Field(description="the users' vectors")
    items: VectorTable = Field(description="the items' vectors: what may be a negative")
    positives: Literal["auto", "pointwise", "responses", "none"] = Field(
        "auto",
        description="the positives of a user: the pointwise table's, what was responded to, or "
        "none; auto: the pointwise table's where the data set has one, else responses",
    )
    metric: Metric = Field("inner_product", description="inner_product or cosine")
    search: Search = ExactSearch()
    seed: int = Field(20261121, ge=0, lt=2**63, description="of random draws")
    engine: Engine = DuckDbOptions()
    memory_mb: int = Field(
        128, ge=1, description="memory of a search in work, per thread or task, in 10^6 bytes"
    )
    part_users: int = Field(8192, ge=1, description="users of a part, and of a task")


def read_mine_options(config: str | None, overrides: Sequence[str]) -> MineOptions:
    """The options of a YAML file, or of nothing, with `--set` overrides."""
    document = read_file(config) if config else read_document("{}", "--set")
    return load(MineOptions, with_engine_kind(apply_overrides(document, overrides)))
