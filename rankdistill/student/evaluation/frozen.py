"""Requests that no student has been trained on: those of a split behind the last one learned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from rankdistill.errors import TrainingError
from rankdistill.student.evaluation.contestant import Contestant
from rankdistill.student.reading import Span

TRAINED_ON = ("train", "all")


def trained_until(contestant: Contestant) -> int | None:
    """The time of the last request that the student, or the one that it started from, learned
    from; None where the log has no times."""
    found: int | None = contestant.facts["learned"]["until"]
    return found


def refuse_learned(asked: Span, split: str, contestant: Contestant) -> str | None:
    """A warning where it cannot be known whether the student was trained on what is asked for.

    Raises TrainingError E0502 where it was, or might as well have been: where requests to
    evaluate on are not later than the last one of training.
    """
    last = trained_until(contestant)
    if last is None or asked.first is None:
        return (
            f"it cannot be told whether {contestant.folder} was trained on these requests: the log "
            "has no request_time"
        )
    if asked.first > last:
        return None
    raise TrainingError(
        "E0502",
        f"the student in {contestant.folder} was trained on requests as late as those of {split}",
        found=f"trained until {told_time(last)}, {split} begins {told_time(asked.first)}",
        help="evaluate on a later split or day (--split, --dt), or train on earlier ones",
    )


def other_data(contestant: Contestant, data_set: Path) -> str | None:
    """A warning where the student is one of another data set: it may know none of these ids, or
    take them for others."""
    own = contestant.facts["data_set"]
    if Path(own).resolve() == data_set.resolve():
        return None
    return (
        f"the student in {contestant.folder} was trained on {own}: its ids have to be those of "
        f"{data_set}"
    )


def told_time(microseconds: int) -> str:
    """ "2026-11-03 00:00:12+00:00"."""
    return str(datetime.fromtimestamp(0, UTC) + timedelta(seconds=microseconds // 1_000_000))
