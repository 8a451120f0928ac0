"""What a card is made of: a build's tables, files and columns, and the document of metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from rankdistill.contract import SAMPLE_TABLES, TABLES, table_contract

OPEN = "as mapped from the log, or joined from a feature table"
FEEDBACK = "feedback of the log; null where the item was not exposed"


@dataclass(frozen=True)
class File:
    """path: relative to the data set, with forward slashes."""

    path: str
    num_rows: int
    num_bytes: int
    sha256: str
    is_new: bool


@dataclass(frozen=True)
class Table:
    """schema: dt included, which is in no file. metrics: of columns, {"label": {"min": 0.0}}.
    version: of the Delta table, None where the days are read at several. feedback: the names of
    the log's feedback columns."""

    name: str
    files: tuple[File, ...]
    schema: pa.Schema
    version: int | None = None
    feedback: frozenset[str] = frozenset()
    column_metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        return sum(file.num_rows for file in self.files)

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.files)

    @property
    def title(self) -> str:
        return table_contract(self.name)["title"] if self.name in TABLES else self.name

    def meaning(self, column: str) -> str:
        """What a column holds, as schemas/*.json says; with its unit."""
        known = table_contract(self.name)["columns"] if self.name in TABLES else ()
        for found in known:
            if found["name"] == column:
                unit = f" ({found['unit']})" if found["unit"] else ""
                return f"{found['meaning']}{unit}"
        return FEEDBACK if column in self.feedback else OPEN


@dataclass(frozen=True)
class Contents:
    """One build. document: of metrics.json, None where nothing is measured. inputs: the files
    that the days it made itself were read from."""

    name: str
    root: str
    number: int
    build_id: str
    kind: str
    created_at: datetime
    config_hash: str
    seed: int
    code_version: str
    days: tuple[str, ...]
    tables: tuple[Table, ...]
    inputs: tuple[str, ...] = ()
    document: Mapping[str, Any] | None = None

    @property
    def held(self) -> tuple[Table, ...]:
        """The tables that have a file; those of samples first."""
        order = (*SAMPLE_TABLES, *TABLES)
        found = [table for table in self.tables if table.files]
        return tuple(sorted(found, key=lambda t: (*order, t.name).index(t.name)))

    @property
    def title(self) -> str:
        return f"build {self.number} of {self.name}"
