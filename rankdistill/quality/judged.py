"""States read back and judged: the content of metrics.json, a pure function of the states.

Holds no run facts (times, hosts, build numbers): equal data and config give equal text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import Gate, Measure, Reading, Shared
from rankdistill.quality.state import ALL, Remembered, State

Verdict = Literal["ok", "warn", "fail", "not applicable"]
SEVERITY: dict[str, int] = {"not applicable": 0, "ok": 1, "warn": 2, "fail": 3}


@dataclass(frozen=True)
class Judged:
    """One measure of one day, or of all: what it says, and whether that is bad.

    verdicts: of the value ("") and of the gated parts. gates: as configured. segments: name ->
    reading and verdict. days: dt -> value, n, verdict. why: why it is not applicable.
    """

    measure: Measure
    reading: Reading
    verdict: Verdict
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    gates: Mapping[str, Gate] = field(default_factory=dict)
    segments: Mapping[str, tuple[Reading, Verdict]] = field(default_factory=dict)
    examples: Sequence[list[Any]] = ()
    why: str = ""

    def beyond(self) -> dict[str, float | None]:
        """The value ("") and the parts that a gate calls bad."""
        values = {"": self.reading.value, **self.reading.parts}
        bad = [part for part, verdict in self.verdicts.items() if verdict in ("warn", "fail")]
        return {part: rounded(values[part]) for part in bad}


@overload
def rounded(value: float) -> float: ...
@overload
def rounded(value: None) -> None: ...
def rounded(value: float | None) -> float | None:
    """To 12 digits: what the last bits of a division are is nobody's business."""
    return None if value is None else float(f"{value:.12g}")


def judge(value: float | None, gate: Gate | None, chance: float = 0.0) -> Verdict:
    """What a gate says of a value that chance alone may have moved by so much."""
    if value is None:
        return "not applicable"
    if gate is not None:
        for verdict, edge in (("fail", gate.fail), ("warn", gate.warn)):
            if edge is not None and _is_bad(value, edge, gate.worse, chance):
                return verdict  # type: ignore[return-value]
    return "ok"


def _is_bad(value: float, edge: float | tuple[float, float], worse: str, chance: float) -> bool:
    if worse == "outside":
        assert isinstance(edge, (tuple, list))
        return not edge[0] - chance <= value <= edge[1] + chance
    assert isinstance(edge, (int, float))
    return value - chance > edge if worse == "above" else value + chance <= edge


def judged(
    measure: Measure,
    remembered: Remembered,
    shared: Shared,
    gates: Mapping[str, Gate | None],
) -> Judged:
    """One measure read and judged; gates: "Q06", "Q06.over_cap" -> in place of its own."""
    chosen = gates_of(measure, gates, shared.facts)
    why = measure.applies(shared.facts)
    if why is not None:
        return Judged(measure, Reading(None, 0), "not applicable", why=why, gates=chosen)
    reading, verdict, verdicts = _told(measure, remembered.segments.get(ALL, {}), shared, chosen)
    segments = {
        name: _told(measure, state, shared, chosen)[:2]
        for name, state in sorted(remembered.segments.items())
        if name != ALL
    }
    why = "" if verdict != "not applicable" else reading.note or "nothing to measure"
    return Judged(
        measure, reading, verdict, verdicts, chosen, segments, tuple(remembered.examples), why
    )


def gates_of(
    measure: Measure, changed: Mapping[str, Gate | None], facts: Facts | None = None
) -> dict[str, Gate]:
    """The gates of a measure with the configured ones in their place; None switches one off.

    Where a bad value is expected of a log of such facts, only the configured ones hold.
    """
    is_expected = facts is not None and measure.expected(facts) is not None
    found: dict[str, Gate] = {}
    for part, gate in measure.gates.items():
        own = changed.get(
            f"{measure.id}.{part}" if part else measure.id, None if is_expected else gate
        )
        if own is not None:
            found[part] = own
    return found


def _told(
    measure: Measure, state: State, shared: Shared, gates: Mapping[str, Gate]
) -> tuple[Reading, Verdict, dict[str, Verdict]]:
    reading = measure.read(state, shared)
    values = {"": reading.value, **reading.parts}
    # Of the numbers as they are written, so that whoever reads them comes to the same verdict.
    verdicts = {
        part: judge(rounded(values[part]), gates.get(part), rounded(reading.chance.get(part, 0.0)))
        for part in {"", *gates} & {*values}
    }
    worst = max(verdicts.values(), key=lambda verdict: SEVERITY[verdict])
    return reading, worst, dict(sorted(verdicts.items()))
