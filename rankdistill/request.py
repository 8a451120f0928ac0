"""`preview`: one request of a data set, read from the ranked lists, with its samples."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.errors import InputError
from rankdistill.lists.batch import Lists
from rankdistill.quality.preview import (
    COMMON,
    Preview,
    candidate_rows,
    why_listwise,
    why_pairwise,
    why_pointwise,
)
from rankdistill.samples.facts import SOURCES
from rankdistill.settings import SAMPLE_KINDS, Settings
from rankdistill.store.builds import Day
from rankdistill.store.dataset import DataSet


def preview_request(
    data_set: DataSet, settings: Settings, request_id: str, *, why: bool = False
) -> Preview:
    """The request of the current build, with its rows in every sample table.

    why: draw its samples again (a draw depends on its request alone) and say what became of
    each candidate. Raises InputError E0309 where no request has that id.
    """
    row, day = _find(data_set, request_id)
    facts = day.counts["log"]
    lists = Lists.from_rows(
        row, facts["teacher_order"], tuple(facts["feedback"]), facts["response"]
    )
    build = data_set.current()
    assert build is not None
    dt = row.column("dt")[0].as_py()
    samples = {
        kind: _rows_of(data_set, kind, dt, lists.requests.column("request_id")[0])
        for kind in SAMPLE_KINDS
        if kind in build.tables
    }
    head = {name: row.column(name)[0].as_py() for name in lists.requests.schema.names}
    reasons = _reasons(lists, settings, facts) if why else None
    return Preview(head, candidate_rows(lists, reasons), samples)


def _find(data_set: DataSet, request_id: str) -> tuple[pa.RecordBatch, Day]:
    build = data_set.current()
    examples: list[Any] = []
    for dt, day in sorted(build.days.items()) if build else ():
        for batch in data_set.read("lists", dt=dt):
            ids = batch.column("request_id")
            wanted = pc.equal(ids.cast(pa.string()), request_id)
            found = batch.filter(wanted)
            if found.num_rows:
                return found.slice(0, 1), day
            examples += ids.slice(0, 3 - len(examples)).to_pylist()
    raise InputError(
        "E0309",
        f'no request "{request_id}" in build {build.number if build else "(none)"}',
        found=f"there are, for example, {', '.join(map(str, examples))}" if examples else None,
    )


def _rows_of(data_set: DataSet, kind: str, dt: str, key: pa.Scalar) -> list[dict[str, Any]]:
    rows = []
    for batch in data_set.read(kind, dt=dt):
        rows += batch.filter(pc.equal(batch.column("request_id"), key)).to_pylist()
    if kind == "listwise":
        rows = [item for row in rows for item in _unrolled(row)]
    return [{k: v for k, v in row.items() if k not in COMMON} for row in rows]


def _unrolled(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A graded list as a row per item."""
    lists = {k: v for k, v in row.items() if isinstance(v, list)}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _reasons(lists: Lists, settings: Settings, facts: dict[str, Any]) -> dict[str, Any]:
    from rankdistill.samples.catalogue import SAMPLERS

    reasons = {}
    for kind, options in settings.samples.kinds().items():
        resolved = options.for_student(settings.student)
        drawn = SAMPLERS[kind].draw(lists, resolved, settings.seed)
        if kind == "pointwise":
            reasons[kind] = why_pointwise(lists, drawn, resolved, SOURCES)
        elif kind == "pairwise":
            reasons[kind] = why_pairwise(lists, drawn, resolved)
        else:
            reasons[kind] = why_listwise(lists, drawn)
    return reasons
