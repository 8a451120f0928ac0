"""One build, from settings to the row in `builds`."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from rankdistill import __version__, second_pass
from rankdistill.catalogue.listed import judge_listed
from rankdistill.day_state import (
    day_files,
    day_fingerprint,
    left_behind,
    refuse_partial,
    up_to_date,
    with_followers,
)
from rankdistill.derive import HIDDEN, Windows, derive, listed_rows
from rankdistill.disk import no_room
from rankdistill.engines.catalogue import make_engine
from rankdistill.engines.query import Engine
from rankdistill.errors import PlaceError
from rankdistill.feature_tables import joined, judge_tables, stage, table_facts
from rankdistill.features import join
from rankdistill.judge import (
    advice,
    check_conservation,
    judge_days,
    judge_door,
    judge_grades,
    judge_negatives,
    lone_candidates,
    missing_days,
    refuse_empty,
)
from rankdistill.log.days import Asked
from rankdistill.measuring import (
    crowded_segments,
    days_of_metrics,
    facts_for_measures,
    last_begun,
    metrics_parts,
    pass_gates,
)
from rankdistill.one_pass import Tally, collect, reject_parts, summed, work
from rankdistill.prepare import Prepared, left_out, prepare, repeated_requests
from rankdistill.settings import Settings
from rankdistill.store.builds import Build, BuildInfo, DayFacts
from rankdistill.store.dataset import DataSet, Staging
from rankdistill.store.parts import Part
from rankdistill.store.staging import remove_parts
from rankdistill.verdict import keep_beside, mend_beside
from rankdistill.verified import verified
from rankdistill.windows import beginnings, empty_catalogues, refuse_short

Notify = Callable[..., None]


@dataclass(frozen=True)
class BuildResult:
    """What a build did: the build that is now current, and what was counted.

    is_new: False where everything asked for was up to date. parts: files written. features: the
    feature tables as they are configured now, for a trainer to find. notes: what a reader should
    know and need not mend. mended: files beside the tables that were lost and are there again.
    """

    build: Build
    is_new: bool
    door: Mapping[str, int]
    by_dt: Mapping[str, Mapping[str, int]]
    warnings: tuple[str, ...] = ()
    parts: tuple[Part, ...] = field(default=(), repr=False)
    features: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()

    @property
    def totals(self) -> Counter[str]:
        """The counts of all days together."""
        return summed(self.by_dt)


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
    made = _asked_for(settings, asked, force, notify)
    missing = missing_days(asked or Asked(), made.build.days)
    return replace(made, warnings=(*made.warnings, *missing))


def _asked_for(settings: Settings, asked: Asked | None, force: bool, notify: Notify) -> BuildResult:
    with closing(make_engine(settings.engine)) as engine:
        prepared = prepare(settings, engine, asked)
        inputs = _input_paths(settings)
        data_set = DataSet.create_or_open(settings.output, inputs)
        current = data_set.current()
        if current is not None and not force:
            ready = up_to_date(prepared, current)
            rest = set(prepared.files_by_day or ()) - set(ready)
            if ready and not rest:
                return _as_it_is(prepared, data_set, current, ready)
            rest = with_followers(rest, ready, current)
            if ready := sorted(set(ready) - rest):
                prepared = prepare(settings, engine, Asked(frozenset(rest)))
                notify("up_to_date", days=ready)
        return _build(prepared, engine, data_set, force, notify)


def _as_it_is(
    prepared: Prepared, data_set: DataSet, current: Build, ready: Sequence[str]
) -> BuildResult:
    """The current build, of which all that is asked for is up to date."""
    counts = {dt: dict(current.days[dt].counts.get("counts", {})) for dt in ready}
    tables = tuple(table_facts(prepared.features))
    gates = prepared.settings.quality.chosen_gates()
    mended, warnings = mend_beside(data_set, current, gates)
    warnings += _not_applied(prepared, current, ready)
    return BuildResult(
        current, False, {}, counts, tuple(warnings), features=tables, mended=tuple(mended)
    )


def _not_applied(prepared: Prepared, current: Build, ready: Sequence[str]) -> list[str]:
    """Warnings of settings of quality that changed since: no row does, so nothing is built."""
    gates, measures = _of_quality(prepared)
    kept = [current.days[dt].counts for dt in ready]
    told = []
    if any(counts.get("gates", gates) != gates for counts in kept):
        told.append(
            "quality.gates changed since this was built, and stopped nothing now: rankdistill check"
            " --config FILE judges by them"
        )
    changed = {
        k for counts in kept for k, v in counts.get("measures", {}).items() if measures[k] != v
    }
    if changed:
        told.append(
            f"quality.{', '.join(sorted(changed))} changed since this was built, and the measures "
            "are as they were: rankdistill build --force measures anew"
        )
    return told


def _of_quality(prepared: Prepared) -> tuple[dict[str, Any], dict[str, Any]]:
    """(gates, what else decides the measures), as `builds` keeps them."""
    chosen = prepared.settings.quality.model_dump(mode="json", exclude={"fail_on"})
    return chosen.pop("gates"), chosen


def _build(
    prepared: Prepared, engine: Engine, data_set: DataSet, force: bool, notify: Notify
) -> BuildResult:
    # Before a row is read, as far as the days are known by now.
    data_set.refuse_types(prepared.schemas)
    days = prepared.files_by_day or ()
    if not force:
        refuse_partial(prepared, days, data_set.current())
    refuse_short(prepared, days, data_set.current())
    staging = data_set.begin()
    try:
        return _publish(prepared, engine, data_set, staging, force, notify)
    except Exception as fault:
        if not staging.is_there:
            raise _went_away(staging) from fault
        lacking = None
        with suppress(OSError):  # the fault that is told comes first; gc finds what is left
            if isinstance(fault, OSError):
                lacking = no_room(fault, staging.root, data_set.staged_bytes(staging))
            data_set.discard(staging)
        if lacking is not None:
            raise lacking from fault
        raise


def _went_away(staging: Staging) -> PlaceError:
    return PlaceError(
        "E0202",
        f"the output folder went away, or was replaced, while it was built into: {staging.root}",
        help="put it back where it was, and build again",
    )


def _publish(
    prepared: Prepared,
    engine: Engine,
    data_set: DataSet,
    staging: Staging,
    force: bool,
    notify: Notify,
) -> BuildResult:
    prepared, told = verified(prepared, engine)
    repeated = repeated_requests(prepared, engine)
    num_rows = engine.count(prepared.query)
    notify("started", rows=num_rows[0], build_id=staging.build_id)
    root, build_id = str(staging.root), staging.build_id
    joins, features, feature_counts = stage(joined(prepared.features), engine, root, build_id)
    facts = facts_for_measures(prepared)
    recipe = prepared.recipe(root, build_id, repeated, joins, facts)
    rows = engine.run(
        prepared.query,
        functools.partial(work, recipe),
        lambda done: notify("progress", rows=done),
    )
    parts, tally, sample, states = collect(rows)
    tally.door.update(left_out(prepared, engine, num_rows[0]))

    check_conservation(prepared, tally, num_rows)
    warnings = told + judge_door(prepared, tally) + advice(prepared)
    refuse_short(prepared, tally.by_dt, staging.base, tally.other_days)
    parts += reject_parts(recipe, sample)
    derived = derive(prepared, engine, data_set, staging, parts, notify, joins)
    tally.add(derived.tally)
    states.add(derived.states)
    side_counts = {**feature_counts, **listed_rows(prepared, engine, derived.hidden)}
    tally.door.update(side_counts)
    warnings += judge_tables(side_counts) + judge_listed(side_counts)
    join.let_go()
    second_pass.let_go()
    made = tuple(p for p in parts if p.table not in HIDDEN) + tuple(derived.parts)
    # A day whose files hold no usable row (any more) is replaced, too: by nothing.
    dts = {part.dt for part in made} | set(prepared.files_by_day or ())
    days = day_facts(prepared, tally, dts, derived.windows)
    if not force:
        refuse_partial(prepared, days, staging.base)
    warnings += judge_days(dts, tally.by_dt)
    warnings += judge_grades(summed(tally.by_dt)) + judge_negatives(summed(tally.by_dt))
    warnings += [
        *lone_candidates(prepared, summed(tally.by_dt)),
        *empty_catalogues(prepared, tally.by_dt, staging.base),
        *left_behind(prepared, days, staging.base),
    ]
    notes = beginnings(prepared, tally.by_dt, staging.base, tally.other_days)
    info = BuildInfo(
        config_hash=prepared.config_hash,
        seed=prepared.settings.seed,
        input_fingerprint=prepared.fingerprint,
        code_version=__version__,
    )
    remove_parts(staging.root, derived.hidden + features)
    if facts is not None:
        known = {
            *tally.other_days,
            *prepared.log_days,
            *(staging.base.days if staging.base else ()),
        }
        reached = last_begun(known, prepared.settings.dt.time_zone)
        warnings += crowded_segments(states, prepared.settings.quality)
        measured = days_of_metrics(facts, states, tally.by_dt, dts, reached)
        made += tuple(metrics_parts(measured, root, build_id, recipe.schemas))
        options = prepared.settings.quality
        warnings += pass_gates(measured, options, data_set, staging, warnings)
    notify("publishing", parts=len(made))
    published = data_set.publish(staging, made, recipe.schemas, days, info)
    warnings += keep_beside(data_set, published, prepared.settings.quality.chosen_gates())
    by_dt = {dt: dict(counts) for dt, counts in tally.by_dt.items()}
    tables = tuple(table_facts(prepared.features))
    return BuildResult(
        published, True, dict(tally.door), by_dt, tuple(warnings), made, tables, tuple(notes)
    )


def day_facts(
    prepared: Prepared, tally: Tally, dts: set[str], windows: Windows
) -> dict[str, DayFacts]:
    """What `builds` keeps of each day: enough to tell whether it is up to date."""
    refuse_empty(tally)
    gates, measures = _of_quality(prepared)
    return {
        dt: DayFacts(
            config_hash=prepared.config_hash,
            fingerprint=day_fingerprint(prepared, dt),
            counts={
                "asked": str(prepared.days.asked),
                "files": [file.place for file in day_files(prepared, dt)],
                "counts": dict(tally.by_dt.get(dt, {})),
                "door": dict(tally.door),
                "window": dict(windows.get(dt, {})),
                "features": table_facts(prepared.features),
                "gates": gates,
                "measures": measures,
                "log": {
                    "teacher_order": prepared.mapping.options.teacher_order,
                    "score_kind": prepared.facts.score_kind,
                    "ranks": prepared.mapping.options.ranks,
                    "feedback": list(prepared.mapping.feedback_names),
                    "response": prepared.mapping.response,
                },
            },
        )
        for dt in sorted(dts)
    }


def _input_paths(settings: Settings) -> list[str]:
    items = settings.catalogue.items if settings.catalogue else None
    sources = [settings.log, settings.log.feedback, items, *settings.features]
    paths = [source.path for source in sources if source is not None and source.path is not None]
    return [p for path in paths for p in ([path] if isinstance(path, str) else path)]
