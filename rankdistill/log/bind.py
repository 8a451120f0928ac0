"""Column options against a source's schema: a `Mapping`, or every fault that stands in its way."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from rankdistill.contract import SAMPLE_TABLES, table_contract
from rankdistill.errors import ConfigError, UserError, UserErrors, closest
from rankdistill.log.casts import cast, plain
from rankdistill.log.conditions import check_conditions
from rankdistill.log.lookup import Lookup, MappedField, key_of, unlike_ids
from rankdistill.log.mapping import (
    CANDIDATE_FIELDS,
    ORDER_NEEDS,
    OWN_NAMES,
    REQUEST_FIELDS,
    Groups,
    Mapping,
    read_id,
)
from rankdistill.log.source import (
    Column,
    Columns,
    FeedbackSource,
    LogOptions,
    StageFromColumn,
    StageFromFlags,
)

RESERVED = ("split", "stage", "source", "probability")
FURTHEST_FIRST = ("exposed", "reranked", "ranked", "preranked", "recalled")


def bind(
    options: LogOptions,
    schema: pa.Schema,
    feedback: pa.Schema | None = None,
    day_column: str | None = None,
) -> Mapping:
    """The mapping of `options` over a source with `schema`.

    day_column: the source's own partition column for days, mapped to dt where dt is not.

    Raises UserErrors with every unknown column, every type that does not fit, and every
    choice that the columns cannot support.
    """
    columns = _with_own_names(options, schema, day_column)
    lookup = Lookup(options, schema)
    for name in ("request_id", "item_id"):
        if getattr(columns, name) is None:
            lookup.missing(name)
    request, candidate = _request_fields(lookup, columns), _candidate_fields(lookup, columns)
    stage = _stage(lookup, options)
    mapping = Mapping(
        options, lookup.paths, tuple(request), tuple(candidate), stage, _groups(columns)
    )
    errors = lookup.errors
    errors += check_conditions(options.where, lookup)
    if options.feedback is not None:
        assert feedback is not None
        mapping, more = _with_feedback(mapping, options.feedback, lookup, feedback)
        errors += more
    elif not errors:
        mapping = _with_key(mapping, lookup)
    errors += _clashes(mapping) + _unsupported(mapping)
    if errors:
        raise UserErrors(errors)
    return mapping


def _with_own_names(options: LogOptions, schema: pa.Schema, day_column: str | None) -> Columns:
    """The column options, completed by columns that carry our names (generic) and by the day.

    A name that is configured as null stays out.
    """
    columns = options.columns
    own = {}
    if options.preset == "generic":
        own = {name: Column(name=name) for name in OWN_NAMES if name in schema.names}
    if day_column is not None:
        own["dt"] = Column(name=day_column)
    left_out = columns.model_fields_set
    return columns.model_copy(update={k: v for k, v in own.items() if k not in left_out})


def _request_fields(lookup: Lookup, columns: Columns) -> list[MappedField]:
    fields = [
        lookup.field(name, kind, column, f"columns.{name}")
        for name, kind in REQUEST_FIELDS.items()
        if (column := getattr(columns, name)) is not None
    ]
    for name, column in columns.request.items():
        fields.append(lookup.field(name, "any", column, f"columns.request.{name}"))
    return fields


def _candidate_fields(lookup: Lookup, columns: Columns) -> list[MappedField]:
    found = [
        (name, kind, column, name)
        for name, kind in CANDIDATE_FIELDS.items()
        if (column := getattr(columns, name)) is not None
    ]
    for name, column in columns.teacher_scores.items():
        found.append((f"teacher_score_{name}", "score", column, f"teacher_scores.{name}"))
    found += [(name, "any", column, f"item.{name}") for name, column in columns.item.items()]
    for name, column in columns.feedback.items():
        found.append((name, "number", column, f"feedback.{name}"))
    return [
        lookup.field(name, kind, column, f"columns.{place}", listed=lookup.lists)
        for name, kind, column, place in found
    ]


def _groups(columns: Columns) -> Groups:
    channel = ("recall_channel",) if columns.recall_channel is not None else ()
    scores = tuple(f"teacher_score_{name}" for name in columns.teacher_scores)
    return {
        "request": tuple(columns.request),
        "item": (*channel, *scores, *columns.item),
        "feedback": tuple(columns.feedback),
    }


def _stage(lookup: Lookup, options: LogOptions) -> tuple[tuple[str, tuple[str, ...]], ...]:
    rule = options.stage
    if isinstance(rule, StageFromColumn):
        column = Column(column=rule.column)
        found = lookup.field("stage", "stage", column, "stage.column", listed=lookup.lists)
        return (("column", found.aliases),)
    if not isinstance(rule, StageFromFlags):
        return ()
    stages = []
    for stage in FURTHEST_FIRST:
        flags = rule.flags.get(stage, [])  # type: ignore[call-overload]
        for flag in [flags] if isinstance(flags, str) else flags:
            place, column = f"stage.flags.{stage}", Column(column=flag)
            found = lookup.field(stage, "flag", column, place, listed=lookup.lists)
            stages.append((f"{stage}:{flag}", found.aliases))
    return tuple(stages)


def _with_feedback(
    mapping: Mapping, source: FeedbackSource, log: Lookup, schema: pa.Schema
) -> tuple[Mapping, list[UserError]]:
    """The mapping with the columns of a feedback table, and what is wrong with these."""
    lookup, own = Lookup(source, schema, where="log.feedback", prefix="f"), source.columns
    keys = [
        lookup.field(name, "id", getattr(own, name), f"columns.{name}")
        for name in ("request_id", "item_id")
    ]
    fields = [
        lookup.field(name, "number", column, f"columns.feedback.{name}")
        for name, column in own.feedback.items()
    ]
    if not lookup.errors and not log.errors:
        lookup.errors += _unlike_keys(mapping, log, keys, lookup)
    groups = {**mapping.groups, "feedback": (*mapping.feedback_names, *own.feedback)}
    bound = replace(
        mapping,
        groups=groups,
        feedback_fields=(*keys, *fields),
        feedback_paths=lookup.paths,
    )
    if not lookup.errors and not log.errors:
        bound = _with_key(bound, log, lookup)
    return bound, lookup.errors


def _with_key(mapping: Mapping, log: Lookup, feedback: Lookup | None = None) -> Mapping:
    """`mapping` whose engines also read the request ids as the ids they are, where that tells
    requests apart in another way than the source columns do."""
    request = mapping.request_field("request_id")
    assert request is not None
    ids, paths = dict(mapping.ids), [dict(mapping.paths), dict(mapping.feedback_paths)]
    sides = [(request, log), *([(mapping.feedback_fields[0], feedback)] if feedback else [])]
    for (field, lookup), known in zip(sides, paths, strict=False):
        kind = lookup.type_of(field)
        if kind is None or pa.types.is_null(kind):
            continue
        found = plain(pa.nulls(0, kind)).type
        # An id beyond int64 is text; in the source it may be a number, and meets no text.
        read_as = field.column.read_as or ("text" if feedback and found == pa.uint64() else None)
        is_number = pa.types.is_integer(found) and found != pa.uint64()
        if {"int": not is_number, "text": not pa.types.is_string(found)}.get(read_as or "", False):
            (alias,) = field.aliases
            known[read_id(alias)], ids[read_id(alias)] = known[alias], str(read_as)
    return replace(mapping, paths=paths[0], feedback_paths=paths[1], ids=ids)


def _unlike_keys(
    mapping: Mapping, log: Lookup, keys: list[MappedField], feedback: Lookup
) -> list[UserError]:
    """Keys that cannot meet: 1 is not "1", and only one column can be grouped with another."""
    request, item = mapping.request_field("request_id"), mapping.candidate_field("item_id")
    assert request is not None
    assert item is not None
    faults: list[UserError] = []
    if len(request.aliases) != 1 or len(keys[0].aliases) != 1:
        faults.append(
            ConfigError(
                "E0105",
                "a feedback table joins on one request_id column; hash_of cannot",
                found=f"{request.place}, {keys[0].place}",
                help="write the request id into both tables",
                key=key_of(keys[0].place),
            )
        )
    for mine, other in zip((request, item), keys, strict=True):
        types = log.type_of(mine), feedback.type_of(other)
        if log.lists and mine is item and types[0] is not None:
            types = types[0].value_type, types[1]
        ids = _read(mine, types[0]), _read(other, types[1])
        if None in ids or ids[0] == ids[1]:
            continue
        found = f"{types[0]} in the log, {types[1]} in the feedback table"
        pair, also = f"{mine.place} and {other.place}", " (or let the log's have `as`)"
        faults.append(unlike_ids(pair, other, feedback, ids[0], found, also))
    return faults


def _read(field: MappedField, kind: pa.DataType | None) -> pa.DataType | None:
    """int64 or string: what ids of a column of type `kind` become."""
    if kind is None or pa.types.is_null(kind):
        return None
    return cast(field.kind, pa.nulls(0, kind))[0].type


def _clashes(mapping: Mapping) -> list[UserError]:
    faults: list[UserError] = []
    seen: set[str] = set(RESERVED)
    # Feedback stands in the sample tables too, beside label, weight, grade, ...
    of_samples = {c["name"] for table in SAMPLE_TABLES for c in table_contract(table)["columns"]}
    for mapped in (*mapping.request, *mapping.candidate, *mapping.feedback_fields[2:]):
        is_feedback = mapped.name in mapping.feedback_names
        if mapped.name in seen or (is_feedback and mapped.name in of_samples):
            faults.append(
                ConfigError(
                    "E0103",
                    f'the name "{mapped.name}" ({mapped.place}) is taken by another column',
                    found=", ".join(sorted(seen | of_samples if is_feedback else seen)),
                    help="give it another name on the left side of the mapping",
                    key=key_of(mapped.place),
                )
            )
        seen.add(mapped.name)
    return faults


def _unsupported(mapping: Mapping) -> list[UserError]:
    """Choices that the mapped columns cannot support."""
    options = mapping.options
    names = {f.name for f in mapping.candidate}
    feedback = mapping.feedback_names
    faults: list[UserError] = []
    needed = ORDER_NEEDS.get(options.teacher_order)
    if needed and needed not in names:
        faults.append(
            ConfigError(
                "E0105",
                f"log.teacher_order: {options.teacher_order} needs log.columns.{needed}",
                found=", ".join(sorted(names)),
                help=f"map it, or choose another teacher_order: --set log.columns.{needed}=COLUMN",
                key=("log", "teacher_order"),
            )
        )
    if options.teacher_order == "rank" and not names & {"rank", "teacher_score"}:
        faults.append(
            ConfigError(
                "E0105",
                "log.teacher_order: rank needs log.columns.rank or log.columns.teacher_score",
                found=", ".join(sorted(names)),
                help="or choose teacher_order: rerank, position or list_order",
                key=("log", "teacher_order"),
            )
        )
    for name in sorted(set(options.response) - set(feedback)):
        near = closest(name, feedback)
        faults.append(
            ConfigError(
                "E0102",
                f'log.response names "{name}", which is no feedback column',
                found=", ".join(feedback) or "no feedback is mapped",
                help=f'did you mean "{near}"?' if near else "map it under log.columns.feedback",
                key=("log", "response", name),
            )
        )
    return faults
