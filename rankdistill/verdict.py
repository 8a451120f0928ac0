"""The metrics of a data set's build, judged: for `check`, `report` and the metrics.json beside it.

Between the store, which holds the table `metrics`, and `quality`, which reads and judges it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rankdistill.describing import WRITERS, describe
from rankdistill.errors import InputError, PlaceError, UserError
from rankdistill.measuring import days_of
from rankdistill.quality.measure import Gate
from rankdistill.quality.metrics import PAST_DAYS, TABLE, Day, as_text, metrics
from rankdistill.quality.metrics_file import damaged, read_metrics
from rankdistill.quality.options import QualityOptions
from rankdistill.store.builds import Build
from rankdistill.store.dataset import DataSet
from rankdistill.store.files import replace_text, sha256

FILE = "metrics.json"
Gates = Mapping[str, Gate | None]
# What states of another make meet when they are read: never a verdict.
UNREADABLE = (
    *(AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError),
    *(ArithmeticError, RecursionError),
)


def judged_build(
    data_set: DataSet, build: Build, gates: Gates, dts: Collection[str] | None = None
) -> dict[str, Any]:
    """The content of metrics.json for a build, or for some of its days.

    Raises InputError E0601 where a day that is asked for has no metrics or they cannot be
    read, PlaceError E0206 where there is no such day.
    """
    asked = asked_days(data_set, build, dts)
    days = days_read(data_set, build)
    if missing := [dt for dt in asked if dt not in days]:
        raise InputError(
            "E0601",
            f"{len(missing)} of {len(asked)} days of build {build.number} of {data_set.root} "
            "have no metrics",
            found=", ".join(missing[:20]),
            help="build them again (rankdistill build --force --dt ...) with quality.measure: "
            "true, or name the days that have some with --dt",
        )
    return _judged(data_set, [days[dt] for dt in asked], list(days.values()), gates)


def asked_days(data_set: DataSet, build: Build, dts: Collection[str] | None) -> list[str]:
    """The days asked for (None: all), by dt. PlaceError E0206 where there is no such day."""
    if unknown := sorted(set(dts or ()) - set(build.days)):
        raise PlaceError(
            "E0206",
            f"build {build.number} of {data_set.root} has no dt {', '.join(unknown)}",
            found=", ".join(sorted(build.days)[:20]) or "(none)",
            help="name one of those",
        )
    if not build.days:
        raise InputError(
            "E0601", f"build {build.number} of {data_set.root} has no day", help="build a day"
        )
    return sorted(dts or build.days)


def days_read(
    data_set: DataSet, build: Build, dts: Collection[str] | None = None
) -> dict[str, Day]:
    """dt -> what the table `metrics` of a build holds of some days (None: of all); InputError
    E0601 where it cannot be read."""
    try:
        _refuse_changed(data_set, build, dts)
        return {day.dt: day for day in days_of(data_set, build, dts)}
    except (PlaceError, OSError, *UNREADABLE) as fault:  # a lost part, or a damaged one
        raise InputError(
            "E0601",
            f"the table {TABLE} of build {build.number} of {data_set.root} cannot be read",
            found=f"{type(fault).__name__}: {fault}",
            help="rankdistill verify names what is damaged; build its days again with --force",
        ) from fault


def _refuse_changed(data_set: DataSet, build: Build, dts: Collection[str] | None) -> None:
    """The parts are small: every byte is checked before a verdict rests on them."""
    if TABLE not in build.tables:
        return
    for part in data_set.parts(TABLE, build):
        is_read = dts is None or part.dt in dts
        if is_read and sha256(data_set.root / part.table / part.path) != part.sha256:
            raise ValueError(f"{part.path} is not what was written")


def _judged(data_set: DataSet, days: list[Day], known: list[Day], gates: Gates) -> dict[str, Any]:
    first = min(day.dt for day in days)
    return document_of(data_set, days, [day for day in known if day.dt < first], gates)


def document_of(
    data_set: DataSet, days: Sequence[Day], past: Sequence[Day], gates: Gates
) -> dict[str, Any]:
    """The content of metrics.json; past: days before these. InputError E0601 where states of
    another make meet."""
    with readable(data_set):
        return metrics(days, gates, past)


@contextmanager
def readable(data_set: DataSet) -> Iterator[None]:
    """InputError E0601 where states that are read are of another make."""
    try:
        yield
    except UNREADABLE as fault:
        found = f"{type(fault).__name__}: {fault}"
        raise damaged(f"the table {TABLE} of {data_set.root}", found) from fault


def kept_gates(build: Build) -> Gates:
    """Those of the config that the newest days of `build` were made with; the defaults where
    nothing tells, or a gate is of another version."""
    newest = max(build.days.values(), key=lambda day: day.build, default=None)
    told = newest.counts.get("gates", {}) if newest is not None else {}
    try:
        return QualityOptions.model_validate({"gates": told}).chosen_gates()
    except ValidationError:
        return {}


def keep_beside(data_set: DataSet, build: Build, gates: Gates) -> list[str]:
    """Write metrics.json and the card of `build`, just published, beside it; warnings where one
    cannot be.

    Of the PAST_DAYS newest days that have metrics: a build of one day must not judge a year of
    them. Removed where none has. It is derived, so whatever is wrong with it fails no build, and
    none is left rather than that of another build.
    """
    place, document, warnings = data_set.root / FILE, None, []
    try:
        place.unlink(missing_ok=True)
        if TABLE in build.tables:
            newest = sorted(build.days)[-2 * PAST_DAYS :]  # the first half as the others' past
            days = list(days_read(data_set, build, newest).values())
            document = document_of(data_set, days[-PAST_DAYS:], days[:-PAST_DAYS], gates)
            replace_text(place, as_text(document))
    except (UserError, OSError, *UNREADABLE) as fault:
        warnings.append(f"{FILE} is not written: {fault}")
    return warnings + describe(data_set, build, document)


def mend_beside(data_set: DataSet, build: Build, gates: Gates) -> tuple[list[str], list[str]]:
    """Write what `keep_beside` wrote and is gone: (the files that are there again, warnings)."""
    derived = [FILE] * (TABLE in build.tables) + [*WRITERS]
    lost = [name for name in derived if not os.path.lexists(data_set.root / name)]
    warnings = keep_beside(data_set, build, gates) if lost else []
    return [name for name in lost if (data_set.root / name).exists()], warnings


def read_file(path: str) -> dict[str, Any]:
    """A metrics.json; InputError E0601 where there is none or it is damaged."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise damaged(path, f"{type(fault).__name__}: {fault}") from fault
    return read_metrics(text, path)
