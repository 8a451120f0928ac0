"""From staged parts to a build: the tables commit first, then one row in `builds`.

Nothing that reads through `builds` sees anything before that row, so a build that ends
between two steps has changed nothing. Two builds at once are told apart by what happened to
their own dts since each began: nothing, and both land; something, and the later one yields.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.errors import PlaceError
from rankdistill.store import builds, delta
from rankdistill.store.builds import Build, BuildInfo, Day, DayFacts
from rankdistill.store.delta import ConflictError
from rankdistill.store.parts import Part
from rankdistill.store.reading import fault
from rankdistill.store.staging import Staging, tables

ATTEMPTS = 200  # each lost one means that somebody else's commit landed


def publish(
    staging: Staging,
    parts: Sequence[Part],
    schemas: Mapping[str, pa.Schema],
    days: Mapping[str, DayFacts],
    info: BuildInfo,
) -> Build:
    """Make `parts` the whole content of the partitions `days` in every table: a new build.

    schemas: each table of this build, also those without rows; what other tables held in
        these dts is gone from the new build.
    Raises PlaceError E0203 where another build changed one of these dts since `begin`, E0204
    where a part is not what its writer said, E0205 where a column changed its type.
    """
    check_parts(staging, parts, schemas, days)
    newest = builds.history(staging.root).newest
    refuse_changed(staging, newest, days)

    pins = {}
    for table in sorted({*schemas, *_tables_of(newest, days)}):
        own = [part for part in parts if part.table == table]
        pins[table] = commit_table(staging, table, schemas.get(table), own, days)
    build = commit_build(staging, {table: pins[table] for table in schemas}, days, info)

    staging.release()
    return build


def check_parts(
    staging: Staging,
    parts: Sequence[Part],
    schemas: Mapping[str, pa.Schema],
    days: Collection[str],
) -> None:
    """Sizes, footer rows and columns, before anything is committed."""
    assert days, "a build without a dt"
    for part in parts:
        assert part.path.startswith(f"{staging.build_id}/"), part
        assert part.dt in days, part
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda part: _check_part(staging.root, part, schemas[part.table]), parts))


def refuse_changed(staging: Staging, now: Build | None, dts: Collection[str]) -> None:
    """PlaceError E0203 where a dt is not what it was when this build began."""
    before = staging.base.days if staging.base else {}
    after = now.days if now else {}
    changed = [dt for dt in dts if before.get(dt) != after.get(dt)]
    if changed:
        raise _overtaken(staging.root, changed)


def commit_table(
    staging: Staging,
    table: str,
    schema: pa.Schema | None,
    parts: Sequence[Part],
    dts: Collection[str],
) -> int:
    """One transaction that replaces `dts` of one table; the Delta version it made.

    schema: None where this build no longer has the table; its dts are emptied.
    """
    folder = staging.root / table
    if schema is not None:
        delta.create(folder, schema, ["dt"])
    for attempt in range(ATTEMPTS):
        head = delta.head(folder)
        since = staging.heads.get(table, delta.NO_TABLE)
        if taken := delta.touched(folder, since, head.version) & set(dts):
            raise _overtaken(staging.root, taken)
        try:
            if schema is not None and delta.widen(head, schema):
                continue
            own = delta.schema(folder) if schema is None else schema
            return delta.commit(head, own, dts, parts, _now_ms(), staging.build_id)
        except ConflictError:
            time.sleep(0.002 * attempt)
    raise _crowded(folder)


def commit_build(
    staging: Staging, pins: Mapping[str, int], days: Mapping[str, DayFacts], info: BuildInfo
) -> Build:
    """The row that makes the tables' new versions visible, on top of what others published."""
    own = {
        dt: Day(
            config_hash=facts.config_hash,
            fingerprint=facts.fingerprint,
            counts=facts.counts,
            build=builds.UNNUMBERED,
            tables=pins,
        )
        for dt, facts in days.items()
    }
    for attempt in range(ATTEMPTS):
        before = builds.history(staging.root)
        refuse_changed(staging, before.newest, days)
        others = before.newest.days if before.newest else {}
        build = builds.make("build", staging.build_id, info, {**others, **own})
        try:
            return builds.add(staging.root, before, build)
        except ConflictError:
            time.sleep(0.002 * attempt)
    raise _crowded(staging.root)


def rollback(root: Path, number: int) -> Build:
    """Build `number` again, as a new build; the tables' heads follow it.

    Raises PlaceError E0206 where it is not kept, E0203 where another build lands meanwhile.
    """
    before = builds.history(root)
    old = builds.one(root, number)
    build = builds.make("rollback", old.build_id, old, old.days)
    try:
        build = builds.add(root, before, build)
    except ConflictError:
        raise _overtaken(root, old.days) from None
    align_heads(root)
    return build


def align_heads(root: Path) -> None:
    """Have every table's head hold what the current build names.

    For those who read the tables by Delta alone: after a rollback, and where a build that
    died between two tables left its parts in a head.
    """
    for table in tables(root):
        for attempt in range(ATTEMPTS):
            try:
                if delta.is_table(root / table):
                    _align_head(root, table)
                break
            except ConflictError:
                time.sleep(0.002 * attempt)


def _align_head(root: Path, table: str) -> None:
    head = delta.head(root / table)
    newest = builds.history(root).newest
    wanted = parts_of(root, newest, table) if newest else []
    dts = {part.dt for part in wanted} | {dt for dt, _ in head.files.values()}
    off = {dt for dt in dts if head.paths(dt) != {p.path for p in wanted if p.dt == dt}}
    if off:
        missing = [p for p in wanted if p.dt in off and p.path not in head.files]
        kept = {p.path for p in wanted} & set(head.files)
        schema = delta.schema(root / table)
        delta.commit(head, schema, off, missing, _now_ms(), "", keep=kept)


def parts_of(root: Path, build: Build, table: str, dt: str | None = None) -> list[Part]:
    """The parts of one table in one build, by dt and name."""
    parts = _parts_at(root / table, build.pins_of(table, dt))
    return sorted(parts, key=lambda part: (part.dt, part.path))


def named_by(root: Path, kept: Sequence[Build]) -> set[str]:
    """The paths below `root` that any of these builds names; each commit is read once."""
    pins: dict[str, dict[int, set[str]]] = {}
    for build in kept:
        for table in build.tables:
            own = pins.setdefault(table, {})
            for version, dts in build.pins_of(table, None).items():
                own[version] = own.get(version, set()) | dts
    return {f"{t}/{part.path}" for t, own in pins.items() for part in _parts_at(root / t, own)}


def _parts_at(folder: Path, pins: Mapping[int, set[str]]) -> list[Part]:
    return [
        part
        for version, dts in pins.items()
        for part in delta.parts_at(folder, version)
        if part.dt in dts
    ]


def _tables_of(build: Build | None, dts: Collection[str]) -> set[str]:
    days = [build.days[dt] for dt in dts if dt in build.days] if build else []
    return {table for day in days for table in day.tables}


def _check_part(root: Path, part: Part, schema: pa.Schema) -> None:
    file = root / part.table / part.path
    if (found := fault(file, part)) is not None:
        raise PlaceError(
            "E0204",
            f"a part is not what its writer said: {found}; nothing was published",
            found=str(file),
            help="check the disk, then build again",
        )
    names = pq.read_schema(file).names
    assert names == [name for name in schema.names if name != "dt"], (part.table, names)


def _overtaken(root: Path, dts: Collection[str]) -> PlaceError:
    names = ", ".join(sorted(dts)[:5]) + (", ..." if len(dts) > 5 else "")
    return PlaceError(
        "E0203",
        f"another build changed dt {names} of {root} meanwhile; this one publishes nothing",
        help="look at `rankdistill versions`, then run this build again",
    )


def _crowded(folder: Path) -> PlaceError:
    return PlaceError(
        "E0203",
        f"{folder} is committed to all the time; gave up after {ATTEMPTS} attempts",
        help="run fewer builds at once on one data set",
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
