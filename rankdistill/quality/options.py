"""The block `quality` of the configuration: what is measured, and from where on it is bad."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from rankdistill.config import Options
from rankdistill.log.days import duration
from rankdistill.quality.measure import Gate
from rankdistill.quality.measures import MEASURES

FailOn = Literal["fail", "warn", "never"]
SEGMENT_COLUMNS = ("teacher_version", "scene", "bucket")


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
    """fail lies beyond warn; a share lies in 0 .. 1."""
    own, measure = own_gate(name), MEASURES[name.split(".")[0]]
    for edge in (warn, fail):
        is_percent = isinstance(edge, float) and edge > 1 and "." not in name
        if is_percent and measure.unit == "share" and own.worse == "above":
            raise ValueError(f"{name} is a share from 0 to 1, found {edge:g}: 0.05 is 5%")
    if not isinstance(warn, float) or not isinstance(fail, float):
        return
    if warn > fail if own.worse == "above" else warn < fail:
        raise ValueError(
            f"{name} gets worse {own.worse} its thresholds, so fail ({fail:g}) has to lie "
            f"{own.worse} warn ({warn:g})"
        )
