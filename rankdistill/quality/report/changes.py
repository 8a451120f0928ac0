"""What `diff` found in sentences: what changed, what could not be compared, which sides.

The sections below them, and the page, are made by `report.diff`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rankdistill.quality import words

SIDES = ("a", "b")


def verdict(found: Mapping[str, Any]) -> str:
    """How bad the worst change is: of measures that got worse, and of drift."""
    told = [row["verdict_b"] for row in found["measures"] if row["worse"]]
    told += [row["verdict"] for row in found["drift"]]
    return next((v for v in ("fail", "warn") if v in told), "ok")


def sentence(found: Mapping[str, Any]) -> str:
    """What came out, in one sentence."""
    if found["equal"]:
        return "The same: schema, config, counts and rows are equal."
    worse = [words.plain(row["name"]) for row in found["measures"] if row["worse"]]
    better = [words.plain(row["name"]) for row in found["measures"] if row["better"]]
    drifted = [words.plain(r["distribution"]) for r in found["drift"] if r["verdict"] != "ok"]
    told = [
        _named(worse, "measure got worse", "measures got worse"),
        _named(better, "measure got better", "measures got better"),
        _named(drifted, "distribution drifted", "distributions drifted"),
        _named([words.plain(t) for t in found["only"]], "table differs", "tables differ"),
        _named([words.plain(r["key"]) for r in found["config"]], "setting changed"),
        *(_alone([row["name"] for row in of_one_side(found, s)], "table", s) for s in SIDES),
        _named([path(row) for row in changed_columns(found)], "column changed"),
        *(_alone(_extra(found, s), "day", s) for s in SIDES),
    ]
    return f"{'; '.join(filter(None, told)) or _nothing(found)}."


def _nothing(found: Mapping[str, Any]) -> str:
    """What is said where no change was found, and yet not all is equal."""
    if all(found["metrics"].values()):
        return "Days, or counts of them, differ"
    same = "Schema and rows are equal" if _common(found) else "The schema is equal"
    return f"{same}; nothing else is compared"


def _alone(names: Sequence[str], noun: str, side: str) -> str:
    where = f"only in {side.upper()}"
    return _named([words.plain(name, 40) for name in names], f"{noun} {where}", f"{noun}s {where}")


def _named(names: Sequence[str], one: str, many: str | None = None) -> str:
    """ "2 tables differ (pairwise, lists)"; "" of none."""
    if not names:
        return ""
    noun, _, verb = one.partition(" ")
    phrase = one if len(names) == 1 else many or f"{noun}s {verb}"
    shown = [*names[:3], *([f"{len(names) - 3} more"] if len(names) > 3 else [])]
    return f"{len(names)} {phrase} ({', '.join(shown)})"


def notes(found: Mapping[str, Any]) -> list[str]:
    """What could not be compared, and why."""
    told = []
    lacking = [words.plain(found[s]) for s in SIDES if not found["metrics"][s]]
    if lacking:
        told.append(
            f"No metrics of all days in {' and '.join(lacking)}: config, counts, funnel, drift and "
            "measures are not compared."
        )
    extra = [f"{side.upper()} has {_span(days)}" for side in SIDES if (days := _extra(found, side))]
    if extra:
        common = _span(_common(found))
        told.append(
            f"Only {' and only '.join(extra)}: rows are compared one by one on {common}; all else "
            "is of all days of each side (--dt DAY compares one)."
        )
    if not _common(found):
        told.append("The sides have no day in common, so rows are not compared one by one.")
    return told


def sides(found: Mapping[str, Any]) -> list[str]:
    """ "A: feed@1, 2026-11-01", "B: feed, 2026-11-01"."""
    told = [(s, words.plain(found[s]), _span(found["days"][s])) for s in SIDES]
    return [f"{side.upper()}: {name}, {days}" for side, name, days in told]


def _common(found: Mapping[str, Any]) -> list[str]:
    return sorted({*found["days"]["a"]} & {*found["days"]["b"]})


def _extra(found: Mapping[str, Any], side: str) -> list[str]:
    """The days of one side alone; none where the sides share no day, so that all are."""
    common = _common(found)
    return [dt for dt in found["days"][side] if dt not in common] if common else []


def changed_columns(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of the changes of schema those of columns."""
    return [row for row in found["schema"] if row["column"] is not None]


def of_one_side(found: Mapping[str, Any], side: str) -> list[Mapping[str, Any]]:
    """The tables of one side alone, with their rows."""
    names = {r["table"] for r in found["schema"] if r["column"] is None and r[side] is not None}
    return [row for row in found["rows"] if row["name"] in names]


def path(row: Mapping[str, Any]) -> str:
    return words.plain(".".join(filter(None, (row["table"], row["column"]))))


def _span(days: Sequence[str]) -> str:
    return words.span(days) if days else "no day"
