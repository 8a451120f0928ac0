"""`check --recompute`: the metrics that a build kept, held against those of its tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from rankdistill import __version__
from rankdistill.engines.duckdb import DuckDb
from rankdistill.engines.duckdb_options import DuckDbOptions
from rankdistill.engines.query import Engine
from rankdistill.errors import ConfigError, InputError
from rankdistill.measuring import facts_for_measures
from rankdistill.prepare import prepare
from rankdistill.quality.facts import Facts
from rankdistill.quality.metrics import TABLE, Day
from rankdistill.quality.options import QualityOptions
from rankdistill.recount import Recounted, recounted
from rankdistill.settings import Settings
from rankdistill.store.builds import Build
from rankdistill.store.dataset import DataSet
from rankdistill.verdict import asked_days, days_read, document_of


def recomputed(
    data_set: DataSet,
    build: Build,
    options: QualityOptions,
    settings: Settings | None,
    dts: Collection[str] | None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(the content of metrics.json, computed again; what a person should know of it).

    settings: how a build that kept no metrics was configured. Raises InputError E0604 where
    metrics that were kept are not those of the tables.
    """
    asked = asked_days(data_set, build, dts)
    stored = days_read(data_set, build) if TABLE in build.tables else {}
    with closing(DuckDb(DuckDbOptions())) as engine:
        new = [dt for dt in asked if dt not in stored]
        facts = _facts(settings, engine, build, new) if new and settings else None
        found = recounted(data_set, build, engine, asked, stored, facts)
    if unlike := differences(found, stored):
        raise _unlike(data_set, build, unlike, stored)
    past = [stored[dt] for dt in sorted(stored) if dt < asked[0]]
    document = document_of(data_set, [found.days[dt] for dt in asked], past, options.chosen_gates())
    return document, tuple(_notes(found, new))


def differences(found: Recounted, stored: Mapping[str, Day]) -> dict[str, list[str]]:
    """measure -> days on which the stored state is not the one computed again."""
    unlike: dict[str, list[str]] = {}
    for dt, day in found.days.items():
        if dt not in stored:
            continue
        kept, made = stored[dt].states, day.states
        for name in sorted({*kept, *made} - {*found.skipped[dt]}):
            one, other = (side[name].as_json() if name in side else None for side in (kept, made))
            if one != other:
                unlike.setdefault(name, []).append(dt)
    return unlike


def _facts(settings: Settings, engine: Engine, build: Build, days: Collection[str]) -> Facts | None:
    """How days without metrics were built, by their config, which must be the one given."""
    prepared = prepare(settings, engine)
    kernel = prepared.config_hash[:32]
    other = [dt for dt in days if build.days[dt].config_hash[:32] != kernel]
    if other:
        raise ConfigError(
            "E0105",
            f"the config is not the one that dt={other[0]} was built with",
            help="give the config of that build, or build the day again",
        )
    quality = settings.quality.model_copy(update={"measure": True})
    return facts_for_measures(
        replace(prepared, settings=settings.model_copy(update={"quality": quality}))
    )


def _unlike(
    data_set: DataSet, build: Build, unlike: Mapping[str, list[str]], stored: Mapping[str, Day]
) -> InputError:
    versions = {
        stored[dt].facts.provenance.get("code_version") for d in unlike.values() for dt in d
    }
    versions -= {__version__}
    named = [f"{name} on {', '.join(days[:5])}{_more(days)}" for name, days in unlike.items()]
    by = f", by version {', '.join(map(str, versions))}, and this is {__version__}"
    return InputError(
        "E0604",
        f"the metrics of build {build.number} of {data_set.root} are not those of the tables"
        f"{by if versions else ''}",
        found="; ".join(named),
        help="rankdistill verify names parts that changed; build these days again with --force",
    )


def _more(days: Collection[str]) -> str:
    return f" and {len(days) - 5} more days" if len(days) > 5 else ""


def _notes(found: Recounted, new: Collection[str]) -> list[str]:
    """What was not compared, and why."""
    by_why: dict[str, set[str]] = {}
    for skipped in found.skipped.values():
        for name, why in skipped.items():
            by_why.setdefault(why, set()).add(name)
    told = [f"not compared: {', '.join(sorted(names))}: {why}" for why, names in by_why.items()]
    if new:
        told.append(f"{len(new)} days had no metrics; they are computed, and compared with none")
    return told
