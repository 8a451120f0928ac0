"""The settings of a build as lines of `plan`: what was asked, and what was filled in for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from rankdistill.cross_request import exchange
from rankdistill.engines.delivered import delivered_schema
from rankdistill.feature_tables import table_lines
from rankdistill.log.files import Opened
from rankdistill.log.mapping import ABOVE_ZERO
from rankdistill.measuring import facts_for_measures
from rankdistill.prepare import Prepared
from rankdistill.samples.sources import ORDER

# Of a row in Spark's shuffle: eight bytes a column and eight for the nulls of 64 of them. How long
# a text is nobody knows before it is read: an id or a day fills two such words.
WORD, TEXT = 8, 16
# Before compression, of one task; its rows are collected into lists in an executor's heap.
TASK_BYTES = 256 * 2**20


def exchanges(prepared: Prepared) -> str:
    """What moves data between tasks, by name."""
    found = []
    if prepared.query.group and prepared.mapping.options.layout == "lists":
        found.append("feedback rows to their request")
    elif prepared.query.group:
        found.append(
            "rows to requests" + (", feedback rows with them" if prepared.feedback else "")
        )
    if prepared.catalogue is not None:
        found.append("partial counts to items")
    if any("catalogue" in chosen.needs for chosen in prepared.kinds.values()):
        found.append("counts of earlier days to items")
    if measured := exchange(facts_for_measures(prepared)):
        found.append(measured)
    if found:
        return f"{len(found)}: {'; '.join(found)}"
    return "none (one row is one request); request ids are counted once to find repeated ones"


def settings_lines(prepared: Prepared, num_rows: int) -> Iterator[str]:
    settings, log, options = prepared.settings, prepared.log, prepared.mapping.options
    files = f"{len(log.files):,} file" + ("" if len(log.files) == 1 else "s")
    yield (
        f"log       {num_rows:,} rows in {files}, layout {options.layout}, "
        f"teacher order {options.teacher_order}"
    )
    yield f"output    {settings.output}, engine {settings.engine.kind}, seed {settings.seed}"
    yield f"exchanges {exchanges(prepared)}"
    if settings.engine.kind == "spark" and prepared.query.group:
        yield _shuffle(delivered_schema(prepared.query), num_rows)
    by_student, by_log = _filled_in(prepared)
    also = f"; the log sets {', '.join(by_log)}" if by_log else ""
    yield f"student   {settings.student}; it sets {', '.join(by_student) or 'nothing here'}{also}"
    response = [
        f"{name} {'above 0' if least == ABOVE_ZERO else f'at least {least:g}'}"
        for name, least in prepared.mapping.response.items()
    ]
    if response:
        yield f"response  {' or '.join(response)} (log.response); never a negative"
    for kind, resolved in prepared.kinds.items():
        yield f"{kind:9} {_plain(_in_use(resolved), top=True)}"
    yield from table_lines(prepared.features)
    if prepared.catalogue is not None:
        chosen = prepared.catalogue
        own = f"the {chosen.window} before it" + (" and the day itself" if chosen.own_day else "")
        listed = "" if prepared.listed is None else f", and {_items(prepared.listed[0])}"
        short = ", missing days allowed" if chosen.allow_short_history else ""
        yield f"catalogue of a day: the items of {own}{listed}{short}"


def _shuffle(columns: pa.Schema, num_rows: int) -> str:
    """What the grouping of rows moves, and into how many tasks that is best parted."""
    num_texts = sum(not pa.types.is_primitive(kind) for kind in columns.types)
    row = WORD * (len(columns) + -(-len(columns) // 64)) + TEXT * num_texts
    total = num_rows * row
    tasks = -(-total // TASK_BYTES)
    return (
        f"shuffle   {num_rows:,} rows of about {row:,} bytes, {total / 1e6:,.0f} MB before "
        f"compression; spark.sql.shuffle.partitions: {max(tasks, 1):,} or more, no fewer than cores"
    )


def _items(opened: Opened) -> str:
    rows = "" if opened.num_rows is None else f" of {opened.num_rows:,} rows"
    return f"the item table{rows}"


def _filled_in(prepared: Prepared) -> tuple[list[str], list[str]]:
    """What the student and the log decided where the configuration left it open."""
    by_student, by_log = [], []
    for kind, given in prepared.settings.samples.kinds().items():
        half, resolved = given.for_student(prepared.settings.student), prepared.kinds[kind]
        by_student += [f"{kind}.{text}" for text in _changed(_in_use(given, half), _in_use(half))]
        by_log += [f"{kind}.{text}" for text in _changed(_in_use(half), _in_use(resolved))]
    return by_student, by_log


def _in_use(options: Any, resolved: Any = None) -> dict[str, Any]:
    """A kind's options as JSON values, without those of sources that are in no mix of it."""
    sources = getattr(resolved or options, "sources", None)
    return {
        name: value
        for name, value in options.model_dump(mode="json").items()
        if value != [] and (sources is None or name not in ORDER or name in sources)
    }


def _changed(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """`name value` of what is another value in `after`; inside blocks a.b."""
    for name, value in after.items():
        old = before.get(name)
        if isinstance(old, dict) and isinstance(value, dict) and old.keys() == value.keys():
            yield from (f"{name}.{text}" for text in _changed(old, value))
        elif value != old:
            yield f"{name} {'null' if value is None else _plain(value)}"


def _plain(value: Any, *, top: bool = False) -> str:
    """Options as text: a block with a kind as `ratio (ratio 3)`."""
    if isinstance(value, dict):
        kind, set_ = value.get("kind", ""), {k: v for k, v in value.items() if v is not None}
        inner = ", ".join(f"{k} {_plain(v)}" for k, v in set_.items() if k != "kind")
        return inner if top else f"{kind} ({inner})".strip() if inner else kind
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return str(value).lower() if isinstance(value, bool) else f"{value}"
