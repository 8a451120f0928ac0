"""What an engine is asked to do: read columns under aliases and bring requests together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from rankdistill.lists.group import Grouped
from rankdistill.log.files import Opened
from rankdistill.log.mapping import ORDER_NEEDS, Mapping
from rankdistill.log.source import Condition, TableSource

Path = tuple[str, ...]
Row = dict[str, Any]
# A task's work: its batches in, a few plain rows out (parts, counts). The text names the task.
Work = Callable[[Iterator[Grouped], str], Iterator[Row]]
# The same over units of work that are not rows of a source (parts to read again, blocks of users).
UnitWork = Callable[[Iterator[str], str], Iterator[Row]]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Query:
    """Columns to read, the request's identity, and a hint on the order inside a request.

    group: aliases whose equal values are one request; empty: every row is one.
    order: (alias, descending) hints; correctness never depends on them.
    feedback: a second source to union in, (its paths, its request alias).
    ids: aliases of either source that are read as int or text; null where that cannot be.
    """

    log: Opened
    paths: dict[str, Path]
    group: tuple[str, ...]
    order: tuple[tuple[str, bool], ...]
    where: tuple[Condition, ...]
    feedback: Opened | None = None
    feedback_paths: dict[str, Path] | None = None
    feedback_key: str | None = None
    ids: dict[str, str] = field(default_factory=dict)


def query_of(
    mapping: Mapping, log: Opened, feedback: Opened | None, *, dt_is_partition: bool
) -> Query:
    """The query behind a mapping: one grouping for rows or feedback, none for plain lists.

    dt_is_partition: a request is then one of its day's, so that building days one by one or
    all at once gives equal rows, and so that rows arrive day by day.
    """
    options = mapping.options
    grouped = options.layout == "rows" or feedback is not None
    hints: list[tuple[str, bool]] = []
    if options.layout == "rows":
        first = {"rank": "rank", **ORDER_NEEDS}[options.teacher_order]
        score = mapping.candidate_field("teacher_score")
        for found in (mapping.candidate_field(first) or score, mapping.candidate_field("item_id")):
            if found is not None and len(found.aliases) == 1:
                hints.append((found.aliases[0], found.name == "teacher_score"))
    return Query(
        log,
        mapping.paths,
        identity(mapping, dt_is_partition and feedback is None) if grouped else (),
        tuple(hints),
        tuple(options.where),
        feedback,
        mapping.feedback_paths or None,
        mapping.feedback_key,
        mapping.ids,
    )


def identity(mapping: Mapping, dt_is_partition: bool) -> tuple[str, ...]:
    """The aliases whose equal values are one request; the day first where it is a partition."""
    day = mapping.request_field("dt")
    days = day.aliases if dt_is_partition and day is not None else ()
    return tuple(dict.fromkeys((*days, *mapping.key_aliases)))


class Engine(Protocol):
    """What `build` and `plan` need of an engine; both engines give equal rows."""

    name: str

    def open(self, options: TableSource) -> Opened:
        """A source of the configuration, its columns known."""
        ...

    def count(self, query: Query) -> tuple[int, int]:
        """(log rows, feedback rows) that the query reads."""
        ...

    def repeated(self, query: Query, keys: tuple[str, ...], limit: int) -> pa.Table:
        """Raw key columns of requests that occur in several rows of a lists log, at most limit."""
        ...

    def run(self, query: Query, work: Work, progress: Progress) -> Iterator[Row]:
        """Group, then `work` on every batch; the rows of all successful tasks.

        progress hears the number of log rows handed over since it was last called.
        """
        ...

    def each(self, units: Sequence[str], work: UnitWork, progress: Progress) -> Iterator[Row]:
        """`work` on every unit, spread over the engine's tasks; the rows of successful tasks.

        units: short texts that travel to the tasks; progress hears how many are done.
        """
        ...

    def explain(self, query: Query) -> str:
        """The engine's plan as text."""
        ...

    def close(self) -> None: ...
