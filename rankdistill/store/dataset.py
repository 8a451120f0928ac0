"""A data set: a folder of Delta tables that are versioned together by its table `builds`.

The room's front door. Every reader goes through a build; what a table's head or a bare glob
shows beyond it does not count.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from rankdistill.errors import PlaceError
from rankdistill.store import builds, collect, delta, place, publish, staging
from rankdistill.store.builds import Build, BuildInfo, DayFacts
from rankdistill.store.content import ContentHash, content_hash
from rankdistill.store.parts import Part, PartLimits, PartWriter
from rankdistill.store.reading import damaged, fault, read_part
from rankdistill.store.staging import Staging
from rankdistill.store.verify import Report, verify

FAILED = "_failed"  # the folder of the metrics of builds that a gate stopped

__all__ = [
    "Build",
    "BuildInfo",
    "ContentHash",
    "DataSet",
    "DayFacts",
    "Part",
    "PartLimits",
    "PartWriter",
    "Staging",
    "content_hash",
]


class DataSet:
    """Made by `open` or `create_or_open`. root: absolute."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls, root: str | Path) -> DataSet:
        """The data set at `root`; PlaceError E0201 where there is none."""
        return cls(place.existing(root))

    @classmethod
    def create_or_open(cls, root: str | Path, inputs: Iterable[str | Path] = ()) -> DataSet:
        """The data set at `root`, made where there is nothing yet.

        inputs: what the build reads (files, folders, globs).
        Raises PlaceError E0201 where something else is there, E0202 where the place is not
        fit (a link, the home folder or above, an overlap with the input), E0209 where a newer
        version wrote what is there; nothing is touched.
        """
        path = place.output(root, inputs)
        place.make(path)
        staging.refuse_links(path)
        staging.mark(path)
        builds.create(path)
        return cls(path)

    def begin(self) -> Staging:
        """Start a build: its id and prefix are on disk, and locked, when this returns."""
        newest = self.current()
        heads = {table: delta.version(self.root / table) for table in staging.tables(self.root)}
        return staging.begin(self.root, newest, heads)

    def refuse_types(self, schemas: Mapping[str, pa.Schema]) -> None:
        """PlaceError E0205 where `publish` would raise it, as far as can be known by now."""
        for table, schema in schemas.items():
            delta.refuse_types(self.root / table, schema)

    def discard(self, staging: Staging) -> None:
        """Give a build up: its parts, which nobody has seen, are removed at once.

        One that is published stays as it is.
        """
        if not staging.is_over:
            collect.discard(self.root, staging.build_id)
            staging.release()

    def staged_bytes(self, staging: Staging) -> int:
        """What a build under way takes of the disk by now."""
        return collect.bytes_under(self.root, staging.build_id)

    def publish(
        self,
        staging: Staging,
        parts: Sequence[Part],
        schemas: Mapping[str, pa.Schema],
        days: Mapping[str, DayFacts],
        info: BuildInfo,
    ) -> Build:
        """A new build in which `parts` are all that the partitions `days` hold.

        Raises as `rankdistill.store.publish.publish`.
        """
        return publish.publish(staging, parts, schemas, days, info)

    def current(self) -> Build | None:
        """The newest build; None before the first."""
        return builds.history(self.root).newest

    def newest(self) -> Build:
        """The newest build; PlaceError E0206 before the first."""
        build = self.current()
        if build is None:
            failed = sorted((self.root / FAILED).glob("*.metrics.json"), key=os.path.getmtime)
            raise PlaceError(
                "E0206",
                f"{self.root} has no build yet",
                found=f"a build that a gate stopped: {failed[-1]}" if failed else None,
                help=f"rankdistill report --metrics {shlex.quote(str(failed[-1]))} --out FOLDER"
                if failed
                else "rankdistill build --config FILE",
            )
        return build

    def build(self, number: int) -> Build:
        """Build `number`; PlaceError E0206 where it is not kept."""
        return builds.one(self.root, number)

    def versions(self) -> list[Build]:
        """All builds that are kept, oldest first."""
        return builds.every(self.root)

    def rollback(self, number: int) -> Build:
        """Build `number` again, as a new one; plain Delta readers follow."""
        staging.refuse_links(self.root)
        return publish.rollback(self.root, number)

    def parts(self, table: str, build: Build | None = None, dt: str | None = None) -> list[Part]:
        """The parts of `table` in `build` (the current one), by dt and name.

        Raises PlaceError E0206 where the build has no such table or dt.
        """
        build = build or self.newest()
        self._refuse_unknown(build, table, dt)
        return publish.parts_of(self.root, build, table, dt)

    def files(self, table: str, build: Build | None = None, dt: str | None = None) -> list[str]:
        """The same as absolute paths. The column dt is not in the files."""
        return [str(self.root / table / part.path) for part in self.parts(table, build, dt)]

    def schema(self, table: str) -> pa.Schema:
        """The Arrow schema of `table`, dt included: all columns that any build gave it."""
        if not delta.is_table(self.root / table):
            self._refuse_unknown(self.newest(), table, None)
        return delta.schema(self.root / table)

    def read(
        self,
        table: str,
        build: Build | None = None,
        dt: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows of `table`, part by part, page checksums verified, dt put back.

        columns: these, in this order; all of `schema` otherwise. Null where a part has none.
        Raises PlaceError E0206 as `parts`, E0204 where a part is not what was written.
        """
        parts = self.parts(table, build, dt)
        schema = self.schema(table)
        names = list(columns) if columns is not None else schema.names
        if unknown := sorted(set(names) - set(schema.names)):
            raise PlaceError(
                "E0206",
                f"table {table} has no column {', '.join(unknown)}",
                found=", ".join(schema.names),
                help="name columns that it has",
            )
        return self._read(parts, pa.schema([schema.field(name) for name in names]))

    def content_hash(
        self, table: str, dt: str | None = None, build: Build | None = None
    ) -> ContentHash:
        """The hash of the rows (dt included); adds up over dts."""
        return content_hash(self.read(table, build, dt))

    def read_days(self, table: str, build: Build, dts: Collection[str]) -> Iterator[pa.RecordBatch]:
        """As `read`, of some days; of those that the table lacks, nothing."""
        parts = [part for part in self.parts(table, build) if part.dt in dts]
        return self._read(parts, self.schema(table))

    def gc(
        self, *, retention_hours: float = 168, keep_builds: int = 30, dry_run: bool = False
    ) -> list[str]:
        """Forget old builds, remove what no build names; the files, relative to `root`."""
        staging.refuse_links(self.root)
        return collect.gc(
            self.root, retention_hours=retention_hours, keep_builds=keep_builds, dry_run=dry_run
        )

    def verify(self, *, content: bool = True, build: Build | None = None) -> Report:
        """Whether the parts of `build` are what was written.

        content: read all bytes and compare digests; else existence, size and footer alone.
        """
        return verify(self.root, build or self.newest(), content=content)

    def _read(self, parts: Sequence[Part], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for part in parts:
            file = self.root / part.table / part.path
            if (reason := fault(file, part)) is not None:
                raise damaged(file, reason)
            # A part without rows of the asked columns still tells their number.
            for batch in read_part(file, [name for name in schema.names if name != "dt"]):
                yield _conform(batch, part.dt, schema)

    def _refuse_unknown(self, build: Build, table: str, dt: str | None) -> None:
        if table not in build.tables:
            raise self._unknown(build, "table", table, build.tables)
        if dt is not None and dt not in build.days:
            raise self._unknown(build, "dt", dt, build.days)

    def _unknown(self, build: Build, kind: str, name: str, known: Iterable[str]) -> PlaceError:
        return PlaceError(
            "E0206",
            f"build {build.number} of {self.root} has no {kind} {name}",
            found=", ".join(sorted(known)[:20]) or "(none)",
            help="name one of those",
        )


def _conform(batch: pa.RecordBatch, dt: str, schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field in schema:
        if field.name == "dt":
            column = pa.repeat(dt, batch.num_rows)
        elif field.name in batch.schema.names:
            column = batch.column(field.name).cast(field.type)
        else:
            column = pa.nulls(batch.num_rows, field.type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)
