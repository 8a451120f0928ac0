"""The days of a log whose own partition folders are the days: known before a row is read."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from rankdistill.errors import InputError
from rankdistill.log.days import Days
from rankdistill.log.files import LogFile, Opened
from rankdistill.log.mapping import Mapping


def day_partition(log: Opened, mapping: Mapping, days: Days) -> str | None:
    """The partition column of the files that dt comes from; None where rows decide."""
    day = mapping.request_field("dt")
    if day is None or not days.is_partition(mapping):
        return None
    names = [".".join(mapping.paths[alias]) for alias in day.aliases]
    return names[0] if len(names) == 1 and names[0] in log.partition_names else None


def days_of(log: Opened, mapping: Mapping, days: Days) -> dict[str, list[LogFile]] | None:
    """The files of each day where the log's own folders are the days; None where rows decide."""
    column = day_partition(log, mapping, days)
    if column is None:
        return None
    by_day: dict[str, list[LogFile]] = {}
    for file in log.files:
        if day := dict(file.partition)[column]:
            by_day.setdefault(day, []).append(file)
    return by_day


def of_days(log: Opened, mapping: Mapping, days: Days) -> Opened:
    """The log without the files of days that were not asked for; E0311 where none is left."""
    column = day_partition(log, mapping, days)
    if column is None:
        return log
    values = pa.array([dict(file.partition)[column] for file in log.files], pa.string())
    unwanted = days.unwanted(values)
    if unwanted is None:
        return log
    files = tuple(file for file, out in zip(log.files, unwanted, strict=True) if not out)
    if not files:
        known = sorted({value for value in values.to_pylist() if value is not None})
        raise InputError(
            "E0311",
            f"the log has no file of {column} {days.asked}",
            found=f"{column} from {known[0]} to {known[-1]}" if known else None,
            help="see --dt, --from and --to",
        )
    return replace(log, files=files)
