"""Requests that no student has been trained on: those of a split behind the last one learned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.errors import InputError, PlaceError, TrainingError
from rankdistill.store.dataset import DataSet
from rankdistill.student.evaluation.contestant import Contestant
from rankdistill.student.reading import ListsSource, lists_source, read_piece

TRAINED_ON = ("train", "all")


@dataclass(frozen=True)
class Span:
    """num: requests; first, last: their times, microseconds; None where none has one."""

    num: int
    first: int | None
    last: int | None


def span(source: ListsSource) -> Span:
    """How many requests of its splits a source has, and from when to when."""
    num, times = 0, []
    for piece in source.pieces:
        rows = read_piece(piece, ["split", "request_time"])
        held = rows.filter(pc.is_in(rows.column("split"), pa.array(sorted(source.splits))))
        num += held.num_rows
        found = held.column("request_time").cast(pa.int64()).drop_null()
        times.append(found.to_numpy())
    whole = np.concatenate([np.zeros(0, np.int64), *times])
    return Span(num, *((int(whole.min()), int(whole.max())) if len(whole) else (None, None)))


def trained_until(contestant: Contestant) -> int | None:
    """The time of the last request that the student learned from; None where its data set or
    build is no longer there, or has no times."""
    facts: dict[str, Any] = dict(contestant.facts)
    try:
        data_set = DataSet.open(facts["data_set"])
        build = data_set.build(facts["build"])
        if build.build_id != facts["build_id"]:
            return None
        source = lists_source(data_set, build, dts=facts["days"], splits=TRAINED_ON)
        return span(source).last
    except (PlaceError, InputError):
        return None


def refuse_learned(asked: Span, split: str, contestant: Contestant) -> str | None:
    """A warning where it cannot be known whether the student was trained on what is asked for.

    Raises TrainingError E0502 where it was, or might as well have been: where requests to
    evaluate on are not later than the last one of training.
    """
    last = trained_until(contestant)
    if last is None or asked.first is None:
        return (
            f"it cannot be told whether {contestant.folder} was trained on these requests: its "
            "data set or build is gone, or the log has no request_time"
        )
    if asked.first > last:
        return None
    raise TrainingError(
        "E0502",
        f"the student in {contestant.folder} was trained on requests as late as those of {split}",
        found=f"trained until {told_time(last)}, {split} begins {told_time(asked.first)}",
        help="evaluate on a later split or day (--split, --dt), or train on earlier ones",
    )


def told_time(microseconds: int) -> str:
    """ "2026-11-03 00:00:12+00:00"."""
    return str(datetime.fromtimestamp(0, UTC) + timedelta(seconds=microseconds // 1_000_000))
