"""`validate` and `plan`: what is wrong with a log, and what a build of it would make."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from rankdistill.build import describe_door, files_by_day, judge_door, up_to_date
from rankdistill.engines.catalogue import make_engine
from rankdistill.engines.query import Engine, Row
from rankdistill.errors import UserError, UserErrors, render
from rankdistill.lists.group import Grouped
from rankdistill.log.door import admit
from rankdistill.one_pass import Recipe, Tally, by_day, draw_day
from rankdistill.prepare import Prepared, prepare, repeated_requests
from rankdistill.quality.text_table import text_table
from rankdistill.settings import Settings
from rankdistill.store import place
from rankdistill.store.dataset import DataSet

SAMPLE = 0.01
SMALL = 2_000_000  # rows up to which a plan counts all requests anyway


@dataclass(frozen=True)
class Validation:
    """What `validate` found: faults stop a build, warnings do not, hints propose settings."""

    faults: tuple[UserError, ...]
    warnings: tuple[str, ...]
    hints: tuple[str, ...]
    door: Mapping[str, int]
    columns: list[dict[str, Any]]

    @property
    def exit_code(self) -> int:
        return self.faults[0].exit_code if self.faults else 0

    def text(self) -> str:
        lines = [text_table(self.columns)] if self.columns else []
        if self.door:
            lines.append(f"\nrows      {describe_door(self.door)}")
        lines += [f"warning   {text}" for text in self.warnings]
        lines += [f"hint      {text}" for text in self.hints]
        lines += [render(fault) for fault in self.faults]
        lines.append("the log can be built" if not self.faults else "the log cannot be built")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        return {
            "faults": [{"code": f.code, "message": f.message} for f in self.faults],
            "warnings": list(self.warnings),
            "hints": list(self.hints),
            "door": dict(self.door),
            "columns": self.columns,
        }


@dataclass(frozen=True)
class Plan:
    """What a build would make. share: of the requests that were looked at (1: exact)."""

    lines: tuple[str, ...]
    days: list[dict[str, Any]]
    tables: list[dict[str, Any]]
    warnings: tuple[str, ...]
    share: float

    def text(self) -> str:
        how = "exact" if self.share == 1 else f"estimated from {self.share:.0%} of the requests"
        blocks = [*self.lines, "", text_table(self.days), "", f"rows ({how})"]
        blocks.append(text_table(self.tables))
        blocks += [f"warning: {text}" for text in self.warnings]
        return "\n".join(blocks)

    def as_dict(self) -> dict[str, Any]:
        return {
            "settings": list(self.lines),
            "days": self.days,
            "tables": self.tables,
            "warnings": list(self.warnings),
            "share": self.share,
        }


def validate(settings: Settings) -> Validation:
    """Config, columns and rows against the contract; the whole log is read, nothing written."""
    with closing(make_engine(settings.engine)) as engine:
        try:
            prepared = prepare(settings, engine)
            tally = look(prepared, engine, 1.0)
        except UserErrors as found:
            return Validation(found.errors, (), (), {}, [])
        except UserError as fault:
            return Validation((fault,), (), (), {}, [])
    columns = [
        {
            "column": mapped.name,
            "from": ", ".join(".".join(prepared.mapping.paths[a]) for a in mapped.aliases)
            or repr(mapped.column.constant),
            "kind": mapped.kind,
        }
        for mapped in (*prepared.mapping.request, *prepared.mapping.candidate)
    ]
    try:
        warnings, faults = judge_door(prepared, tally), []
    except UserError as fault:
        warnings, faults = [], [fault]
    hints = _hints(prepared, tally)
    warnings += misleading(prepared)
    return Validation(tuple(faults), tuple(warnings), tuple(hints), tally.door, columns)


def plan(settings: Settings, *, exact: bool = False) -> Plan:
    """What `build` would do. exact: on all requests, else on a hashed sample of a large log."""
    with closing(make_engine(settings.engine)) as engine:
        prepared = prepare(settings, engine)
        num_rows = engine.count(prepared.query)[0]
        share = 1.0 if exact or num_rows <= SMALL else SAMPLE
        tally = look(prepared, engine, share)
        fresh = _fresh_days(prepared)
    scale = 1 / share
    days = [
        {
            "dt": dt,
            "requests": round(counts["requests"] * scale),
            "candidates": round(counts["candidates"] * scale),
            "state": "up to date" if dt in fresh else "to build",
        }
        for dt, counts in sorted(tally.by_dt.items())
    ]
    return Plan(
        tuple(_settings_lines(prepared, num_rows)),
        days,
        _table_rows(prepared, tally, scale),
        tuple(misleading(prepared)),
        share,
    )


def look(prepared: Prepared, engine: Engine, share: float) -> Tally:
    """The counts of a build on a hashed share of the requests, without writing anything."""
    options = prepared.mapping.options
    sampled = options.model_copy(update={"sample_requests": share * options.sample_requests})
    mapping = replace(prepared.mapping, options=sampled)
    repeated = repeated_requests(prepared, engine)
    recipe = replace(prepared, mapping=mapping).recipe("", "plan", repeated)
    tally = Tally()
    for row in engine.run(prepared.query, functools.partial(count, recipe), lambda rows: None):
        value = json.loads(row["value"])
        tally.add(
            Tally(Counter(value["door"]), {dt: Counter(c) for dt, c in value["by_dt"].items()})
        )
    return tally


def count(recipe: Recipe, batches: Iterable[Grouped], task: str) -> Iterator[Row]:
    """Like the one pass, but only counting."""
    tally = Tally()
    for grouped in batches:
        admitted = admit(grouped, recipe.mapping, recipe.days, recipe.repeated)
        tally.door.update(admitted.counts)
        for dt, lists in by_day(admitted):
            counts = tally.by_dt.setdefault(dt, Counter())
            for _ in draw_day(recipe, lists, counts):
                pass
    yield {"kind": "tally", "value": json.dumps({"door": tally.door, "by_dt": tally.by_dt})}


def misleading(prepared: Prepared) -> list[str]:
    """Choices that work and mislead, each with the reason."""
    found = []
    for kind, options in prepared.kinds.items():
        found += [f"samples.{kind}: {text}" for text in options.advise(prepared.facts)]
    facts, settings = prepared.facts, prepared.settings
    if settings.student == "recall" and not facts.has_exposure:
        found.append(
            "student: recall, but the log does not say what was exposed: exposed items cannot be "
            "kept out of the negatives (map log.columns.position or log.stage)"
        )
    return found


def exchanges(prepared: Prepared) -> list[str]:
    """What moves data between tasks, by name."""
    options = prepared.mapping.options
    found = []
    if prepared.query.group:
        why = "rows to requests" if options.layout == "rows" else "feedback to its request"
        found.append(f"grouping by request ({why})")
    else:
        found.append("none for the lists; a count of request ids finds repeated ones")
    return found


def _settings_lines(prepared: Prepared, num_rows: int) -> list[str]:
    settings, log = prepared.settings, prepared.log
    unit = "rows" if prepared.mapping.options.layout == "rows" else "lists"
    lines = [
        f"log       {num_rows:,} {unit} in {len(log.files)} files, teacher order: "
        f"{prepared.mapping.options.teacher_order}",
        f"output    {settings.output}, engine {settings.engine.kind}, seed {settings.seed}",
        f"student   {settings.student}",
        f"exchanges {'; '.join(exchanges(prepared))}",
    ]
    for kind, options in prepared.kinds.items():
        dump = options.model_dump(mode="json", exclude_none=True)
        lines.append(f"{kind:9} {json.dumps(dump)}")
    return lines


def _table_rows(prepared: Prepared, tally: Tally, scale: float) -> list[dict[str, Any]]:
    total: Counter[str] = Counter()
    for counts in tally.by_dt.values():
        total.update(counts)
    rows = [{"table": "lists", "rows": round(total["requests"] * scale), "at most": None}]
    for kind in prepared.kinds:
        rows.append(
            {
                "table": kind,
                "rows": round(total[f"{kind}.rows"] * scale),
                "at most": round(total[f"{kind}.at_most"] * scale),
            }
        )
    return rows


def _fresh_days(prepared: Prepared) -> set[str]:
    output = prepared.settings.output
    try:
        current = DataSet(place.existing(output)).current()
    except UserError:
        return set()
    return set(up_to_date(prepared, current)) if current else set()


def _hints(prepared: Prepared, tally: Tally) -> list[str]:
    door, options = tally.door, prepared.mapping.options
    total: Counter[str] = Counter()
    for counts in tally.by_dt.values():
        total.update(counts)
    hints = []
    neighbours = total["score_neighbours"]
    if neighbours and total["score_inversions"] > 0.65 * neighbours:
        hints.append(
            "teacher_score rises along the teacher's order: is a lower score better there? "
            "then negate it in the log, or map rank alone"
        )
    if total["requests_with_rank_gap"] > 0.5 * total["requests"] and options.ranks == "complete":
        hints.append("most requests have gaps in rank: set log.ranks: sampled if that is so")
    if options.rank_base == 1 and door["rank_zero"]:
        hints.append("some ranks are 0: set log.rank_base: 0 if the log counts from 0")
    by_day_files = files_by_day(prepared)
    if by_day_files is not None:
        hints.append(f"days come from the partition column {prepared.log.day_column}")
    return hints
