"""What a log is: where it lies, how it is written, and what its columns mean.

Only options; `log.mapping` turns the column options into canonical columns, and the
engines open the source.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from rankdistill.config import Options

Format = Literal["parquet", "csv", "tsv", "jsonl", "feather", "trec", "orc"]
Unit = Literal["s", "ms", "us", "ns"]
Stage = Literal["recalled", "preranked", "ranked", "reranked", "exposed"]
Scalar = int | float | str | bool


MAX_COLUMNS = 1_000  # of those that a log may have besides the named ones; unmapped ones are free


class Column(Options):
    """Where one canonical column comes from: exactly one of column, name, constant, hash_of."""

    column: str | None = Field(None, description="source column; a.b is a field of a struct")
    name: str | None = Field(None, description="source column whose name is taken literally")
    constant: Scalar | None = Field(None, description="the same value in every row")
    hash_of: list[str] | None = Field(
        None,
        description="a 64-bit hash of these source columns; null where all of them are "
        "(request_id: any of them)",
    )
    unit: Unit | None = Field(None, description="unit of a time given as a number")
    read_as: Literal["int", "text"] | None = Field(
        None,
        alias="as",
        description="ids: what the values are read as; left out: as the log holds them",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Column:
        given = [
            key
            for key in ("column", "name", "constant", "hash_of")
            if getattr(self, key) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                "give exactly one of column, name, constant, hash_of; found "
                + (", ".join(given) or "none")
            )
        if self.hash_of == []:
            raise ValueError("hash_of needs at least one column")
        if self.read_as is not None and not {"column", "name"} & set(given):
            raise ValueError("as goes with column or name")
        return self

    def paths(self) -> list[tuple[str, ...]]:
        """The source paths read for this column; none for a constant."""
        if self.hash_of is not None:
            return [tuple(part.split(".")) for part in self.hash_of]
        if self.name is not None:
            return [(self.name,)]
        return [tuple(self.column.split("."))] if self.column is not None else []


def _column(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


def _columns(value: Any) -> Any:
    """[a, b] and {a: x} both name columns; a list keeps the source's names."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return {name: {"column": name} for name in value}
    return value


ColumnOf = Annotated[Column, BeforeValidator(_column)]
ColumnsOf = Annotated[dict[str, ColumnOf], BeforeValidator(_columns)]


class Columns(Options):
    """The canonical columns of a log and where each comes from."""

    request_id: ColumnOf | None = None
    request_time: ColumnOf | None = None
    user_id: ColumnOf | None = None
    item_id: ColumnOf | None = None
    substage: ColumnOf | None = None
    rank: ColumnOf | None = None
    rerank_rank: ColumnOf | None = None
    position: ColumnOf | None = None
    teacher_score: ColumnOf | None = None
    teacher_scores: ColumnsOf = Field({}, description="further named scores of the teacher")
    prerank_score: ColumnOf | None = None
    recall_channel: ColumnOf | None = None
    dt: ColumnOf | None = Field(None, description="the source's own day column")
    feedback: ColumnsOf = Field({}, description="what the user did: click, like, ...")
    request: ColumnsOf = Field({}, description="further columns of the request (context)")
    item: ColumnsOf = Field({}, description="further columns of the candidate")

    @model_validator(mode="after")
    def _not_too_many(self) -> Columns:
        given = len(self.teacher_scores) + len(self.feedback) + len(self.request) + len(self.item)
        if given > MAX_COLUMNS:
            raise ValueError(
                f"{given:,} columns in teacher_scores, feedback, request and item; at most "
                f"{MAX_COLUMNS:,}. Join what the samples alone need as feature tables (features)"
            )
        return self


class StageFromFlags(Options):
    """The furthest stage whose flag is set (non-zero, true)."""

    kind: Literal["flags"] = Field("flags", alias="from")
    flags: dict[Stage, str | list[str]]
    substages: dict[str, Annotated[int, Field(ge=0, le=127)]] = Field(
        {}, description="flag column -> substage it marks"
    )

    @model_validator(mode="after")
    def _known_flags(self) -> StageFromFlags:
        flags = [
            f
            for named in self.flags.values()
            for f in ([named] if isinstance(named, str) else named)
        ]
        if not flags:
            raise ValueError("flags names no column")
        if unknown := sorted(set(self.substages) - set(flags)):
            raise ValueError(
                f"substages: {', '.join(unknown)} is no flag; known are {', '.join(flags)}"
            )
        return self


class StageFromColumn(Options):
    """One column names the stage."""

    kind: Literal["column"] = Field("column", alias="from")
    column: str
    values: dict[str, Stage] = Field(
        {}, description="source value -> stage; empty: our own stage names"
    )


class StageFromPresence(Options):
    """position -> exposed, rerank_rank -> reranked, rank or score -> ranked, else dropped."""

    kind: Literal["presence"] = Field("presence", alias="from")


class StageConstant(Options):
    """Every row went as far as this stage."""

    kind: Literal["constant"] = Field("constant", alias="from")
    stage: Stage


StageRule = Annotated[
    StageFromFlags | StageFromColumn | StageFromPresence | StageConstant,
    Field(discriminator="kind"),
]


class Condition(Options):
    """One condition on a source column; a log's conditions are all required."""

    column: str
    op: Literal["=", "!=", "<", "<=", ">", ">=", "in", "is_null", "not_null"]
    value: Scalar | None = None
    values: list[Scalar] | None = None

    @model_validator(mode="after")
    def _operands(self) -> Condition:
        wants = {"in": "values", "is_null": None, "not_null": None}.get(self.op, "value")
        for key in ("value", "values"):
            if (getattr(self, key) is not None) != (key == wants):
                raise ValueError(f'op "{self.op}" takes {wants or "no value"}')
        return self


class TableSource(Options):
    """Files of one format, or a catalogue table.

    called: what faults call it; skip_key: where its on_corrupt is set, None where nowhere.
    """

    called: ClassVar[str] = "the table"
    skip_key: ClassVar[str | None] = None

    path: str | list[str] | None = Field(None, description="file, folder, glob, or several")
    table: str | None = Field(None, description="catalogue table db.name (spark)")
    format: Format = "parquet"
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="csv: default a comma; tsv: a tab"
    )
    header: bool = Field(True, description="csv, tsv: the first line names the columns")
    names: list[str] | None = Field(None, description="csv, tsv, trec: column names to use")
    on_corrupt: Literal["fail", "skip"] = Field(
        "fail", description="a file that cannot be read: stop, or set it aside and say so"
    )

    @model_validator(mode="after")
    def _one_place(self) -> TableSource:
        if (self.path is None) == (self.table is None):
            raise ValueError("give path (files) or table (a catalogue table), one of them")
        if self.format in ("csv", "tsv") and not self.header and not self.names:
            raise ValueError("a file without header needs names: [...]")
        return self


class FeedbackSource(TableSource):
    """A second table of feedback, one row per (request_id, item_id)."""

    class Mapping(Options):
        request_id: ColumnOf
        item_id: ColumnOf
        feedback: ColumnsOf

    called: ClassVar[str] = "the feedback table"
    skip_key: ClassVar[str | None] = "log.feedback.on_corrupt"

    columns: Mapping


class LogOptions(TableSource):
    """The `log` block."""

    called: ClassVar[str] = "the log"
    skip_key: ClassVar[str | None] = "log.on_corrupt"

    preset: str = "generic"
    layout: Literal["rows", "lists"] = "rows"
    columns: Columns = Columns()
    rank_base: Literal[0, 1] = 1
    ranks: Literal["complete", "sampled"] = "complete"
    score_kind: Literal["logit", "probability"] = "logit"
    teacher_order: Literal["rank", "rerank", "position", "score", "list_order"] = "rank"
    stage: StageRule = StageFromPresence()
    feedback: FeedbackSource | None = None
    response: dict[str, float] = Field(
        {}, description="least value of a feedback column that is a response; empty: above zero"
    )
    where: list[Condition] = []
    sample_requests: float = Field(1.0, gt=0, le=1, description="share of requests, by hash")
    max_candidates: int = Field(10_000, ge=1, le=1_000_000)
    on_bad_score: Literal["reject", "fail"] = "reject"
    verify_checksums: bool = Field(
        False,
        description="parquet: read the files against their page checksums first; those that "
        "carry none are told",
    )

    @model_validator(mode="after")
    def _list_order(self) -> LogOptions:
        if self.teacher_order == "list_order" and self.layout != "lists":
            raise ValueError("teacher_order: list_order needs layout: lists")
        if self.verify_checksums and self.format != "parquet":
            raise ValueError("verify_checksums needs format: parquet; no other has checksums")
        return self
