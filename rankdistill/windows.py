"""Which days the draws of a day look into, and which of those are missing.

Before the first known day lies the beginning of the log, where nothing is missing; from that
day on a day that no build made is a hole, and a draw that looked into one would quietly see
less than was asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rankdistill.catalogue.options import CatalogueOptions, day_before, days_around, num_days
from rankdistill.errors import PlaceError
from rankdistill.prepare import Prepared
from rankdistill.samples.sources import CATALOGUE
from rankdistill.store.builds import Build


@dataclass(frozen=True)
class Around:
    """The days that the draws of one day look into."""

    items: tuple[str, ...]
    responses: tuple[str, ...]


def looked_into(prepared: Prepared, dt: str, kinds: Mapping[str, Any]) -> Around:
    return days_looked_into(prepared.catalogue or CatalogueOptions(), dt, kinds)


def days_looked_into(options: CatalogueOptions, dt: str, kinds: Mapping[str, Any]) -> Around:
    """The same from what is configured of the catalogue; kinds: those of the second pass."""
    needs = frozenset().union(*(chosen.needs for chosen in kinds.values()))
    items = days_around(dt, num_days(options.window), 0, own=options.own_day)
    before, after = _windows_of(kinds)
    responses = days_around(dt, before, after, own=True) if needs & {"history", "future"} else []
    return Around(tuple(items) if "catalogue" in needs else (), tuple(responses))


def _windows_of(kinds: Mapping[str, Any]) -> tuple[int, int]:
    """(days before, days after) that the guards of responses reach."""
    before = [num_days(k.history_window) for k in kinds.values() if "history" in k.needs]
    after = [num_days(k.future_window) for k in kinds.values() if "future" in k.needs]
    return max(before, default=0), max(after, default=0)


def refuse_short(
    prepared: Prepared, dts: Collection[str], base: Build | None, seen: Iterable[str] = ()
) -> None:
    """PlaceError E0208 where the draws of `dts` look into a hole.

    seen: further days of a log whose rows decide on the day; where its own folders are the days,
    they are known without being read.
    """
    kinds, options = prepared.kinds_of(2), prepared.catalogue or CatalogueOptions()
    if not kinds or options.allow_short_history:
        return
    first = _first_known(prepared, dts, base, seen)
    items, responses = (_there(prepared, dts, base, table) for table in ("items", "responses"))
    for dt in sorted(dts):
        around = looked_into(prepared, dt, kinds)
        lost = (set(around.items) - items) | (set(around.responses) - responses)
        holes = sorted(day for day in lost if first is not None and day >= first)
        if holes:
            raise _hole(dt, holes, first)


def _hole(dt: str, holes: list[str], first: str | None) -> PlaceError:
    ahead = min(holes) > dt
    before = "build those days first, in order, or all days at once; shorten catalogue.window and "
    after = "future_window looks ahead: build this day with the days after it, or shorten "
    return PlaceError(
        "E0208",
        f"the draws of {dt} look into {len(holes):,} day{'' if len(holes) == 1 else 's'} that no "
        f"build has made; the first known day is {first}",
        found=", ".join(holes[:3]) + (", ..." if len(holes) > 3 else ""),
        help=(after + "it" if ahead else before + "history_window")
        + "; or draw without them: --set catalogue.allow_short_history=true",
    )


def _there(prepared: Prepared, dts: Iterable[str], base: Build | None, table: str) -> set[str]:
    """The days whose `table` can be looked into; a day whose files hold no row has it, too."""
    before = base.days if base else {}
    made = {*dts, *(prepared.files_by_day or ())}
    return made | {dt for dt, day in before.items() if table in day.tables}


def _first_known(
    prepared: Prepared, dts: Iterable[str], base: Build | None, seen: Iterable[str]
) -> str | None:
    """The first day of the log, the data set and this build; None where no dt is a date."""
    known = {*dts, *seen, *prepared.log_days, *(base.days if base else ())}
    return min((dt for dt in known if day_before(dt, 0) is not None), default=None)


def beginnings(
    prepared: Prepared, dts: Collection[str], base: Build | None, seen: Iterable[str] = ()
) -> list[str]:
    """A line for each window that lacks days, as it begins before the log or, where that is
    allowed, looks into holes: of which days, and how much is there."""
    kinds = prepared.kinds_of(2)
    first = _first_known(prepared, dts, base, seen)
    if not kinds or first is None:
        return []
    found: dict[tuple[str, ...], list[str]] = {}
    for name, table, window in _windows(prepared.catalogue or CatalogueOptions(), kinds):
        short, there = {}, _there(prepared, dts, base, table)
        lost: set[str] = set()
        for dt in sorted(dts):
            looked = getattr(looked_into(prepared, dt, kinds), table)
            before = {day for day in looked if day < dt}
            if not before <= there:
                short[dt] = len(before & there)
            lost |= before - there
        if short:
            why = _why_short(lost, first)
            found.setdefault((_span(list(short)), window, _range(short), *why), []).append(name)
    return [
        f"{' and '.join(names)} of {days} {' and '.join(why[len(names) == 1 :: 2])} "
        f"({window} asked, {num} there)"
        for (days, window, num, *why), names in found.items()
    ]


def _windows(options: CatalogueOptions, kinds: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(name, the table that it is of, length) of each window that looks back."""
    yield "catalogue.window", "items", options.window
    for chosen in kinds.values():
        if "history" in chosen.needs:
            yield "history_window", "responses", chosen.history_window


def _why_short(lost: set[str], first: str) -> Iterator[str]:
    """Why the days `lost` are not there, each reason as said of several windows and of one."""
    if min(lost) < first:
        yield from ("begin before the log", "begins before the log")
    if holes := len([day for day in lost if day >= first]):
        days = f"{holes:,} day{'' if holes == 1 else 's'} that no build has made"
        yield from (f"look into {days}", f"looks into {days}")


def _span(days: list[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} .. {days[-1]}"


def _range(there: Mapping[str, int]) -> str:
    least, most = min(there.values()), max(there.values())
    return f"{least if least == most else f'{least} to {most}'} day{'' if most == 1 else 's'}"


def empty_catalogues(prepared: Prepared, dts: Collection[str], base: Build | None) -> Iterator[str]:
    """A warning of each kind for days whose catalogue has no day to count items of."""
    kinds = {k: v for k, v in prepared.kinds_of(2).items() if "catalogue" in v.needs}
    there = _there(prepared, dts, base, "items") if kinds else set()
    empty = [dt for dt in sorted(dts) if not {*looked_into(prepared, dt, kinds).items} & there]
    if not kinds or not empty:
        return
    why = f"no day before {_span(empty)} is there to count items of"
    for kind, chosen in kinds.items():
        names = [name for name in CATALOGUE if name in getattr(chosen, "sources", ())]
        if not names:
            yield (
                f"samples.{kind}: {why}, so debias takes every item for a rare one; set "
                "catalogue.own_day: true"
            )
        elif prepared.listed is None:
            yield (
                f"samples.{kind}: {why}, so the catalogue is empty and {' and '.join(names)} "
                f"{'has' if len(names) == 1 else 'have'} nothing to draw; set catalogue.own_day: "
                "true, or give a table of all items (catalogue.items)"
            )
