"""Faults in two lengths: once in every run of the tests, many times in `make fault-test`, which
prints one table of what was tried and what came of it.

A test says what it tries, how often `make fault-test` tries it, and asks for its trial's number,
which seeds whatever the trial draws:

    @pytest.mark.fault("23", "an executor killed at a random time", times=50)
    def test_a_killed_executor_loses_nothing(trial, told): ...

`told`, for those who ask for it, takes what is counted beside passing: rows lost and duplicated,
reads and torn ones. A trial that fails is one that did not survive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pytest

MARK = "fault(row, what, times, quick=1): tried `quick` times, in make fault-test `times` times"
HEADER = (
    "row",
    "fault",
    "tried",
    "survived",
    "skipped",
    "rows lost",
    "duplicated",
    "reads",
    "torn",
)
KEY = "fault"


@dataclass
class Told:
    """What one trial counted; cases: tried within it, reads: whole reads of a reader."""

    row: str
    what: str
    cases: int = 1
    lost: int = 0
    duplicated: int = 0
    reads: int = 0
    torn: int = 0

    def compare(self, expected: Iterable[Any], found: Iterable[Any]) -> None:
        """Counts rows (hashable) that are missing and that are too many; fails if there are any."""
        there, here = Counter(expected), Counter(found)
        self.lost += (there - here).total()
        self.duplicated += (here - there).total()
        assert (self.lost, self.duplicated) == (0, 0)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="the long repetitions of faults alone")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARK)


def _described(row: str, what: str, *, times: int, quick: int = 1) -> tuple[str, str, int, int]:
    return row, what, times, quick


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("fault")
    if mark is not None:
        *_, times, quick = _described(*mark.args, **mark.kwargs)
        is_long = metafunc.config.getoption("--faults")
        metafunc.parametrize("trial", range(times if is_long else quick))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    is_long = config.getoption("--faults")
    others = [item for item in items if not _is_run(item, is_long)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if _is_run(item, is_long)]


def _is_run(item: pytest.Item, is_long: bool) -> bool:
    """Faults alone in long, all but those of quick=0 in short."""
    mark = item.get_closest_marker("fault")
    if mark is None:
        return not is_long
    *_, quick = _described(*mark.args, **mark.kwargs)
    return is_long or quick > 0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    mark = item.get_closest_marker("fault")
    if mark is not None:
        row, what, *_ = _described(*mark.args, **mark.kwargs)
        item.user_properties.append((KEY, Told(row, what)))


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Told:
    """What this trial counts; the table adds it up, whether the trial passes or not."""
    return dict(request.node.user_properties)[KEY]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    # As plain values, which travel from the workers of xdist to who prints the table.
    report.user_properties = [
        (name, asdict(value) if isinstance(value, Told) else value)
        for name, value in item.user_properties
    ]
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("--faults"):
        lines = table(_outcomes(terminalreporter))
        terminalreporter.write_line("\n" + "\n".join(lines))


def _outcomes(terminalreporter: Any) -> Iterable[tuple[dict[str, Any], str]]:
    """(what a trial counted, passed | skipped | failed | error): the worst of its phases."""
    found = {}
    for outcome in ("passed", "skipped", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in report.user_properties:
                if name == KEY:
                    found[report.nodeid] = (value, outcome)
    return found.values()


def table(outcomes: Iterable[tuple[dict[str, Any], str]]) -> list[str]:
    """Lines of Markdown: a line for each fault, in the order of its row."""
    sums: dict[tuple[str, str], Counter[str]] = {}
    for seen, outcome in outcomes:
        line = sums.setdefault((seen["row"], seen["what"]), Counter())
        if outcome == "skipped":
            line["skipped"] += seen["cases"]
            continue
        line.update({name: value for name, value in seen.items() if isinstance(value, int)})
        line["survived"] += seen["cases"] * (outcome == "passed")
    counted = ("cases", "survived", "skipped", "lost", "duplicated", "reads", "torn")
    body = [
        (row, what, *(f"{line[name]:,}" for name in counted))
        for (row, what), line in sorted(
            sums.items(), key=lambda entry: (int(entry[0][0]), entry[0][1])
        )
    ]
    return ["| " + " | ".join(cells) + " |" for cells in (HEADER, ("---",) * len(HEADER), *body)]
