"""The days of a data set: which are up to date, which may be replaced, from which files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rankdistill.errors import PlaceError
from rankdistill.log.files import LogFile, fingerprint
from rankdistill.prepare import Prepared
from rankdistill.quality.metrics import TABLE as METRICS
from rankdistill.store.builds import Build, Day, DayFacts


def up_to_date(prepared: Prepared, current: Build) -> list[str]:
    """The days asked for that are already as this build would make them.

    Where rows decide on the day, all of them or none: which days the log holds is then known
    only from an earlier build of the same files under the same choice of days.
    """
    known = prepared.files_by_day
    if known is not None:
        return [dt for dt in sorted(known) if _is_same(prepared, dt, current)]
    same = [dt for dt in current.days if _is_same(prepared, dt, current)]
    if prepared.days.asked.only is not None:
        wanted = sorted(prepared.days.asked.only)
        return wanted if set(wanted) <= set(same) else []
    asked = str(prepared.days.asked)
    return [dt for dt in same if current.days[dt].counts.get("asked") == asked]


def _is_same(prepared: Prepared, dt: str, current: Build) -> bool:
    day = current.days.get(dt)
    if day is None:
        return False
    if prepared.settings.quality.measure and METRICS not in day.tables:
        return False  # its metrics are asked for now
    same_input = day.fingerprint == day_fingerprint(prepared, dt)
    return same_input and day.config_hash == prepared.config_hash and is_window_same(day, current)


def with_followers(rest: set[str], ready: list[str], current: Build) -> set[str]:
    """`rest`, and the days of `ready` that looked into one of them, or into one that did."""
    rest = set(rest)
    windows = {dt: set(current.days[dt].counts.get("window", ())) - {dt} for dt in ready}
    while more := {dt for dt in ready if dt not in rest and windows[dt] & rest}:
        rest |= more
    return rest


def is_window_same(day: Day, current: Build) -> bool:
    """Whether the days that the draws of `day` looked into are still as they were."""
    now = {dt: other.build for dt, other in current.days.items()}
    window: dict[str, int | None] = day.counts.get("window", {})
    return all(now.get(dt) == (day.build if n == 0 else n) for dt, n in window.items())


def day_files(prepared: Prepared, dt: str) -> list[LogFile]:
    """The input files that may hold rows of `dt`."""
    by_day = prepared.files_by_day
    own = list(prepared.log.files) if by_day is None else by_day.get(dt, [])
    return own + list(prepared.feedback.files if prepared.feedback else ())


def day_fingerprint(prepared: Prepared, dt: str) -> str:
    if prepared.files_by_day is None:
        return prepared.fingerprint
    return fingerprint([*day_files(prepared, dt), *prepared.side_files])


def refuse_partial(prepared: Prepared, dts: Iterable[str], base: Build | None) -> None:
    """A day may be replaced only by a build that reads every file of the day before (E0207)."""
    for dt in sorted(dts):
        before = base.days.get(dt) if base else None
        if before is None:
            continue
        own = {file.place for file in day_files(prepared, dt)}
        lost = sorted(set(before.counts.get("files", ())) - own)
        if lost:
            raise PlaceError(
                "E0207",
                f"dt={dt} would be replaced by a part of it: this build does not read "
                f"{len(lost)} of the files it was built from",
                found=", ".join(lost[:3]) + (", ..." if len(lost) > 3 else ""),
                help="give those files too, or --force if they are gone for good",
            )


def left_behind(prepared: Prepared, facts: Mapping[str, DayFacts], base: Build | None) -> list[str]:
    """Warnings: days asked for that are not there, tables that the replaced days had before."""
    absent = sorted((prepared.days.asked.only or frozenset()) - set(facts))
    found = [f"dt={dt} was asked for, and no row of the log has it" for dt in absent]
    before = [base.days[dt] for dt in facts if base and dt in base.days]
    for table in sorted({table for day in before for table in day.tables} - set(prepared.schemas)):
        days = sum(table in day.tables for day in before)
        found.append(
            f"{table} of {days:,} replaced days is no longer in the data set: this configuration "
            "does not build it"
        )
    return found
