"""The table `builds`: one row is one version of the whole data set.

A row names, for each dt, the Delta version that every table is to be read at. Rows are only
ever added, by compare-and-swap on the newest one; `gc` forgets old ones.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill import __version__
from rankdistill.errors import PlaceError
from rankdistill.store import delta
from rankdistill.store.files import HashedFile
from rankdistill.store.parts import Part
from rankdistill.store.reading import damaged, opened, whole_table

TABLE = "builds"
# Of a row and of all that it names: raised where a reader of the number before would misread
# either. It stands in the file of the row (MARK); a row without is of format 1.
FORMAT = 1
MARK = b"rankdistill.format"
SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("build_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # build | rollback
        pa.field("parent", pa.int64()),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("config_hash", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("input_fingerprint", pa.string(), nullable=False),
        pa.field("code_version", pa.string(), nullable=False),
        pa.field("days", pa.string(), nullable=False),  # JSON: dt -> Day
    ]
)


@dataclass(frozen=True, kw_only=True)
class DayFacts:
    """What `build` knows of one dt that it made: enough to tell whether it is up to date.

    counts: whatever the build counted, as JSON values.
    """

    config_hash: str
    fingerprint: str
    counts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Day(DayFacts):
    """One dt of a build. build: the number of the build that made it.

    tables: table -> the Delta version to read this dt at.
    """

    build: int
    tables: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class BuildInfo:
    """What a build says of itself."""

    config_hash: str
    seed: int
    input_fingerprint: str
    code_version: str

    def __post_init__(self) -> None:
        assert -(2**63) <= self.seed < 2**63, self.seed


@dataclass(frozen=True, kw_only=True)
class Build(BuildInfo):
    """A version of the data set. created_at is for people and for gc's retention only."""

    number: int
    build_id: str
    kind: str
    parent: int | None
    created_at: datetime
    days: Mapping[str, Day]

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(sorted({table for day in self.days.values() for table in day.tables}))

    def pins_of(self, table: str, dt: str | None) -> dict[int, set[str]]:
        """Delta version of `table` -> the dts that are read at it."""
        pins: dict[int, set[str]] = {}
        for name, day in self.days.items():
            if table in day.tables and dt in (None, name):
                pins.setdefault(day.tables[table], set()).add(name)
        return pins


@dataclass(frozen=True)
class History:
    """The builds as of one version of the table; the newest is the current one."""

    head: delta.Head
    newest: Build | None


def create(root: Path) -> None:
    delta.create(root / TABLE, SCHEMA, [])


def is_ours(root: Path) -> bool:
    """Whether `root` holds a table of builds that this library made."""
    return delta.name(root / TABLE) == f"{delta.NAME}.{TABLE}"


def history(root: Path) -> History:
    """The newest state of the table."""
    return _retried(lambda: _history(root))


def _history(root: Path) -> History:
    head = delta.head(root / TABLE)
    names = sorted(head.files, key=number_of)
    return History(head, _read(root / TABLE / names[-1]) if names else None)


def every(root: Path) -> list[Build]:
    """All builds that are kept, oldest first."""
    folder = root / TABLE
    return _retried(
        lambda: [_read(folder / name) for name in sorted(delta.head(folder).files, key=number_of)]
    )


def one(root: Path, number: int) -> Build:
    """Build `number`; PlaceError E0206 where it is not kept."""
    builds = {build.number: build for build in every(root)}
    if number not in builds:
        raise PlaceError(
            "E0206",
            f"build {number} is not in {root}",
            found=f"builds {', '.join(map(str, builds)) or '(none)'}",
            help="rankdistill versions lists the builds that are kept",
        )
    return builds[number]


def add(root: Path, before: History, build: Build) -> Build:
    """Make `build` the current one, numbered after `before`; ConflictError where that is stale."""
    parent = before.newest
    build = replace(
        build,
        number=parent.number + 1 if parent else 1,
        parent=parent.number if parent else None,
    )
    days = {
        dt: replace(day, build=build.number) if day.build == UNNUMBERED else day
        for dt, day in build.days.items()
    }
    build = replace(build, days=days)
    part = _write(root / TABLE, build)
    delta.commit_rows(before.head, SCHEMA, part, (), _now_ms())
    return build


def forget(root: Path, numbers: Collection[int], before: History) -> None:
    """Take builds out of the table; ConflictError where `before` is stale."""
    assert before.newest is None or before.newest.number not in numbers
    names = [name for name in before.head.files if number_of(name) in numbers]
    if names:
        delta.commit_rows(before.head, SCHEMA, None, names, _now_ms())


UNNUMBERED = 0  # Day.build of the days that a build makes itself, until it is numbered


def make(kind: str, build_id: str, info: BuildInfo, days: Mapping[str, Day]) -> Build:
    """A build that has no number yet."""
    facts = {name: getattr(info, name) for name in BuildInfo.__dataclass_fields__}
    now = datetime.now(UTC)
    return Build(
        number=0, build_id=build_id, kind=kind, parent=None, created_at=now, days=days, **facts
    )


def _write(folder: Path, build: Build) -> Part:
    row = {name: getattr(build, name) for name in SCHEMA.names}
    row["days"] = json.dumps({dt: asdict(day) for dt, day in build.days.items()}, sort_keys=True)
    name = f"{build.number:08d}-{uuid4().hex}.parquet"
    sink = HashedFile(folder / name)
    table = pa.Table.from_pylist([row], SCHEMA).replace_schema_metadata({MARK: str(FORMAT)})
    pq.write_table(table, sink, compression="zstd")
    sink.close()
    return Part(TABLE, "", name, 1, sink.tell(), sink.digest.hexdigest())


def _read(file: Path) -> Build:
    with opened(file) as parquet:
        _refuse_newer(file, parquet.schema_arrow)
        (row,) = whole_table(file, parquet, SCHEMA.names).to_pylist()
    days = {dt: Day(**day) for dt, day in json.loads(row.pop("days")).items()}
    return Build(days=days, **row)


def _refuse_newer(file: Path, schema: pa.Schema) -> None:
    """PlaceError E0209 where a row is of a format, or has a column, that is not known here."""
    mark = (schema.metadata or {}).get(MARK, b"1").decode("ascii", "replace")
    if not (mark.isdecimal() and int(mark)):
        raise damaged(file, f"format {mark}")
    unknown = sorted(set(schema.names) - set(SCHEMA.names))
    if int(mark) > FORMAT or unknown:
        more = f", with {', '.join(unknown)}" if unknown else ""
        raise PlaceError(
            "E0209",
            f"{file.parent.parent} was written by a newer rankdistill than this one",
            found=f"format {mark}{more}; rankdistill {__version__} knows format {FORMAT}",
            help="pip install --upgrade rankdistill, or name another output folder",
        )


def number_of(name: str) -> int:
    """The build whose row lies in the file `name`."""
    return int(name.split("-")[0])


def _retried(read: Any) -> Any:
    """`read()`, again where gc took a row between the listing and the reading of it."""
    for _ in range(3):
        try:
            return read()
        except PlaceError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
    return read()


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
