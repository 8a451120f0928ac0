"""What the catalogue of a day is made of, and which days count."""

from __future__ import annotations

from datetime import date, timedelta
from typing import ClassVar

from pydantic import Field

from rankdistill.config import Options
from rankdistill.log.days import Duration as Window
from rankdistill.log.days import duration
from rankdistill.log.source import ColumnOf, TableSource


class ItemTable(TableSource):
    """A table of all items, so that those that were never logged exist, too."""

    class Mapping(Options):
        item_id: ColumnOf | None = Field(None, description="the id; default item_id")

    called: ClassVar[str] = "the item table"
    skip_key: ClassVar[str | None] = "catalogue.items.on_corrupt"

    columns: Mapping = Mapping()


class CatalogueOptions(Options):
    """The items of day D: those of the days [D - window, D), and of the item table."""

    window: Window = Field("30d", description="days before a day whose counts are its catalogue")
    own_day: bool = Field(
        False, description="count the day itself, too (a single day, a log without days)"
    )
    allow_short_history: bool = Field(
        False, description="draw although days of a window, behind the first known, are missing"
    )
    items: ItemTable | None = None


def num_days(window: str) -> int:
    """Whole days that a duration reaches back."""
    return -(-duration(window) // timedelta(days=1))


def day_before(dt: str, days: int) -> str | None:
    """The date `days` before `dt`, spelt as dt is: 2026-11-01 or 20261101; None where dt is no
    such date, or where there is no such day before it."""
    try:
        day = date.fromisoformat(dt)
        before = (day - timedelta(days=days)).isoformat()
    except (ValueError, OverflowError):
        return None
    spelt = {day.isoformat(): before, day.isoformat().replace("-", ""): before.replace("-", "")}
    return spelt.get(dt)


def days_around(dt: str, before: int, after: int, *, own: bool) -> list[str]:
    """The days [dt - before, dt + after], with dt itself where `own`; of a dt that is no date,
    itself alone."""
    if day_before(dt, 0) is None:
        return [dt]
    found = [day_before(dt, n) for n in range(before, -after - 1, -1) if n or own]
    return [day for day in found if day is not None]
