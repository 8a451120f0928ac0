"""One build, from settings to the row in `builds`."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from rankdistill import __version__
from rankdistill.engines.catalogue import make_engine
from rankdistill.engines.query import Engine
from rankdistill.errors import InputError, PlaceError
from rankdistill.log.days import Asked
from rankdistill.log.files import LogFile, fingerprint
from rankdistill.one_pass import Tally, collect, reject_parts, work
from rankdistill.prepare import Prepared, day_partition, prepare, repeated_requests
from rankdistill.settings import Settings
from rankdistill.store.builds import Build, BuildInfo, DayFacts
from rankdistill.store.dataset import DataSet
from rankdistill.store.parts import Part

Notify = Callable[..., None]
BAD_SCORES = ("score_nan", "score_infinite", "score_null")


@dataclass(frozen=True)
class BuildResult:
    """What a build did: the build that is now current, and what was counted.

    is_new: False where everything asked for was up to date. parts: files written.
    """

    build: Build
    is_new: bool
    door: Mapping[str, int]
    by_dt: Mapping[str, Mapping[str, int]]
    warnings: tuple[str, ...] = ()
    parts: tuple[Part, ...] = field(default=(), repr=False)

    @property
    def totals(self) -> Counter[str]:
        """The counts of all days together."""
        total: Counter[str] = Counter()
        for counts in self.by_dt.values():
            total.update(counts)
        return total


def silent(event: str, **facts: Any) -> None:
    """A `notify` that says nothing."""


def build(
    settings: Settings,
    *,
    asked: Asked | None = None,
    force: bool = False,
    notify: Notify = silent,
) -> BuildResult:
    """Build what `settings` asks for and publish it whole, or publish nothing.

    asked: the days to build (None: all of the log). force: build even what is up to date, and
    replace a day of which the log now lacks files. notify(event, **facts) hears of progress.
    """
    with closing(make_engine(settings.engine)) as engine:
        prepared = prepare(settings, engine, asked)
        inputs = _input_paths(settings)
        data_set = DataSet.create_or_open(settings.output, inputs)
        current = data_set.current()
        if current is not None and not force:
            ready = up_to_date(prepared, current)
            rest = set(files_by_day(prepared) or ()) - set(ready)
            if ready and not rest:
                counts = {dt: dict(current.days[dt].counts.get("counts", {})) for dt in ready}
                return BuildResult(current, False, {}, counts)
            if ready:
                prepared = prepare(settings, engine, Asked(frozenset(rest)))
                notify("up_to_date", days=ready)
        return _build(prepared, engine, data_set, force, notify)


def _build(
    prepared: Prepared, engine: Engine, data_set: DataSet, force: bool, notify: Notify
) -> BuildResult:
    repeated = repeated_requests(prepared, engine)
    num_rows = engine.count(prepared.query)
    staging = data_set.begin()
    notify("started", rows=num_rows[0], build_id=staging.build_id)
    recipe = prepared.recipe(str(staging.root), staging.build_id, repeated)
    rows = engine.run(
        prepared.query,
        functools.partial(work, recipe),
        lambda done: notify("progress", rows=done),
    )
    parts, tally, sample = collect(rows)

    check_conservation(prepared, tally, num_rows)
    warnings = judge_door(prepared, tally) + advice(prepared)
    parts += reject_parts(recipe, sample)
    # A day whose files hold no usable row (any more) is replaced, too: by nothing.
    dts = {part["dt"] for part in parts} | set(files_by_day(prepared) or ())
    facts = day_facts(prepared, tally, dts)
    if not force:
        refuse_partial(facts, staging.base)
    warnings += left_behind(prepared, facts, staging.base)
    info = BuildInfo(
        config_hash=prepared.config_hash,
        seed=prepared.settings.seed,
        input_fingerprint=prepared.fingerprint,
        code_version=__version__,
    )
    notify("publishing", parts=len(parts))
    made = tuple(Part(**part) for part in parts)
    published = data_set.publish(staging, made, recipe.schemas, facts, info)
    by_dt = {dt: dict(counts) for dt, counts in tally.by_dt.items()}
    return BuildResult(published, True, dict(tally.door), by_dt, tuple(warnings), made)


def up_to_date(prepared: Prepared, current: Build) -> list[str]:
    """The days asked for that are already as this build would make them.

    Where rows decide on the day, all of them or none: which days the log holds is then known
    only from an earlier build of the same files under the same choice of days.
    """
    known = files_by_day(prepared)
    if known is not None:
        return [dt for dt in sorted(known) if _is_same(prepared, dt, current.days.get(dt))]
    same = [dt for dt, day in current.days.items() if _is_same(prepared, dt, day)]
    if prepared.days.asked.only is not None:
        wanted = sorted(prepared.days.asked.only)
        return wanted if set(wanted) <= set(same) else []
    asked = str(prepared.days.asked)
    return [dt for dt in same if current.days[dt].counts.get("asked") == asked]


def _is_same(prepared: Prepared, dt: str, day: DayFacts | None) -> bool:
    if day is None:
        return False
    same_input = day.fingerprint == day_fingerprint(prepared, dt)
    return same_input and day.config_hash == prepared.config_hash


def files_by_day(prepared: Prepared) -> dict[str, list[LogFile]] | None:
    """Files of each day where the log's own partition is the day; None where rows decide."""
    column = day_partition(prepared.log, prepared.mapping, prepared.days)
    if column is None:
        return None
    by_day: dict[str, list[LogFile]] = {}
    for file in prepared.log.files:
        if day := dict(file.partition)[column]:
            by_day.setdefault(day, []).append(file)
    return by_day


def day_files(prepared: Prepared, dt: str) -> list[LogFile]:
    """The input files that may hold rows of `dt`."""
    by_day = files_by_day(prepared)
    own = list(prepared.log.files) if by_day is None else by_day.get(dt, [])
    return own + list(prepared.feedback.files if prepared.feedback else ())


def day_fingerprint(prepared: Prepared, dt: str) -> str:
    return fingerprint(day_files(prepared, dt))


def refuse_empty(tally: Tally) -> None:
    """InputError E0312 where no row is left."""
    if tally.by_dt:
        return
    raise InputError(
        "E0312",
        "no row of the log can be used",
        found=describe_door(tally.door),
        help="`rankdistill explain REASON` says what each reason means; if rows in is 0, the log, "
        "or what log.where leaves of it, is empty",
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


def day_facts(prepared: Prepared, tally: Tally, dts: set[str]) -> dict[str, DayFacts]:
    """What `builds` keeps of each day: enough to tell whether it is up to date."""
    refuse_empty(tally)
    return {
        dt: DayFacts(
            config_hash=prepared.config_hash,
            fingerprint=day_fingerprint(prepared, dt),
            counts={
                "asked": str(prepared.days.asked),
                "files": [file.place for file in day_files(prepared, dt)],
                "counts": dict(tally.by_dt.get(dt, {})),
                "door": dict(tally.door),
                "log": {
                    "teacher_order": prepared.mapping.options.teacher_order,
                    "score_kind": prepared.mapping.options.score_kind,
                    "ranks": prepared.mapping.options.ranks,
                    "feedback": list(prepared.mapping.feedback_names),
                    "response": prepared.mapping.response,
                },
            },
        )
        for dt in sorted(dts)
    }


def refuse_partial(facts: Mapping[str, DayFacts], base: Build | None) -> None:
    """A day may be replaced only by a build that has read every file of the day before."""
    for dt, day in facts.items():
        before = base.days.get(dt) if base else None
        if before is None:
            continue
        lost = sorted(set(before.counts.get("files", ())) - set(day.counts["files"]))
        if lost:
            raise PlaceError(
                "E0207",
                f"dt={dt} would be replaced by a part of it: this build has not read "
                f"{len(lost)} of the files it was built from",
                found=", ".join(lost[:3]) + (", ..." if len(lost) > 3 else ""),
                help="give those files too, or --force if they are gone for good",
            )


def check_conservation(prepared: Prepared, tally: Tally, num_rows: tuple[int, int]) -> None:
    """Every row the engine counted was seen at the door, and every seen row has a fate."""
    door = tally.door
    seen = door["rows_in"] if prepared.mapping.options.layout == "rows" else door["requests_in"]
    assert seen == num_rows[0], f"the door saw {seen} of {num_rows[0]} rows"
    assert door["feedback.rows_in"] == num_rows[1], "a row of the feedback table was lost"
    fates = sum(n for name, n in door.items() if name.startswith(("rejected.", "skipped.")))
    assert door["rows_in"] == door["rows_used"] + fates, "a row has no fate"
    written = sum(counts["candidates"] for counts in tally.by_dt.values())
    assert written == door["rows_used"], "a used row is in no list"


def judge_door(prepared: Prepared, tally: Tally) -> list[str]:
    """Warnings about the rows set aside; raises where they mean that the log is misread."""
    door, options = tally.door, prepared.mapping.options
    zeros, ones = door["rank_zero"], door["rank_one"]
    if options.rank_base == 1 and zeros and zeros >= ones:
        raise InputError(
            "E0303",
            f"{zeros:,} rows have rank 0, but log.rank_base is 1",
            found=f"rank 0 in {zeros:,} rows, rank 1 in {ones:,}",
            help="--set log.rank_base=0 if the log counts ranks from 0",
        )
    bad = {reason: door[f"rejected.{reason}"] for reason in BAD_SCORES}
    warnings = []
    if sum(bad.values()):
        split = ", ".join(f"{name.removeprefix('score_')} {n:,}" for name, n in bad.items())
        text = f"a score is bad in {sum(bad.values()):,} of {door['rows_in']:,} rows"
        if options.on_bad_score == "fail":
            raise InputError("E0301", text, found=split, help="set log.on_bad_score: reject")
        warnings.append(f"{text} ({split}): rows set aside")
    others = {
        name.removeprefix("rejected."): n
        for name, n in sorted(door.items())
        if name.startswith("rejected.") and n and name.removeprefix("rejected.") not in BAD_SCORES
    }
    warnings += [f"{n:,} rows set aside: {reason}" for reason, n in others.items()]
    if door["feedback.rows_in"] and not door["feedback.joined"]:
        warnings.append(
            "no row of the feedback table meets a candidate: are request_id and item_id under "
            "log.feedback.columns the same ids as the log's?"
        )
    warnings += [f"file set aside: {path}: {why}" for path, why in prepared.log.skipped]
    return warnings


def advice(prepared: Prepared) -> list[str]:
    """What the chosen samples do on such a log that may not be what is meant."""
    return [
        f"samples.{kind}: {text}"
        for kind, options in prepared.kinds.items()
        for text in options.advise(prepared.facts)
    ]


def describe_door(door: Mapping[str, int]) -> str:
    """rows in, used, and per reason, in one line."""
    reasons = [
        f"{name.split('.', 1)[1]} {n:,}"
        for name, n in sorted(door.items())
        if n and name.startswith(("rejected.", "skipped."))
    ]
    head = f"rows in {door.get('rows_in', 0):,}, used {door.get('rows_used', 0):,}"
    return ", ".join([head, *reasons]) + _describe_feedback(door)


def _describe_feedback(door: Mapping[str, int]) -> str:
    """What became of the feedback table's rows; nothing where there is none."""
    rows_in = door.get("feedback.rows_in", 0)
    fates = [
        f"{name.split('.', 1)[1]} {n:,}"
        for name, n in sorted(door.items())
        if n and name.startswith("feedback.") and name != "feedback.rows_in"
    ]
    return f"; feedback rows in {rows_in:,}, {', '.join(fates)}" if rows_in else ""


def _input_paths(settings: Settings) -> list[str]:
    sources = [settings.log, settings.log.feedback]
    paths = [source.path for source in sources if source is not None and source.path is not None]
    return [p for path in paths for p in ([path] if isinstance(path, str) else path)]
