"""Settings of the DuckDB engine; apart from it, so that reading a config loads no engine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankdistill.config import Options


class DuckDbOptions(Options):
    """`engine: {kind: duckdb}`."""

    kind: Literal["duckdb"] = "duckdb"
    memory_limit: str | None = Field(
        None, pattern=r"^\d+(\.\d+)?\s*(MB|GB|MiB|GiB|TB)$", description="DuckDB's own, like 4GB"
    )
    threads: int = Field(0, ge=0, description="0: all cores")
    temp_directory: str | None = Field(None, description="where sorts spill; default the system's")
    # Four of DuckDB's row groups: larger batches cost page faults, smaller ones fixed overhead.
    batch_rows: int = Field(480_000, ge=1, description="candidates worked on at once")
