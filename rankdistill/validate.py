"""`validate`: config, columns and rows of a log against the contract; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from rankdistill.engines.catalogue import make_engine
from rankdistill.errors import UserError, UserErrors
from rankdistill.feature_tables import table_lines
from rankdistill.judge import describe_door, judge_door, refuse_empty
from rankdistill.look import Look, look
from rankdistill.plan import current_build, misleading, short_history
from rankdistill.prepare import Prepared, prepare
from rankdistill.quality.text_table import text_table
from rankdistill.settings import Settings
from rankdistill.verified import verified

RISING = 0.65  # share of neighbours with a rising score from which a lower score seems better


@dataclass(frozen=True)
class Validation:
    """What was found: faults stop a build, warnings do not, hints propose settings."""

    faults: tuple[UserError, ...]
    warnings: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    door: Mapping[str, int] | None = None
    columns: tuple[dict[str, Any], ...] = ()
    features: tuple[str, ...] = ()

    def text(self) -> str:
        lines = [text_table(self.columns), ""] if self.columns else []
        lines += self.features
        if self.door is not None:
            lines.append(f"door      {describe_door(self.door)}")
        lines += [f"warning   {text}" for text in self.warnings]
        lines += [f"hint      {text}" for text in self.hints]
        lines.append("cannot be built" if self.faults else "good: this log can be built")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        return {
            "faults": [{"code": f.code, "message": f.message} for f in self.faults],
            "warnings": list(self.warnings),
            "hints": list(self.hints),
            "door": dict(self.door or {}),
            "columns": list(self.columns),
            "features": list(self.features),
        }


def validate(settings: Settings) -> Validation:
    """Everything wrong before a row is read, or else what every row of the log shows."""
    with closing(make_engine(settings.engine)) as engine:
        try:
            prepared, told = verified(prepare(settings, engine), engine)
            seen = look(prepared, engine)
        except UserErrors as found:
            return Validation(found.errors)
        except UserError as fault:
            return Validation((fault,))
    faults: tuple[UserError, ...] = ()
    try:
        warnings = told + judge_door(prepared, seen.tally)
        refuse_empty(seen.tally)
    except UserError as fault:
        warnings, faults = [], (fault,)
    if seen.tally.by_dt:
        current = current_build(settings)
        new = sorted(set(seen.tally.by_dt) - set(current.days if current else ()))
        warnings += [*misleading(prepared, seen), *short_history(prepared, current, new)]
    return Validation(
        faults,
        tuple(warnings),
        tuple(_hints(prepared, seen)),
        seen.tally.door,
        _columns(prepared),
        tuple(table_lines(prepared.features)),
    )


def _columns(prepared: Prepared) -> tuple[dict[str, Any], ...]:
    """Canonical column, what it is read from, and how it is read."""
    mapping = prepared.mapping
    return tuple(
        {
            "column": mapped.name,
            "from": ", ".join(".".join(mapping.paths[a]) or '""' for a in mapped.aliases)
            or f"constant {mapped.column.constant!r}",
            "read as": "hash" if mapped.column.hash_of else mapped.kind,
        }
        for mapped in (*mapping.request, *mapping.candidate)
    )


def _hints(prepared: Prepared, seen: Look) -> list[str]:
    door, total, options = seen.tally.door, seen.total, prepared.mapping.options
    hints = []
    neighbours = total["score_neighbours"]
    if neighbours and total["score_inversions"] > RISING * neighbours:
        hints.append(
            "teacher_score rises along the teacher's order: is a lower score better there? "
            "then negate it in the log, or map the rank alone"
        )
    if total["requests_with_rank_gap"] > 0.5 * total["requests"] and options.ranks == "complete":
        hints.append("most requests have gaps in rank: set log.ranks: sampled if that is so")
    if options.rank_base == 1 and door["rank_zero"]:
        hints.append("some ranks are 0: set log.rank_base: 0 if the log counts from 0")
    if total["requests_of_odd_time"]:
        hints.append(
            f"{total['requests_of_odd_time']:,} requests lie before 2000 or after 2099: "
            "is the unit of log.columns.request_time right (s, ms, us, ns)?"
        )
    if total["items_not_nfc"]:
        hints.append(
            f"{total['items_not_nfc']:,} candidates have an item_id that is not in Unicode's form "
            "NFC: it is another item than the one that looks the same; write ids in one form"
        )
    outside, scored = total["scores_outside_unit"], total["score_neighbours"]
    if options.score_kind == "probability" and outside:
        hints.append(f"{outside:,} scores lie outside 0 .. 1: set log.score_kind: logit")
    if options.score_kind == "logit" and scored and not outside:
        hints.append("all scores lie in 0 .. 1: set log.score_kind: probability if they are")
    if prepared.files_by_day is not None:
        hints.append(f"days come from the partition column {prepared.log.day_column}")
    return hints
