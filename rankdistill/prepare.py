"""From settings to a recipe: sources opened, columns bound, options resolved and checked.

Everything that can be known to be wrong before a row is read is found here; `validate`,
`plan` and `build` share it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.counts import items_schema
from rankdistill.catalogue.history import responses_schema
from rankdistill.catalogue.listed import Listed, bind_listed, refuse_none
from rankdistill.catalogue.options import CatalogueOptions
from rankdistill.engines.query import Engine, Query, identity, query_of
from rankdistill.errors import ConfigError, InputError, UserError, UserErrors
from rankdistill.feature_tables import OpenedTable, open_tables, table_files, with_features
from rankdistill.features.join import Join
from rankdistill.lists.batch import Lists
from rankdistill.lists.group import Grouped
from rankdistill.log.bind import bind
from rankdistill.log.canonical import evaluate, knows_exposure
from rankdistill.log.day_folders import days_of, of_days
from rankdistill.log.days import Asked, Days
from rankdistill.log.door import admit, repeat_key
from rankdistill.log.files import LogFile, Opened, fingerprint
from rankdistill.log.mapping import Mapping, raw_schema
from rankdistill.log.rejects import SCHEMA as REJECTS
from rankdistill.log.source import StageConstant, TableSource
from rankdistill.one_pass import KERNEL_VERSION, Recipe
from rankdistill.quality.facts import Facts
from rankdistill.quality.metrics import SCHEMA as METRICS
from rankdistill.quality.segments import segment_faults
from rankdistill.samples.facts import LogFacts
from rankdistill.samples.gather import sample_schema
from rankdistill.samples.mined import check_mined
from rankdistill.samples.positives import PositiveOptions
from rankdistill.settings import Settings

MAX_REPEATED = 1_000_000


@dataclass(frozen=True)
class Prepared:
    """A build that can start: what to read, how to read it, what to make of it.

    lists: without a request, for their columns. catalogue: None where items are not counted;
    listed: the item table; mined: the table of mined items; features: the feature tables;
    log_days: every day of the log, asked for or not, where its own folders are the days.
    """

    settings: Settings
    log: Opened
    feedback: Opened | None
    mapping: Mapping
    days: Days
    kinds: dict[str, Any]
    query: Query
    schemas: dict[str, pa.Schema]
    facts: LogFacts
    lists: Lists
    catalogue: CatalogueOptions | None = None
    listed: tuple[Opened, Listed] | None = None
    mined: Opened | None = None
    features: tuple[OpenedTable, ...] = ()
    log_days: frozenset[str] = frozenset()

    def recipe(
        self,
        root: str,
        build_id: str,
        repeated: tuple[int, ...] = (),
        joins: tuple[Join, ...] = (),
        facts: Facts | None = None,
    ) -> Recipe:
        # Files of days that were not asked for are not read; then no row need be asked again.
        pruned = self.files_by_day is not None
        return Recipe(
            self.mapping,
            replace(self.days, asked=Asked()) if pruned else self.days,
            self.settings.seed,
            self.kinds_of(1),
            root,
            build_id,
            self.schemas,
            repeated,
            self.settings.samples.lists,
            positives_of(self.kinds) if self.catalogue else None,
            joins,
            facts,
        )

    def kinds_of(self, number: int) -> dict[str, Any]:
        """The kinds drawn in pass 1, from a request alone, or in pass 2, with more beside it."""
        second = number == 2
        return {kind: chosen for kind, chosen in self.kinds.items() if bool(chosen.needs) == second}

    @property
    def config_hash(self) -> str:
        """Of everything that decides the rows: options and kernel versions."""
        return f"{self.settings.hash()[:32]}-{KERNEL_VERSION}"

    @property
    def dt_is_partition(self) -> bool:
        return self.days.is_partition(self.mapping)

    @cached_property
    def files_by_day(self) -> dict[str, list[LogFile]] | None:
        """Files of each day where the log's own partition is the day; None where rows decide."""
        return days_of(self.log, self.mapping, self.days)

    @cached_property
    def fingerprint(self) -> str:
        """Which input files this is about."""
        files = self.log.files + (self.feedback.files if self.feedback else ())
        return fingerprint(files + self.side_files)

    @property
    def side_files(self) -> tuple[LogFile, ...]:
        """Files that every day's samples look into, beside the log."""
        listed = self.listed[0].files if self.listed else ()
        mined = self.mined.files if self.mined else ()
        return (*listed, *mined, *table_files(self.features))


def prepare(settings: Settings, engine: Engine, asked: Asked | None = None) -> Prepared:
    """Open, bind, resolve. Raises UserErrors: all that is wrong before a row is read."""
    days = Days(settings.dt, settings.split, asked or Asked())
    options = settings.log
    log = engine.open(options)
    feedback = engine.open(options.feedback) if options.feedback else None
    try:
        mapping = bind(options, log.schema, feedback.schema if feedback else None, log.day_column)
    except UserErrors as found:
        raise settings.placed(found) from None
    faults: list[UserError] = []
    _check_days(days, mapping, faults)
    facts = facts_of(mapping)
    kinds = {}
    for kind, chosen in settings.samples.kinds().items():
        resolved = chosen.for_student(settings.student).for_log(facts)
        kinds[kind] = resolved
        for reason in resolved.refuse(facts):
            faults.append(ConfigError("E0105", f"samples.{kind}: {reason}", key=("samples", kind)))
        if resolved.needs and not settings.samples.lists:
            text = f"samples.lists: false, but {kind} is drawn from the lists as they were built"
            faults.append(ConfigError("E0105", text, key=("samples", "lists")))
    if faults:
        raise settings.placed(UserErrors(faults))
    log_days = frozenset(days_of(log, mapping, days) or ())
    log = of_days(log, mapping, days)
    query = query_of(mapping, log, feedback, dt_is_partition=days.is_partition(mapping))
    raw = raw_schema(mapping, log.schema, feedback.schema if feedback else None)
    lists = no_lists(mapping, days, raw)
    if wrong := [*segment_faults(settings.quality.segments, lists.requests.schema.names)]:
        raise settings.placed(UserErrors(wrong))
    item_id = lists.candidates.schema.field("item_id").type
    catalogue = settings.catalogue
    if catalogue is None and any("catalogue" in chosen.needs for chosen in kinds.values()):
        catalogue = CatalogueOptions()
    schemas = table_schemas(lists, kinds, catalogue, write_lists=settings.samples.lists)
    if settings.quality.measure:
        schemas["metrics"] = METRICS
    try:
        listed = _open_listed(catalogue, engine, item_id)
    except UserErrors as found:
        raise settings.placed(found) from None
    mined = None
    if any("mined" in chosen.needs for chosen in kinds.values()):
        mined = engine.open(TableSource(path=kinds["negatives"].mined.path))
        check_mined(mined.schema, lists.requests.schema.field("user_id").type, item_id)
    try:
        known = frozenset(field.name for field in mapping.request)
        features = open_tables(settings.features, engine, lists, known)
        schemas = with_features(schemas, features, kinds)
    except UserErrors as found:
        raise settings.placed(found) from None
    return Prepared(
        settings,
        log,
        feedback,
        mapping,
        days,
        kinds,
        query,
        schemas,
        facts,
        lists,
        catalogue,
        listed,
        mined,
        features,
        log_days,
    )


def _open_listed(
    catalogue: CatalogueOptions | None, engine: Engine, item_id: pa.DataType
) -> tuple[Opened, Listed] | None:
    if catalogue is None or catalogue.items is None:
        return None
    opened = engine.open(catalogue.items)
    refuse_none(opened.num_rows)
    return opened, bind_listed(catalogue.items, opened.schema, item_id)


def facts_of(mapping: Mapping) -> LogFacts:
    """What the mapped columns say about the log."""
    names = {field.name for field in mapping.candidate}
    options = mapping.options
    stage = options.stage
    return LogFacts(
        has_score="teacher_score" in names,
        has_rank=True,
        ranks_sampled=options.ranks == "sampled",
        has_feedback=bool(mapping.feedback_names),
        has_exposure=knows_exposure(mapping) or _all_exposed(mapping),
        score_kind=options.score_kind if "teacher_score" in names else None,
        feedback=mapping.feedback_names,
        exposed_only=isinstance(stage, StageConstant) and stage.stage == "exposed",
        has_history=bool(mapping.feedback_names)
        and all(mapping.request_field(name) for name in ("user_id", "request_time")),
    )


def positives_of(kinds: dict[str, Any]) -> PositiveOptions:
    """What counts as a positive of the data set: as the first kind that has a rule says."""
    ruled = [chosen for chosen in kinds.values() if isinstance(chosen, PositiveOptions)]
    return ruled[0] if ruled else PositiveOptions()


def no_lists(mapping: Mapping, days: Days, raw: pa.Schema) -> Lists:
    """Lists without a request, from an empty batch sent through the real door."""
    empty = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in raw], schema=raw)
    return admit(Grouped(empty, np.zeros(1, dtype=np.int64)), mapping, days).lists


def table_schemas(
    lists: Lists, kinds: dict[str, Any], catalogue: CatalogueOptions | None, *, write_lists: bool
) -> dict[str, pa.Schema]:
    """The Arrow schema of every table; lists: of the build, none are needed."""
    schemas = {"rejects": REJECTS}
    if write_lists:
        schemas["lists"] = lists.rows().schema
    if catalogue is not None:
        item_id = lists.candidates.schema.field("item_id").type
        schemas["items"] = items_schema(item_id, lists.feedback)
    if any(chosen.needs & {"history", "future"} for chosen in kinds.values()):
        schemas["responses"] = responses_schema(lists)
    return schemas | {kind: sample_schema(kind, lists) for kind in kinds}


def repeated_requests(prepared: Prepared, engine: Engine) -> tuple[int, ...]:
    """Keys of requests that occur in several rows of a lists log (ids and days alone are read).

    Raises InputError E0308 where there are over a million: then it is no request id.
    """
    mapping = prepared.mapping
    if mapping.options.layout != "lists" or prepared.query.group:
        return ()
    keys = identity(mapping, prepared.dt_is_partition)
    found = engine.repeated(prepared.query, keys, MAX_REPEATED + 1)
    if found.num_rows > MAX_REPEATED:
        raise InputError(
            "E0308",
            f"over {MAX_REPEATED:,} request ids occur in more than one row",
            found=f"log.columns.request_id is {mapping.request[0].column}",
            help="map the column that tells requests apart, or set log.layout: rows",
        )
    field, day = mapping.request_field("request_id"), mapping.request_field("dt")
    assert field is not None
    field = replace(field, aliases=mapping.key_aliases)
    repeated: list[int] = []
    for batch in found.combine_chunks().to_batches():
        dates = evaluate(day, batch)[0] if day is not None and prepared.dt_is_partition else None
        repeated += repeat_key(evaluate(field, batch)[0], dates).tolist()
    return tuple(repeated)


def left_out(prepared: Prepared, engine: Engine, num_rows: int) -> dict[str, int]:
    """where.rows in the files and where.left_out of them; nothing where the log has no `where`.

    num_rows: those that are read. A row of a lists log is a request.
    """
    if not prepared.query.where:
        return {}
    whole = engine.count(replace(prepared.query, where=(), feedback=None))[0]
    assert whole >= num_rows, f"{num_rows} of {whole} rows meet log.where"
    return {"where.rows": whole, "where.left_out": whole - num_rows}


def _all_exposed(mapping: Mapping) -> bool:
    stage = mapping.options.stage
    return isinstance(stage, StageConstant) and stage.stage == "exposed"


def _check_days(days: Days, mapping: Mapping, faults: list[UserError]) -> None:
    if days.dt.source == "partition" and mapping.request_field("dt") is None:
        faults.append(
            ConfigError(
                "E0105",
                "dt.from: partition, but the log has no day column",
                help="map it (log.columns.dt), or use dt.from: request_time or constant",
                key=("dt", "from"),
            )
        )
    has_time = mapping.request_field("request_time") is not None
    if days.dt.source == "request_time" and not has_time:
        text = "dt.from: request_time needs log.columns.request_time"
        faults.append(ConfigError("E0105", text, key=("dt", "from")))
    if days.split.train_until is not None and not has_time:
        text = "split needs log.columns.request_time"
        faults.append(ConfigError("E0105", text, key=("split",)))
