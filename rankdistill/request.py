"""`preview`: one request of a data set, read from the ranked lists, with its samples."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.catalogue.history import History, put_history
from rankdistill.catalogue.options import days_around, num_days
from rankdistill.day_side import RESPONSES, rows_of
from rankdistill.errors import InputError, on_a_line
from rankdistill.feature_tables import request_names
from rankdistill.lists.batch import Lists
from rankdistill.log.days import duration
from rankdistill.quality.preview import COMMON, Preview, candidate_rows, reason_rows, stage_name
from rankdistill.quality.why import why_debiased, why_listwise, why_pairwise, why_pointwise
from rankdistill.quality.why_negatives import outside_rows, why_negatives
from rankdistill.samples.catalogue import SAMPLERS
from rankdistill.samples.facts import LogFacts
from rankdistill.samples.side import Side
from rankdistill.settings import SAMPLE_KINDS, Settings
from rankdistill.store.builds import Build, Day
from rankdistill.store.dataset import DataSet


def preview_request(
    data_set: DataSet, settings: Settings, request_id: str, *, why: bool = False
) -> Preview:
    """The request of the current build, with its rows in every sample table.

    why: draw its samples again (a draw depends on its request alone) and say what became of
    each candidate. Raises InputError E0309 where no request has that id.
    """
    build = data_set.current()
    row, day = _find(data_set, build, request_id)
    facts = day.counts["log"]
    lists = Lists.from_rows(
        row, facts["teacher_order"], tuple(facts["feedback"]), facts["response"]
    )
    dt = row.column("dt")[0].as_py()
    samples = {
        kind: _rows_of(data_set, kind, dt, lists.requests.column("request_id")[0], day)
        for kind in SAMPLE_KINDS
        if kind in day.tables
    }
    head = {name: row.column(name)[0].as_py() for name in lists.requests.schema.names}
    reasons = None
    if why:
        assert build is not None
        side = _side(data_set, build, settings, lists, dt)
        reasons = reason_rows(lists, _reasons(lists, settings, facts, samples, side))
        reasons += outside_rows(lists, samples.get("negatives", []), side)
    number = build.number if build else 0
    return Preview(head, candidate_rows(lists), samples, reasons, number)


def differs(data_set: DataSet, settings: Settings) -> bool:
    """Whether the current build was made under other settings, so that reasons may not fit."""
    build = data_set.current()
    return build is not None and not build.config_hash.startswith(settings.hash()[:32])


def _find(data_set: DataSet, build: Build | None, request_id: str) -> tuple[pa.RecordBatch, Day]:
    examples: list[Any] = []
    for dt, day in sorted(build.days.items()) if build else ():
        for batch in data_set.read("lists", dt=dt):
            ids = batch.column("request_id")
            wanted = pc.equal(ids.cast(pa.string()), request_id)
            found = batch.filter(wanted)
            if found.num_rows:
                return found.slice(0, 1), day
            examples += ids.slice(0, 3 - len(examples)).to_pylist()
    shown = ", ".join(on_a_line(str(example)) for example in examples)
    made = f"build {build.number}" if build else "the data set, which has no build yet"
    raise InputError(
        "E0309",
        f'no request "{on_a_line(request_id)}" in {made}',
        found=f"there are, for example, {shown}" if shown else None,
        help=shlex.join(["rankdistill", "preview", on_a_line(str(examples[0])), "--config", "FILE"])
        if examples
        else None,
    )


def _rows_of(
    data_set: DataSet, kind: str, dt: str, key: pa.Scalar, day: Day
) -> list[dict[str, Any]]:
    rows = []
    for batch in data_set.read(kind, dt=dt):
        rows += batch.filter(pc.equal(batch.column("request_id"), key)).to_pylist()
    if kind == "listwise":
        whole = request_names(day.counts.get("features", ()))
        rows = [item for row in rows for item in _unrolled(row, whole)]
    own = [{k: v for k, v in row.items() if k not in COMMON} for row in rows]
    return [{k: stage_name(v) if k == "stage" else v for k, v in row.items()} for row in own]


def _unrolled(row: dict[str, Any], whole: frozenset[str]) -> list[dict[str, Any]]:
    """A graded list as a row per item; whole: columns that are of the request, even as lists."""
    lists = {k: v for k, v in row.items() if isinstance(v, list) and k not in whole}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _side(data_set: DataSet, build: Build, settings: Settings, lists: Lists, dt: str) -> Side:
    """What the user responded to around the request; the catalogue is not looked into again."""
    options = settings.samples.negatives
    if options is None or "responses" not in build.tables:
        return Side()
    windows = (options.history_window, options.future_window)
    before, after = (num_days(window) if window else 0 for window in windows)
    days = [day for day in days_around(dt, before, after, own=True) if day in build.days]
    files = [f for day in days for f in data_set.files("responses", build, day)]
    with TemporaryDirectory() as folder:
        put_history(Path(folder), _of_user(files, lists), 0)
        known = History.load(Path(folder))
    history, future = (duration(window) if window else None for window in windows)
    return Side(
        history=known.before(lists, history) if history else None,
        future=known.after(lists, future) if future else None,
    )


def _of_user(files: list[str], lists: Lists) -> Iterator[pa.RecordBatch]:
    """The responses of the request's user."""
    user = lists.requests.column("user_id")[0]
    for batch in rows_of(files, RESPONSES):
        yield batch.filter(pc.equal(batch.column("user_id"), user))


def _reasons(
    lists: Lists, settings: Settings, log: dict[str, Any], samples: dict[str, Any], side: Side
) -> dict[str, Any]:
    """For each configured kind the reason of every candidate; log: what the build knew of it."""
    known = LogFacts.of_build(log)
    reasons = {}
    for kind, chosen in settings.samples.kinds().items():
        options = chosen.for_student(settings.student).for_log(known)
        if kind == "negatives":
            reasons[kind] = why_negatives(lists, samples.get(kind, []), options, side)
            continue
        debias = getattr(options, "debias", None)
        if debias is not None:  # it looks into the catalogue: what it did is read from the rows
            options = options.model_copy(update={"debias": None})
        drawn = SAMPLERS[kind].draw(lists, options, settings.seed)
        if kind == "pointwise":
            reasons[kind] = why_pointwise(lists, drawn, options)
        elif kind == "pairwise":
            reasons[kind] = why_pairwise(lists, drawn, options, settings.seed)
        else:
            reasons[kind] = why_listwise(lists, drawn, options)
        if debias is not None:
            reasons[kind] = why_debiased(lists, reasons[kind], samples.get(kind, []))
    return reasons
