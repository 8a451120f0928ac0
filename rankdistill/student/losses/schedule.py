"""When a term of an objective counts how much: its weight times a factor of the moment.

Knows no torch. A factor of exactly 0 turns the term off: it is not computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rankdistill.config import Options


@dataclass(frozen=True)
class Moment:
    """Where training is. step: the one that is made, from 1; share: of all epochs, in (0, 1],
    with the batch of this step. Validation may end training before share is 1."""

    step: int
    share: float


class Timed(Options):
    """unit: what the times of a schedule count: share (of all epochs) or step."""

    unit: Literal["share", "step"] = "share"

    def time(self, moment: Moment) -> float:
        return moment.share if self.unit == "share" else float(moment.step)


class ConstantSchedule(Options):
    """Always 1."""

    kind: Literal["constant"] = "constant"


class WarmUpSchedule(Timed):
    """From nearly 0 in a straight line to 1 at `until`, 1 from then on."""

    kind: Literal["warm_up"] = "warm_up"
    until: float = Field(0.1, gt=0)


class StepSchedule(Timed):
    """`before` up to and with `at`, then `after`: by default the term ends there. With before 0
    and after 1 it begins there (Xu et al. 2020: no distillation for the first k steps)."""

    kind: Literal["step"] = "step"
    at: float = Field(0.5, gt=0)
    before: float = Field(1.0, ge=0)
    after: float = Field(0.0, ge=0)


class LateSchedule(Timed):
    """Late distillation: `before` until `start`, in a straight line to `after` at `end`, then
    that. Beside it the student's own loss ends by `step`."""

    kind: Literal["late"] = "late"
    start: float = Field(0.5, ge=0)
    end: float = Field(0.8, gt=0)
    before: float = Field(0.1, ge=0)
    after: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _is_forward(self) -> LateSchedule:
        if self.end <= self.start:
            raise ValueError(f"end {self.end:g} must come after start {self.start:g}")
        return self


Schedule = Annotated[
    ConstantSchedule | WarmUpSchedule | StepSchedule | LateSchedule, Field(discriminator="kind")
]


def constant(options: ConstantSchedule, moment: Moment) -> float:
    """1."""
    return 1.0


def warm_up(options: WarmUpSchedule, moment: Moment) -> float:
    """min(1, time / until)."""
    return min(1.0, options.time(moment) / options.until)


def step(options: StepSchedule, moment: Moment) -> float:
    """before where time <= at, else after."""
    return options.before if options.time(moment) <= options.at else options.after


def late(options: LateSchedule, moment: Moment) -> float:
    """before, then a ramp, then after: exactly, at both ends."""
    time = options.time(moment)
    if time >= options.end:
        return options.after
    risen = max(0.0, (time - options.start) / (options.end - options.start))
    return options.before + risen * (options.after - options.before)


SCHEDULES: dict[str, Callable[[Any, Moment], float]] = {
    "constant": constant,
    "warm_up": warm_up,
    "step": step,
    "late": late,
}


def factor(schedule: Any, moment: Moment) -> float:
    """What a term's weight is multiplied with at a moment."""
    return SCHEDULES[schedule.kind](schedule, moment)


def is_settled(schedule: Any, moment: Moment) -> bool:
    """Whether the factor stays as it is after that moment."""
    match schedule:
        case WarmUpSchedule():
            last = schedule.until
        case StepSchedule():
            last = schedule.at
        case LateSchedule():
            last = schedule.end
        case _:
            return True
    return bool(schedule.time(moment) >= last)
