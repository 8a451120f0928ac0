"""`plan`: what a build of a log would make, at what cost, and what in it may mislead."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from rankdistill.day_state import day_fingerprint, is_window_same
from rankdistill.engines.catalogue import make_engine
from rankdistill.errors import PlaceError, UserError
from rankdistill.feature_tables import joined
from rankdistill.judge import (
    describe_door,
    judge_door,
    judge_grades,
    lone_candidates,
    refuse_empty,
)
from rankdistill.lists.batch import STAGES
from rankdistill.look import ADVISED_CAP, Look, Shares, look
from rankdistill.prepare import Prepared, prepare
from rankdistill.quality.text_table import text_table
from rankdistill.settings import Settings
from rankdistill.settings_lines import settings_lines
from rankdistill.store import place
from rankdistill.store.builds import Build
from rankdistill.store.dataset import DataSet
from rankdistill.summary import left_out
from rankdistill.windows import beginnings, empty_catalogues, refuse_short

SAMPLE = 0.01
FEEDBACK = {"click", "clicks", "is_click", "clicked", "like", "is_like", "purchase", "label_click"}
SMALL = 2_000_000  # log rows up to which a plan looks at all requests anyway
# A sample is no smaller than so many rows of a log, if it has them; where lists are of unlike
# length, fewer requests than FEW_REQUESTS tell no nearer than to a fifth.
LEAST_ROWS = {"rows": 500_000, "lists": 5_000}
FEW_REQUESTS = 1_000
MB = 1_000_000
# From here on a plan warns of a blow-up: rows of one request, rows per candidate.
MANY_ROWS, MANY_PER_CANDIDATE = 100_000, 50


@dataclass(frozen=True)
class Plan:
    """What a build would make. share: of the requests that were looked at (1: exact), looked_at:
    how many those are."""

    lines: tuple[str, ...]
    days: list[dict[str, Any]]
    tables: list[dict[str, Any]]
    warnings: tuple[str, ...]
    share: float
    looked_at: int

    def text(self) -> str:
        of = f"{self.looked_at:,} requests, {self.share:.1%} of all"
        how = "exact" if self.share == 1 else f"estimated from {of}"
        blocks = [*self.lines, "", text_table(self.days), "", f"rows ({how})"]
        blocks += [
            text_table([*map(_in_mb, self.tables)]),
            *(f"warning: {text}" for text in self.warnings),
        ]
        return "\n".join(blocks)

    def as_dict(self) -> dict[str, Any]:
        return {
            "settings": list(self.lines),
            "days": self.days,
            "tables": self.tables,
            "warnings": list(self.warnings),
            "share": self.share,
            "looked_at": self.looked_at,
        }


def _in_mb(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table's line with its bytes in whole MB, rounded up."""
    num = table["bytes"]
    shown = {"bytes": ("MB", None if num is None else -(-num // MB))}
    return dict(shown.get(name, (name, value)) for name, value in table.items())


def plan(settings: Settings, *, exact: bool = False) -> Plan:
    """What `build` would do. exact: on all requests, else on a hashed sample of a large log."""
    with closing(make_engine(settings.engine)) as engine:
        prepared = prepare(settings, engine)
        num_rows = engine.count(prepared.query)[0]
        share = 1.0 if exact or num_rows <= SMALL else _sample(prepared, num_rows)
        seen = look(prepared, engine, share, weigh=True)
        if share < 1 and not seen.total["requests"]:
            # A few huge requests: none was drawn.
            share, seen = 1.0, look(prepared, engine, weigh=True)
    shares = Shares()
    if share < 1:
        shares = Shares.of(seen.tally.door, settings.log.sample_requests)
    judged = judge_door(prepared, seen.tally)
    refuse_empty(seen.tally)
    current = current_build(settings)
    days = [
        {
            "dt": dt,
            "requests": round(counts["requests"] / shares.requests),
            "candidates": round(counts["candidates"] / shares.rows),
            "state": _state(prepared, current, dt),
        }
        for dt, counts in sorted(seen.tally.by_dt.items())
    ]
    days += [
        {"dt": dt, "requests": None, "candidates": None, "state": f"stays as in build {day.build}"}
        for dt, day in sorted(current.days.items() if current else ())
        if dt not in seen.tally.by_dt
    ]
    new = _to_make(days)
    return Plan(
        (
            *settings_lines(prepared, num_rows),
            *(f"window    {text}" for text in beginnings(prepared, new, current)),
            f"door      {describe_door(seen.tally.door)}",
            _stages_line(seen),
        ),
        days,
        _table_rows(prepared, seen, shares.requests),
        (
            *judged,
            *_few(seen, share),
            *blow_ups(seen, shares.requests),
            *misleading(prepared, seen),
            *short_history(prepared, current, new),
        ),
        share,
        seen.total["requests"],
    )


def _sample(prepared: Prepared, num_rows: int) -> float:
    """The share of requests that is looked at."""
    least = LEAST_ROWS[prepared.mapping.options.layout]
    return min(1.0, max(SAMPLE, least / num_rows))


def _few(seen: Look, share: float) -> Iterator[str]:
    """That a sample is too small to tell much."""
    if share < 1 and seen.total["requests"] < FEW_REQUESTS:
        yield (
            f"the estimates rest on {seen.total['requests']:,} requests alone and may be off by "
            "more than a fifth; --exact looks at all of them"
        )


def blow_ups(seen: Look, share: float = 1.0) -> Iterator[str]:
    """A warning for each kind of which one request, or all of them, could give too many rows."""
    total = seen.total
    for kind, (rows, request_id, candidates) in sorted(seen.largest.items()):
        at_most, capped = (total[f"{kind}.{name}"] / share for name in ("at_most", "capped"))
        if rows <= MANY_ROWS and at_most <= MANY_PER_CANDIDATE * total["candidates"] / share:
            continue
        limit = {"pairwise": "samples.pairwise.max_pairs_per_request"}.get(kind)
        advice = (
            f"set {limit} ({ADVISED_CAP} -> {capped:,.0f} at most)"
            if limit
            else "lower log.max_candidates"
        )
        yield (
            f'E0305: {kind} would write up to {at_most:,.0f} rows: request "{request_id}" has '
            f"{candidates:,} candidates and may give {rows:,} of them; {advice}"
        )


def _to_make(days: Iterable[dict[str, Any]]) -> list[str]:
    """The days of a plan that a build would make."""
    return [d["dt"] for d in days if not d["state"].startswith(("up to date", "stays"))]


def short_history(prepared: Prepared, current: Build | None, dts: Collection[str]) -> list[str]:
    """Why a build of these days would be refused for days that are not there, or draws from an
    empty catalogue; else nothing."""
    try:
        refuse_short(prepared, dts, current)
    except PlaceError as fault:
        return [f"{fault.code}: a build stops, as {fault.message} ({fault.found}); {fault.help}"]
    return [*empty_catalogues(prepared, dts, current)]


def misleading(prepared: Prepared, seen: Look) -> list[str]:
    """Choices that work and mislead, each with the reason."""
    facts, total, settings = prepared.facts, seen.total, prepared.settings
    all_shown = total["candidates"] and total["stage.exposed"] == total["candidates"]
    if all_shown and facts.has_exposure:
        facts = replace(facts, exposed_only=True)
    found = [
        f"samples.{kind}: {text}"
        for kind, options in prepared.kinds.items()
        for text in options.advise(facts)
    ]
    if settings.student == "recall" and not facts.has_exposure:
        found.append(
            "student: recall, but the log does not say what was exposed: exposed items cannot be "
            "kept out of the negatives (map log.columns.position or log.stage)"
        )
    dropped = total["stage.recalled"] + total["stage.preranked"]
    if settings.student == "recall" and not dropped and not all_shown:
        found.append(
            "student: recall, but the log holds no candidate that was dropped before the fine "
            "ranker: negatives come from the ranked tail alone, the hardest there are"
        )
    if total["requests_within_top_k"] > 0.5 * total["requests"] and not all_shown:
        found.append(
            f"samples.pointwise: top_k covers every ranked candidate of "
            f"{total['requests_within_top_k'] / total['requests']:.0%} of the requests: lower it, "
            "or there is no tail"
        )
    if total["pairwise.never_drawn"]:
        lost = total["pairwise.never_drawn"] / total["pairwise.drawable"]
        found.append(
            f"samples.pairwise: {lost:.0%} of the strict teacher pairs lie inside one grade, and "
            "delta_ndcg never draws them: set strategy.floor, or a log_rank grade"
        )
    found += _left_unmapped(prepared)
    found += [*judge_grades(total), *lone_candidates(prepared, total)]
    if prepared.mapping.options.teacher_order in ("rerank", "position"):
        found.append(
            f"teacher_order: {prepared.mapping.options.teacher_order} also teaches the rules of "
            "de-duplication and diversity behind that order; rank is the fine ranker's own"
        )
    return found


def _left_unmapped(prepared: Prepared) -> list[str]:
    """Columns of the log that are called as feedback mostly is, where none is mapped."""
    likely = [name for name in prepared.log.schema.names if name.lower() in FEEDBACK]
    if not likely or prepared.mapping.feedback_names:
        return []
    return [
        "no feedback is mapped, so items that users responded to may become negatives: "
        f"log.columns.feedback: [{', '.join(likely)}]"
    ]


def _stages_line(seen: Look) -> str:
    total = seen.total
    num = max(total["candidates"], 1)
    found = {name: total[f"stage.{name}"] for name in reversed(STAGES)}
    shares = ", ".join(f"{name} {n / num:.1%}" for name, n in found.items() if n)
    alone = "; the log holds exposed items only" if found["exposed"] == num else ""
    return f"stages    {shares}{alone}"


def _table_rows(prepared: Prepared, seen: Look, share: float) -> list[dict[str, Any]]:
    total = seen.total
    rows = []
    if prepared.settings.samples.lists:
        num = round(total["requests"] / share)
        weight = _weight("lists", num, seen)
        rows.append({"table": "lists", "rows": num, "at most": num, "bytes": weight, "note": ""})
    later = prepared.kinds_of(2)
    for kind in prepared.kinds:
        at_most = round(total[f"{kind}.at_most"] / share)
        drawn = None if kind in later else round(total[f"{kind}.rows"] / share)
        note = "drawn from the lists, once they are there" if kind in later else ""
        note = note or left_out(kind, total, share)
        weight = None if drawn is None or joined(prepared.features) else _weight(kind, drawn, seen)
        rows.append(
            {"table": kind, "rows": drawn, "at most": at_most, "bytes": weight, "note": note}
        )
    return rows


def _weight(table: str, num_rows: int, seen: Look) -> int | None:
    """Bytes on disk of so many rows of a table, None where no row of it was weighed."""
    weighed = seen.weights[f"{table}.rows"]
    return round(num_rows * seen.weights[f"{table}.bytes"] / weighed) if weighed else None


def current_build(settings: Settings) -> Build | None:
    try:
        return DataSet(place.existing(settings.output)).current()
    except UserError:
        return None


def _state(prepared: Prepared, current: Build | None, dt: str) -> str:
    """What a build of this day would be, against what is published."""
    day = current.days.get(dt) if current else None
    if day is None:
        return "new"
    if day.config_hash != prepared.config_hash:
        return f"settings changed since build {day.build}"
    if day.fingerprint != day_fingerprint(prepared, dt):
        return f"input changed since build {day.build}"
    if current and not is_window_same(day, current):
        return f"days it looks into changed since build {day.build}"
    return f"up to date in build {day.build}"
