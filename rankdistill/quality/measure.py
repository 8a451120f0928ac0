"""What a measure is: what it watches while parts are written, how its state is read back, and
when its value is bad.

Measuring, reading and judging are three things: `watch.py` adds up states, `judged.py` reads
and judges them, the report only shows. Formulas: docs/measures/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import pyarrow as pa

from rankdistill.catalogue.history import History
from rankdistill.lists.batch import Lists
from rankdistill.quality.facts import Facts
from rankdistill.quality.state import Adder, Number, State
from rankdistill.samples.catalogue import NOTHING
from rankdistill.samples.side import Side

T = TypeVar("T")


@dataclass(frozen=True)
class Seen:
    """A batch of one day as measures see it.

    lists: its requests. Of a sample kind besides: drawn (Points, Pairs, GradedLists or
    Negatives) and the table made of it; side: what the draws looked into; responses: all that
    users responded to around the day, where it is known.
    """

    lists: Lists
    drawn: Any = None
    table: pa.RecordBatch | None = None
    side: Side = NOTHING
    responses: History | None = None
    _made: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What several measures look at, made for the first of them."""
        if name not in self._made:
            self._made[name] = make()
        found: T = self._made[name]
        return found


@dataclass(frozen=True)
class Gate:
    """From where on a value is bad; None: never.

    above: warn (fail) where value > warn (fail); below: where value <= it; outside: where it is
    not within (low, high); not_zero: where it is not 0 (warn or fail is 0 then).
    """

    warn: float | tuple[float, float] | None
    fail: float | tuple[float, float] | None
    worse: Literal["above", "below", "outside"] = "above"


@dataclass(frozen=True)
class Histogram:
    """Counts of named bins. labels: as a person reads them, one for each count."""

    labels: Sequence[str]
    counts: Sequence[float]
    unit: str = "rows"


@dataclass(frozen=True)
class Reading:
    """What a state says. value: None where n is 0.

    n: of what the value is a share or mean. parts: further values, by name; those that the
    measure has a gate for are judged, too. histograms: behind the pictures. note: to be told.
    what: what the value is, where the measure's own words say it of other rows.
    chance: by how much few rows alone may move the value ("") or a part; judged that much milder.
    """

    value: float | None
    n: int
    parts: Mapping[str, float | None] = field(default_factory=dict)
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    note: str = ""
    chance: Mapping[str, float] = field(default_factory=dict)
    what: str = ""


@dataclass(frozen=True)
class Shared:
    """What a measure may read beside its own state.

    facts: how the day was built. counts: what the build counted (`Tally.by_dt`) and `door`:
    rows_in, rejected.<reason> of the day. past: the readings of earlier days, oldest first.
    baseline: the states to compare with, by measure; empty where there are none. rest: those of
    the day itself; today: what the measures read before this one said. dt: "" of several days.
    """

    facts: Facts
    counts: Mapping[str, int] = field(default_factory=dict)
    door: Mapping[str, int] = field(default_factory=dict)
    past: Sequence[PastDay] = ()
    baseline: Mapping[str, State] = field(default_factory=dict)
    rest: Mapping[str, State] = field(default_factory=dict)
    today: Mapping[str, Reading] = field(default_factory=dict)
    dt: str = ""


@dataclass(frozen=True)
class PastDay:
    """One earlier day: what its measures said."""

    dt: str
    readings: Mapping[str, Reading]


Watcher = Callable[[Seen, Adder, Facts], None]


def always(facts: Facts) -> str | None:
    """Nothing in the log speaks against it."""
    return None


def no_negatives(facts: Facts) -> str | None:
    """Why a measure of negatives does not apply where none are built."""
    return (
        None
        if "negatives" in facts.kinds
        else "the table negatives is not built (samples.negatives)"
    )


@dataclass(frozen=True)
class Measure:
    """One measure of QUALITY.

    id: Q01 ...; name: as the report's heading; value: what the value is, in a few words.
    watch: table (lists or a sample kind) -> what it adds to the state for a batch. read: the
    state of one segment -> what it says; an empty state where no row was seen. applies: why it
    does not apply to such a log or config, None where it does. gates: of the value ("") and of
    parts; expected: why they do not hold for such a log (configured ones do), None where they
    do. by_segment: whether its state is kept by segment, too. by_day: it is one of each day,
    so several have that of the worst. looks_at_others: it reads what the others of its day say.
    exchange: what the engine moves for it, "" where it rides on the build.
    """

    id: str
    name: str
    value: str
    read: Callable[[State, Shared], Reading]
    watch: Mapping[str, Watcher] = field(default_factory=dict)
    applies: Callable[[Facts], str | None] = always
    gates: Mapping[str, Gate] = field(default_factory=dict)
    expected: Callable[[Facts], str | None] = always
    by_segment: bool = True
    by_day: bool = False
    looks_at_others: bool = False
    exchange: str = ""
    unit: Literal["share", "count", "number"] = "share"


def whole(state: State, name: str) -> int:
    """An integer of a state, 0 where nothing was added."""
    number: Number = state.get(name, 0)
    assert isinstance(number, int), name
    return number


def binned(state: State, name: str, size: int) -> list[int]:
    """The bins of a state, zeros where nothing was added."""
    number = state.get(name, [0] * size)
    assert isinstance(number, list) and len(number) == size, name
    return number


def by_name(state: State, name: str) -> dict[str, int]:
    """Integers by name, empty where nothing was added."""
    number = state.get(name, {})
    assert isinstance(number, dict), name
    return number


def share(part: float, of: float) -> float | None:
    """part / of, None of nothing."""
    return part / of if of else None
