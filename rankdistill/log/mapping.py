"""From source columns to canonical ones: bound once to a source's schema, then applied per batch.

Engines read the `paths` of a mapping under the aliases s0, s1, ... and know nothing else of
the log; what the columns mean is decided here, on Arrow batches, the same in every engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pyarrow as pa

from rankdistill.errors import ConfigError, InputError, UserError, UserErrors, closest
from rankdistill.lists.group import IS_FEEDBACK
from rankdistill.log.casts import KINDS, kind_fault
from rankdistill.log.source import (
    Column,
    LogOptions,
    StageFromColumn,
    StageFromFlags,
    TableSource,
)

# Canonical columns: (level, kind, where in the configuration).
REQUEST_FIELDS = {"request_id": "id", "user_id": "id", "request_time": "time", "dt": "text"}
CANDIDATE_FIELDS = {
    "item_id": "id",
    "substage": "rank",
    "rank": "rank",
    "rerank_rank": "rank",
    "position": "rank",
    "teacher_score": "score",
    "prerank_score": "score",
    "recall_channel": "any",
}
# A log that uses our own names needs no mapping for these.
OWN_NAMES = (*REQUEST_FIELDS, *CANDIDATE_FIELDS)
ORDER_NEEDS = {"rerank": "rerank_rank", "position": "position", "score": "teacher_score"}
TEXT_FORMATS = ("csv", "tsv", "trec")

Path = tuple[str, ...]


@dataclass(frozen=True)
class MappedField:
    """One canonical column: its kind of cast and the aliases it reads."""

    name: str
    kind: str
    column: Column
    aliases: tuple[str, ...]
    place: str


@dataclass(frozen=True)
class Mapping:
    """A log's columns bound to a source schema. Plain data: it travels to the workers."""

    options: LogOptions
    paths: dict[str, Path]
    request: tuple[MappedField, ...]
    candidate: tuple[MappedField, ...]
    stage: tuple[tuple[str, tuple[str, ...]], ...]
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    feedback_paths: dict[str, Path] = field(default_factory=dict)
    feedback_fields: tuple[MappedField, ...] = ()

    def request_field(self, name: str) -> MappedField | None:
        return next((f for f in self.request if f.name == name), None)

    def candidate_field(self, name: str) -> MappedField | None:
        return next((f for f in self.candidate if f.name == name), None)

    @property
    def group_aliases(self) -> tuple[str, ...]:
        """The source columns that together are the request's identity."""
        key = self.request_field("request_id")
        assert key is not None
        return key.aliases

    @property
    def feedback_names(self) -> tuple[str, ...]:
        return self.groups["feedback"]

    @property
    def response(self) -> dict[str, float]:
        """Least value of each feedback column that counts as a response (default: above 0)."""
        above_zero = 5e-324
        chosen = self.options.response or dict.fromkeys(self.feedback_names, above_zero)
        return dict(chosen)


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
    if day_column is not None and options.columns.dt is None:
        columns = options.columns.model_copy(update={"dt": Column(name=day_column)})
        options = options.model_copy(update={"columns": columns})
    binder = _Binder(options, schema)
    request, candidate, groups = binder.fields()
    stage = binder.stage()
    mapping = Mapping(options, {}, tuple(request), tuple(candidate), stage, groups)
    if options.feedback is not None:
        assert feedback is not None
        mapping = _bind_feedback(mapping, options, feedback, binder)
    _check_choices(mapping, binder.errors)
    if binder.errors:
        raise UserErrors(binder.errors)
    return replace(mapping, paths=dict(binder.aliases_by_name()))


class _Binder:
    """Collects aliases and errors while fields are looked up."""

    def __init__(
        self,
        options: TableSource,
        schema: pa.Schema,
        *,
        where: str = "log",
        prefix: str = "s",
    ) -> None:
        self.options, self.schema, self.where, self.prefix = options, schema, where, prefix
        self.lists = isinstance(options, LogOptions) and options.layout == "lists"
        self.aliases: dict[Path, str] = {}
        self.errors: list[UserError] = []

    def fields(self) -> tuple[list[MappedField], list[MappedField], dict[str, tuple[str, ...]]]:
        assert isinstance(self.options, LogOptions)
        columns = _with_own_names(self.options, self.schema)
        request, candidate = [], []
        for name, kind in REQUEST_FIELDS.items():
            self._add(request, name, kind, getattr(columns, name), False)
        for name, kind in CANDIDATE_FIELDS.items():
            self._add(candidate, name, kind, getattr(columns, name), self.lists)
        for name in ("request_id", "item_id"):
            if getattr(columns, name) is None:
                self._missing(name)
        for name, column in columns.request.items():
            self._add(request, name, "any", column, False, "request.")
        for name, column in columns.teacher_scores.items():
            self._add(
                candidate, f"teacher_score_{name}", "score", column, self.lists, "teacher_scores."
            )
        for name, column in columns.item.items():
            self._add(candidate, name, "any", column, self.lists, "item.")
        for name, column in columns.feedback.items():
            self._add(candidate, name, "number", column, self.lists, "feedback.")
        groups = {
            "request": tuple(columns.request),
            "item": (*(f"teacher_score_{n}" for n in columns.teacher_scores), *columns.item),
            "feedback": tuple(columns.feedback),
        }
        if columns.recall_channel is not None:
            groups["item"] = ("recall_channel", *groups["item"])
        self._clashes([*request, *candidate])
        return request, candidate, groups

    def stage(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(stage or "column", aliases) in order of precedence; empty for presence."""
        assert isinstance(self.options, LogOptions)
        rule = self.options.stage
        if isinstance(rule, StageFromColumn):
            return (("column", self._named("stage.column", rule.column)),)
        if not isinstance(rule, StageFromFlags):
            return ()
        order = ("exposed", "reranked", "ranked", "preranked", "recalled")
        found = []
        for stage in order:
            flags = rule.flags.get(stage)  # type: ignore[call-overload]
            for flag in [flags] if isinstance(flags, str) else flags or []:
                found.append((f"{stage}:{flag}", self._named(f"stage.flags.{stage}", flag)))
        return tuple(found)

    def add_all(self, columns: dict[str, tuple[str, Column]], at: str) -> list[MappedField]:
        fields: list[MappedField] = []
        for name, (kind, column) in columns.items():
            self._add(fields, name, kind, column, False, at)
        return fields

    def aliases_by_name(self) -> Iterable[tuple[str, Path]]:
        return ((alias, path) for path, alias in self.aliases.items())

    def _named(self, at: str, name: str) -> tuple[str, ...]:
        alias = self._alias((name,) if name in self.schema.names else tuple(name.split(".")), at)
        return (alias,) if alias else ()

    def _add(
        self,
        fields: list[MappedField],
        name: str,
        kind: str,
        column: Column | None,
        listed: bool,
        group: str = "",
    ) -> None:
        if column is None:
            return
        own = name.removeprefix("teacher_score_") if group == "teacher_scores." else name
        place = f"columns.{group}{own}"
        aliases = tuple(
            alias for path in column.paths() if (alias := self._alias(path, place, listed))
        )
        if len(aliases) == len(column.paths()):
            self._check_type(kind, column, listed, place)
        fields.append(MappedField(name, kind, column, aliases, f"{self.where}.{place}"))

    def _alias(self, path: Path, place: str, listed: bool = False) -> str | None:
        if ".".join(path) in self.schema.names:
            path = (".".join(path),)
        if self.type_at(path) is None:
            self.errors.append(self._unknown(path, place))
            return None
        return self.aliases.setdefault(path, f"{self.prefix}{len(self.aliases)}")

    def type_at(self, path: Path) -> pa.DataType | None:
        """The type at `path`; inside a list of structs, the list of the field's type."""
        if path[0] not in self.schema.names:
            return None
        kind, in_list = self.schema.field(path[0]).type, False
        for part in path[1:]:
            if _is_list(kind):
                kind, in_list = kind.value_type, True
            if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
                return None
            kind = kind.field(part).type
        return pa.list_(kind) if in_list else kind

    def _check_type(self, kind: str, column: Column, listed: bool, place: str) -> None:
        for path in column.paths():
            full = (".".join(path),) if ".".join(path) in self.schema.names else path
            found = self.type_at(full)
            assert found is not None
            if listed and not _is_list(found):
                self.errors.append(
                    InputError(
                        "E0304",
                        f'column "{".".join(path)}" ({self.where}.{place}) must be a list in '
                        "layout: lists",
                        found=str(found),
                        help="set log.layout=rows if the log has one row per request and item",
                    )
                )
                return
            inner = found.value_type if listed else found
            text = self.options.format in TEXT_FORMATS
            fault = None if column.hash_of else kind_fault(kind, inner, column.unit, text=text)
            if fault:
                self.errors.append(
                    InputError(
                        "E0304",
                        f'column "{".".join(path)}" ({self.where}.{place}) {fault}',
                        found=str(inner),
                        help="map another column, or convert it in the log",
                    )
                )

    def _unknown(self, path: Path, place: str) -> ConfigError:
        name, known = ".".join(path), self.schema.names
        near = closest(name, known)
        hint = (
            f'did you mean "{near}"?   --set {self.where}.{place}={near}'
            if near
            else (f"map it: --set {self.where}.{place}=COLUMN")
        )
        return ConfigError(
            "E0102",
            f'column "{name}" ({self.where}.{place}) is not in the input',
            found=", ".join(known[:40]) + (", ..." if len(known) > 40 else ""),
            help=hint,
        )

    def _missing(self, name: str) -> None:
        near = closest(name, self.schema.names)
        self.errors.append(
            ConfigError(
                "E0102",
                f"log.columns.{name} is not mapped and the input has no such column",
                found=", ".join(self.schema.names[:40]),
                help=f"--set log.columns.{name}={near or 'COLUMN'}",
            )
        )

    def _clashes(self, fields: list[MappedField]) -> None:
        seen: set[str] = set()
        for mapped in fields:
            if mapped.name in seen or mapped.name in ("split", "stage", "source", "probability"):
                self.errors.append(
                    ConfigError(
                        "E0103",
                        f'the name "{mapped.name}" ({mapped.place}) is taken by another column',
                        help="give it another name on the left side of the mapping",
                    )
                )
            seen.add(mapped.name)


def _with_own_names(options: LogOptions, schema: pa.Schema):  # type: ignore[no-untyped-def]
    """The column options, completed by columns that already carry our names (generic only)."""
    columns = options.columns
    if options.preset != "generic":
        return columns
    own = {
        name: Column(name=name)
        for name in OWN_NAMES
        if getattr(columns, name) is None and name in schema.names
    }
    return columns.model_copy(update=own)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_list_view(kind)


def _bind_feedback(
    mapping: Mapping, options: LogOptions, schema: pa.Schema, binder: _Binder
) -> Mapping:
    assert options.feedback is not None
    source = options.feedback
    second = _Binder(source, schema, where="log.feedback", prefix="f")
    columns = {"request_id": ("id", source.columns.request_id)}
    columns["item_id"] = ("id", source.columns.item_id)
    fields = second.add_all(columns, "")
    fields += second.add_all(
        {name: ("number", c) for name, c in source.columns.feedback.items()}, "feedback."
    )
    for name in source.columns.feedback:
        if name in mapping.groups["feedback"]:
            second.errors.append(
                ConfigError(
                    "E0105",
                    f'feedback "{name}" is mapped from the log and from the feedback table',
                    help="keep one of log.columns.feedback and log.feedback.columns.feedback",
                )
            )
    key = mapping.request_field("request_id")
    if key is not None and (len(key.aliases) != 1 or len(fields[0].aliases) > 1):
        second.errors.append(
            ConfigError(
                "E0105",
                "a feedback table joins on one request_id column; hash_of and constant cannot",
                help="write the request id into both tables",
            )
        )
    binder.errors.extend(second.errors)
    groups = dict(mapping.groups)
    groups["feedback"] = (*groups["feedback"], *source.columns.feedback)
    return replace(
        mapping,
        groups=groups,
        feedback_fields=tuple(fields),
        feedback_paths=dict(second.aliases_by_name()),
    )


def _check_choices(mapping: Mapping, errors: list[UserError]) -> None:
    options = mapping.options
    needed = ORDER_NEEDS.get(options.teacher_order)
    names = {f.name for f in mapping.candidate}
    if needed and needed not in names:
        errors.append(
            ConfigError(
                "E0105",
                f"log.teacher_order: {options.teacher_order} needs log.columns.{needed}",
                found=", ".join(sorted(names)),
            )
        )
    if options.teacher_order == "rank" and not names & {"rank", "teacher_score"}:
        errors.append(
            ConfigError(
                "E0105",
                "log.teacher_order: rank needs log.columns.rank or log.columns.teacher_score",
                found=", ".join(sorted(names)),
                help="or choose teacher_order: rerank, position or list_order",
            )
        )
    unknown = set(options.response) - set(mapping.groups["feedback"])
    for name in sorted(unknown):
        errors.append(
            ConfigError(
                "E0102",
                f'log.response names "{name}", which is no feedback column',
                found=", ".join(mapping.groups["feedback"]) or "no feedback is mapped",
            )
        )


def raw_schema(mapping: Mapping, log: pa.Schema, feedback: pa.Schema | None = None) -> pa.Schema:
    """The columns that an engine delivers for `mapping`, by alias."""
    reader = _Binder(mapping.options, log)
    columns = [(alias, reader.type_at(path)) for alias, path in mapping.paths.items()]
    if mapping.options.feedback is not None and feedback is not None:
        second = _Binder(mapping.options.feedback, feedback)
        columns += [(a, second.type_at(path)) for a, path in mapping.feedback_paths.items()]
        columns.append((IS_FEEDBACK, pa.bool_()))
    return pa.schema(columns)


assert set(REQUEST_FIELDS.values()) | set(CANDIDATE_FIELDS.values()) <= set(KINDS)
