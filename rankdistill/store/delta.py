"""One Delta table on disk, as the store uses it. The only module that knows deltalake.

Every commit of ours replaces whole partitions: what partition dt holds at a version that
replaced it stands in that one commit file, so a pinned (table, dt, version) is read back
without loading the table. Commits never retry by themselves: the version they land on is
the one after the version they read, or `ConflictError`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from rankdistill.errors import PlaceError
from rankdistill.store.files import sync
from rankdistill.store.parts import Part

# Builds pin old versions and rollback needs replaced parts: neither Delta's log cleanup nor a
# VACUUM by others may take them. Our own `gc` is the one that removes.
CONFIGURATION = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.checkpointInterval": "20",
}
NAME = "rankdistill"  # key of our entry in commitInfo, and prefix of the tables' names
NO_TABLE = -1


class ConflictError(Exception):
    """Another commit took the version that ours wanted; reload and judge again."""


@dataclass(frozen=True)
class Head:
    """A table as of `version`: its files, path -> (dt, bytes), paths as on disk."""

    folder: Path
    table: DeltaTable
    version: int
    files: dict[str, tuple[str, int]]

    def paths(self, dt: str) -> set[str]:
        return {path for path, (its_dt, _) in self.files.items() if its_dt == dt}


def version(folder: Path) -> int:
    """The newest version of the table in `folder`, NO_TABLE where there is none."""
    return DeltaTable(folder).version() if is_table(folder) else NO_TABLE


def is_table(folder: Path) -> bool:
    # is_deltatable alone would make the folder it looks for.
    return (folder / "_delta_log").is_dir() and DeltaTable.is_deltatable(str(folder))


def name(folder: Path) -> str | None:
    """The name that the table in `folder` was created with."""
    return DeltaTable(folder).metadata().name if is_table(folder) else None


def create(folder: Path, schema: pa.Schema, partition_by: Sequence[str]) -> None:
    """Make an empty table unless there is one; two at once make one."""
    if is_table(folder):
        return
    try:
        DeltaTable.create(
            folder,
            Schema.from_arrow(schema),
            partition_by=list(partition_by),
            name=f"{NAME}.{folder.name}",
            configuration=CONFIGURATION,
        )
    except DeltaError:
        if not is_table(folder):  # else another was first
            raise


def head(folder: Path) -> Head:
    """The newest version of an existing table."""
    table = DeltaTable(folder)
    actions = pa.table(table.get_add_actions(flatten=True))
    dts = actions["partition.dt"] if "partition.dt" in actions.column_names else None
    files = {
        unquote(path): (dts[i].as_py() if dts else "", size)
        for i, (path, size) in enumerate(
            zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True)
        )
    }
    return Head(folder, table, table.version(), files)


def schema(folder: Path) -> pa.Schema:
    """The newest schema of an existing table, dt included."""
    return pa.schema(DeltaTable(folder).schema().to_arrow())


def widen(head: Head, schema: pa.Schema) -> bool:
    """Add the columns of `schema` that the table lacks; whether a commit was made.

    Raises PlaceError E0205 as `refuse_types`, ConflictError as `commit`.
    """
    new = _added(head.folder, head.table, schema)
    if new:
        _commit(
            head,
            lambda properties: head.table.alter.add_columns(new, commit_properties=properties),
            None,
        )
    return bool(new)


def refuse_types(folder: Path, schema: pa.Schema) -> None:
    """PlaceError E0205 where the table in `folder`, if there is one, has a column of `schema` in
    another type."""
    if is_table(folder):
        _added(folder, DeltaTable(folder), schema)


def _added(folder: Path, table: DeltaTable, schema: pa.Schema) -> list[Field]:
    """The columns of `schema` that the table lacks."""
    known = {field.name: field for field in table.schema().fields}
    wanted = Schema.from_arrow(schema).fields
    for field in wanted:
        old = known.get(field.name, field)
        if old.type != field.type or (field.nullable and not old.nullable):
            raise PlaceError(
                "E0205",
                f"{folder.name}.{field.name} changed its type",
                found=f"{_show(old)} in the data set, {_show(field)} in this build",
                help="write into another output folder, or map the column as it was",
            )
    return [Field(f.name, f.type, nullable=True) for f in wanted if f.name not in known]


def commit(
    head: Head,
    schema: pa.Schema,
    dts: Collection[str],
    parts: Sequence[Part],
    now_ms: int,
    build_id: str,
    keep: Collection[str] = (),
) -> int:
    """Replace partitions `dts` of the table by `parts`; the version that did it.

    keep: paths of files already there that stay. A version that kept some is not one to pin.

    Each dt leaves a Delta transaction of its name, so that two commits which replace the same
    dt exclude each other even where neither removes a file. Raises ConflictError.
    """
    assert head.files.keys().isdisjoint(part.path for part in parts), "a part is added twice"
    removes = [
        RemoveAction(path, True, now_ms, size=size, partition_values={"dt": dt})
        for path, (dt, size) in head.files.items()
        if dt in dts and path not in keep
    ]
    adds = [_add(part, {"dt": part.dt}, now_ms) for part in parts]
    note = {"build_id": build_id, "sha256": {part.path: part.sha256 for part in parts}}
    return _write(head, schema, [*removes, *adds], ["dt"], [f"dt={dt}" for dt in dts], note)


def commit_rows(
    head: Head, schema: pa.Schema, add: Part | None, removes: Collection[str], now_ms: int
) -> int:
    """Compare-and-swap on a table without partitions. Raises ConflictError."""
    actions: list[AddAction | RemoveAction] = [
        RemoveAction(path, True, now_ms, size=head.files[path][1], partition_values={})
        for path in sorted(removes)
    ]
    actions += [_add(add, {}, now_ms)] if add else []
    return _write(head, schema, actions, [], [head.folder.name], {})


def touched(folder: Path, since: int, until: int) -> set[str]:
    """The dts that versions since + 1 .. until replaced."""
    entries = [e for v in range(since + 1, until + 1) for e in _entries(folder, v)]
    return {e["txn"]["appId"].removeprefix("dt=") for e in entries if "txn" in e}


def parts_at(folder: Path, version: int) -> list[Part]:
    """The parts that version `version` brought in.

    Raises PlaceError E0204 where the log no longer has that version.
    """
    entries = _entries(folder, version)
    notes = [e["commitInfo"].get(NAME, {}) for e in entries if "commitInfo" in e]
    digests = notes[0].get("sha256", {}) if notes else {}
    return [_part(folder, e["add"], digests) for e in entries if "add" in e]


def _part(folder: Path, add: dict[str, Any], digests: dict[str, str]) -> Part:
    path = unquote(add["path"])
    rows = json.loads(add["stats"])["numRecords"]
    dt = add["partitionValues"].get("dt", "")
    return Part(folder.name, dt, path, rows, add["size"], digests.get(path, ""))


def _entries(folder: Path, version: int) -> list[dict[str, Any]]:
    try:
        lines = _commit_file(folder, version).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise PlaceError(
            "E0204",
            f"table {folder.name} has lost version {version}, which a build names",
            found=f"no {_commit_file(folder, version)}",
            help="restore the folder from a copy, or build the dt again with --force",
        ) from None
    return [json.loads(line) for line in lines if line]


def _commit_file(folder: Path, version: int) -> Path:
    return folder / "_delta_log" / f"{version:020d}.json"


def _add(part: Part, values: dict[str, str | None], now_ms: int) -> AddAction:
    stats = json.dumps({"numRecords": part.num_rows})
    return AddAction(part.path, part.num_bytes, values, now_ms, True, stats)


def _write(
    head: Head,
    schema: pa.Schema,
    actions: list[AddAction | RemoveAction],
    partition_by: list[str],
    app_ids: Sequence[str],
    note: dict[str, Any],
) -> int:
    transactions = [
        Transaction(app_id, (head.table.transaction_version(app_id) or 0) + 1) for app_id in app_ids
    ]

    def write(properties: CommitProperties) -> None:
        properties.custom_metadata = {NAME: note}
        head.table.create_write_transaction(
            actions, "append", schema, partition_by, commit_properties=properties
        )

    return _commit(head, write, transactions)


def _commit(head: Head, write: Any, transactions: list[Transaction] | None) -> int:
    folder = head.folder
    properties = CommitProperties(max_commit_retries=0, app_transactions=transactions)
    try:
        write(properties)
    except DeltaError as error:
        if version(folder) > head.version:
            raise ConflictError(str(error)) from error
        raise
    landed = head.version + 1
    sync(_commit_file(folder, landed))
    sync(folder / "_delta_log")
    return landed


def _show(field: Field) -> str:
    kind = pa.schema(Schema([field]).to_arrow()).field(0).type
    return f"{kind}{'' if field.nullable else ' not null'}"
