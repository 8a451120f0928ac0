"""How a day was built, as far as measures must know: kept beside its states, as plain JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Facts:
    """kinds: the resolved options of each sample kind built, as JSON values; response: the least
    value of each feedback column that counts as a response; tables: those that are written;
    request_columns: of lists, beside our own; measures: their settings (`QualityOptions`);
    cut_off: when the log ended, in microseconds since 1970, where a measure asks for it."""

    student: str = "recall"
    teacher_order: str = "rank"
    ranks: str = "complete"
    score_kind: str | None = None
    max_candidates: int = 10_000
    has_score: bool = True
    has_exposure: bool = True
    has_history: bool = True
    exposed_only: bool = False
    feedback: tuple[str, ...] = ()
    response: Mapping[str, float] = field(default_factory=dict)
    kinds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    request_columns: tuple[str, ...] = ()
    has_time: bool = True
    has_user: bool = True
    split: Mapping[str, Any] = field(default_factory=dict)
    catalogue: Mapping[str, Any] | None = None
    measures: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    cut_off: int | None = None

    def as_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def of_json(cls, text: str) -> Facts:
        found = json.loads(text)
        for name in ("feedback", "tables", "request_columns"):
            found[name] = tuple(found[name])
        return cls(**found)
