"""The block `quality` of the configuration: what is measured, and from where on it is bad."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from rankdistill.config import Options
from rankdistill.log.days import duration
from rankdistill.quality.measure import Gate
from rankdistill.quality.measures import MEASURES

FailOn = Literal["fail", "warn", "never"]


# Gated parts that are shares; those of other parts have units of their own.
SHARES = {
    *("Q01.used", "Q01.rejected", "Q05.positions", "Q05.below_first", "Q06.over_cap", "Q08.p90"),
    *("Q14.cap_hit", "Q17.first", "Q18.least_fill", "Q23.excess", "Q26.items_drop"),
    *("Q26.users_drop", "Q28.same_list"),
}
Edge = float | tuple[float, float] | None


class GateOptions(Options):
    """warn, fail: the value from where on; null: never. For a gate that must lie within two
    bounds, a list of both."""

    warn: Edge = None
    fail: Edge = None


def _is_span(text: str) -> str:
    duration(text)
    return text


Span = Annotated[str, AfterValidator(_is_span)]


def gate_names() -> list[str]:
    """Every gate there is: Q06, Q06.over_cap, ..."""
    return [
        f"{measure.id}.{part}" if part else measure.id
        for measure in MEASURES.values()
        for part in measure.gates
    ]


def _is_gate(name: str) -> str:
    if name not in gate_names():
        raise ValueError(f'no gate is called "{name}"')
    return name


GateName = Annotated[
    str, AfterValidator(_is_gate), WithJsonSchema({"type": "string", "enum": gate_names()})
]


class QualityOptions(Options):
    """gates: by measure (Q07) or part of one (Q06.over_cap) -> thresholds; null switches it off.

    segments: request columns that measures are told by, None = those of teacher_version, scene
    and bucket that are mapped. tie_eps: scores no further apart are tied. min_margin: pairs and
    negatives below this score gap are close. temperature: of the soft labels' softmax.
    attribution_window: how long after a request feedback still comes in; None = at once.
    """

    measure: bool = Field(True, description="measure while building")
    fail_on: FailOn = Field("fail", description="verdict from which on nothing is published")
    gates: dict[GateName, GateOptions | None] = {}
    segments: tuple[str, ...] | None = None
    tie_eps: float = Field(default=0.0, ge=0)
    min_margin: float = Field(default=0.0, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    attribution_window: Span | None = None

    @field_validator("gates")
    @classmethod
    def _shaped(cls, gates: dict[str, GateOptions | None]) -> dict[str, GateOptions | None]:
        for name, gate in gates.items():
            if gate is not None:
                _check_shape(name, gate)
        return gates

    def chosen_gates(self) -> dict[str, Gate | None]:
        """The configured gates in place of the measures' own."""
        return {
            name: None if gate is None else Gate(gate.warn, gate.fail, own_gate(name).worse)
            for name, gate in self.gates.items()
        }


def own_gate(name: str) -> Gate:
    """The default of a gate."""
    measure, _, part = name.partition(".")
    return MEASURES[measure].gates[part]


def bounds_of(name: str) -> tuple[float, float]:
    """Between which a gate's value lies, whatever the log."""
    measure, _, part = name.partition(".")
    unit = "" if part else MEASURES[measure].unit
    if unit == "share" or name in SHARES:
        return 0.0, 1.0
    return (0.0 if unit == "count" else -math.inf), math.inf


def _check_shape(name: str, gate: GateOptions) -> None:
    is_span = own_gate(name).worse == "outside"
    for edge in (gate.warn, gate.fail):
        if edge is not None and isinstance(edge, tuple) != is_span:
            wanted = "a list of two bounds" if is_span else "one number"
            raise ValueError(f"{name} takes {wanted}, found {edge}")
    if gate.warn is None and gate.fail is None:
        raise ValueError(f"{name} has neither warn nor fail; null switches a gate off")
    _check_order(name, gate.warn, gate.fail)


def _check_order(name: str, warn: Edge, fail: Edge) -> None:
    """fail lies beyond warn; a share lies in 0 .. 1, a count is not negative."""
    own = own_gate(name)
    low, high = bounds_of(name)
    for edge in (warn, fail):
        if isinstance(edge, float) and not low <= edge <= high:
            known = "a share from 0 to 1" if high == 1 else "a count, never below 0"
            hint = ": 0.05 is 5%" if high == 1 < edge else ""
            raise ValueError(f"{name} is {known}, found {edge:g}{hint}")
    if not isinstance(warn, float) or not isinstance(fail, float):
        return
    if warn > fail if own.worse == "above" else warn < fail:
        raise ValueError(
            f"{name} gets worse {own.worse} its thresholds, so fail ({fail:g}) has to lie "
            f"{own.worse} warn ({warn:g})"
        )
