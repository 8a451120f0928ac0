"""What a build measures: the facts its measures know, and the days of metrics it makes.

Between the passes, which add up states, and `quality`, which reads and judges them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from rankdistill import __version__
from rankdistill.catalogue.options import day_before
from rankdistill.errors import GateError, InputError, UserError
from rankdistill.prepare import Prepared
from rankdistill.quality import words
from rankdistill.quality.facts import Facts
from rankdistill.quality.measures.hours import cut_off
from rankdistill.quality.metrics import PAST_DAYS, SCHEMA, TABLE, Day, as_text, metrics
from rankdistill.quality.options import QualityOptions
from rankdistill.quality.segments import segment_columns
from rankdistill.quality.state import States
from rankdistill.quality.watch import DOOR, MAX_SEGMENTS, crowded, settled
from rankdistill.store.builds import Build
from rankdistill.store.dataset import FAILED, DataSet
from rankdistill.store.files import make_dirs, replace_text
from rankdistill.store.parts import Part, PartWriter
from rankdistill.store.staging import Staging


def facts_for_measures(prepared: Prepared) -> Facts | None:
    """What the measures of a build must know; None where nothing is measured."""
    settings, options = prepared.settings, prepared.settings.quality
    if not options.measure:
        return None
    log, own = prepared.mapping.options, {"request_id", "user_id", "request_time", "split", "dt"}
    columns = tuple(n for n in prepared.lists.requests.schema.names if n not in own)
    segments = segment_columns(options.segments, columns)
    measures = options.model_dump(mode="json", exclude={"gates", "fail_on", "measure"})
    return Facts(
        student=settings.student,
        teacher_order=log.teacher_order,
        ranks=log.ranks,
        score_kind=prepared.facts.score_kind,
        max_candidates=log.max_candidates,
        has_score=prepared.facts.has_score,
        has_exposure=prepared.facts.has_exposure,
        has_history=prepared.facts.has_history,
        exposed_only=prepared.facts.exposed_only,
        feedback=prepared.mapping.feedback_names,
        response=dict(prepared.mapping.response),
        kinds={k: o.model_dump(mode="json", by_alias=True) for k, o in prepared.kinds.items()},
        tables=tuple(sorted(prepared.schemas)),
        request_columns=columns,
        has_time=prepared.mapping.request_field("request_time") is not None,
        has_user=prepared.mapping.request_field("user_id") is not None,
        split=settings.split.model_dump(mode="json"),
        catalogue=prepared.catalogue.model_dump(mode="json") if prepared.catalogue else None,
        measures={**measures, "segments": list(segments)},
        provenance={
            "config_hash": prepared.config_hash,
            "seed": str(settings.seed),
            "code_version": __version__,
        },
    )


def days_of_metrics(
    facts: Facts,
    states: States,
    by_dt: Mapping[str, Counter[str]],
    dts: Iterable[str],
    reached: int = 0,
) -> list[Day]:
    """What the table `metrics` gets of each day; reached: as `last_begun`."""
    states = settled(states, facts.measures["segments"])
    if facts.cut_off is None:
        held = (found for _, name, found in states if name == "Q29")
        ended = cut_off((found.segments.get("", {}) for found in held), facts)
        facts = replace(facts, cut_off=ended and max(ended, reached))
    found = []
    for dt in sorted(dts):
        own = dict(states.day(dt))
        door: Any = own.pop(DOOR, None)
        fates = door.segments.get("", {}) if door else {}
        found.append(Day(dt, facts, by_dt.get(dt, {}), fates, own))
    return found


def crowded_segments(states: States, options: QualityOptions) -> list[str]:
    """A warning of each column named in quality.segments that has too many values to make any."""
    return [
        f"quality.segments: {name} has over {MAX_SEGMENTS} values, so nothing is told by it"
        for name in crowded(states, options.segments or ())
    ]


def last_begun(days: Iterable[str], time_zone: str) -> int:
    """When the last of these days began, microseconds since 1970: a log that has one reaches so
    far. 0 where none is a date."""
    dates = [date.fromisoformat(day) for day in days if day_before(day, 0) is not None]
    if not dates:
        return 0
    began = datetime.combine(max(dates), time.min, ZoneInfo(time_zone))
    return int(began.timestamp()) * 1_000_000


def metrics_parts(
    days: Sequence[Day], root: str, build_id: str, schemas: Mapping[str, pa.Schema]
) -> list[Part]:
    """The rows of the table `metrics`, written."""
    with PartWriter(root, build_id, TABLE, schemas=schemas) as writer:
        for day in days:
            writer.write(TABLE, day.dt, pa.RecordBatch.from_pylist(day.rows(), schema=SCHEMA))
        return writer.close()


def days_of(data_set: DataSet, build: Build, dts: Collection[str] | None = None) -> list[Day]:
    """What the table `metrics` of a build holds of some days (None: of all), by dt.

    InputError E0601 where the build has no such table.
    """
    if TABLE not in build.tables:
        raise InputError(
            "E0601",
            f"build {build.number} of {data_set.root} has no metrics",
            help="build it again with quality.measure: true, or rankdistill check --recompute",
        )
    rows: dict[str, dict[str, str]] = {}
    for batch in data_set.read_days(TABLE, build, build.days if dts is None else dts):
        for row in batch.to_pylist():
            rows.setdefault(row["dt"], {})[row["measure"]] = row["state"]
    return [Day.of_rows(dt, rows[dt]) for dt in sorted(rows)]


def pass_gates(
    days: Sequence[Day],
    options: QualityOptions,
    data_set: DataSet,
    staging: Staging,
    warnings: Sequence[str] = (),
) -> list[str]:
    """Warnings of what the gates say; GateError E0602 where `fail_on` is reached.

    warnings: of the build so far, which may explain why.
    """
    past, told = _past(data_set, staging.base, min(day.dt for day in days))
    document = metrics(days, options.chosen_gates(), past)
    bad = words.bad(document)
    if words.reaches(document["verdict"], options.fail_on):
        place = keep_failed(data_set, staging.build_id, document)
        fault = GateError(
            "E0602",
            "a quality gate failed, nothing is published",
            found=words.stopped(document, options.fail_on),
            help=f"rankdistill report --metrics {place}, and rankdistill explain {bad[0]['id']}; "
            "build --fail-on never publishes in spite of it",
        )
        for warning in warnings:
            fault.add_note(f"warning: {warning}")
        raise fault
    return [*told, *(words.line(m) for m in bad)]


def _past(data_set: DataSet, base: Build | None, first: str) -> tuple[list[Day], list[str]]:
    """The days before `first` that it is held against, and a warning where they cannot be read:
    to build the damaged days again is what mends them, so that must not fail for it."""
    if base is None or TABLE not in base.tables:
        return [], []
    try:
        known = sorted(dt for dt in base.days if dt < first)
        return days_of(data_set, base, known[-PAST_DAYS:]), []
    except (UserError, OSError) as fault:
        return [], [f"the metrics of the days before cannot be read, so none is compared: {fault}"]


def keep_failed(data_set: DataSet, build_id: str, document: Mapping[str, Any]) -> Path:
    """The metrics of a build that is not published, with examples of the failing rows."""
    make_dirs(data_set.root, FAILED)
    place = data_set.root / FAILED / f"{build_id}.metrics.json"
    replace_text(place, as_text(document))
    return place
