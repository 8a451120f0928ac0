"""Staged parts: the Parquet files of a build that nobody reads until they are committed.

Engines hand record batches to one `PartWriter` per thread or task; it yields one `Part` per
file. Files lie at <root>/<table>/<build_id>/dt=<escaped>/<task>-<n>.parquet and hold no
column dt: the partition value lives in the Delta log and, escaped, in the folder's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rankdistill.contract import as_batch
from rankdistill.store.files import HashedFile, make_dirs


@dataclass(frozen=True)
class Part:
    """One finished Parquet file. `path` is relative to the table's folder; sizes in bytes."""

    table: str
    dt: str
    path: str
    num_rows: int
    num_bytes: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values; `Part(**row)` reads them back (the rows Spark's tasks send)."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class PartLimits:
    """Bounds of row groups, files and memory.

    group_rows: rows of a row group of a flat table.
    list_rows, list_elements: the same for tables with list columns, and the elements of the
        longest list column; a longer list stands in a row group of its own.
    file_bytes: a file is closed once it has this many bytes on disk.
    buffer_bytes: Arrow bytes waiting in one writer; above it the largest buffer is written.
    open_files: files open in one writer; above it the least recently used is closed.
    """

    group_rows: int = 1_048_576
    list_rows: int = 65_536
    list_elements: int = 1_048_576
    file_bytes: int = 192_000_000
    buffer_bytes: int = 256_000_000
    open_files: int = 256

    def __post_init__(self) -> None:
        assert all(limit >= 1 for limit in asdict(self).values()), self


class PartWriter:
    """Writes the batches of one thread or task; use it as a context manager or call `close`.

    task: names the files; must be unique within the build (a Spark task adds its attempt).
    schemas: the Arrow schema of each table, with or without dt; fixes column order, types and
        nullability. Without it a table takes the schema of its first batch.
    Not to be shared between threads.
    """

    def __init__(
        self,
        root: str | Path,
        build_id: str,
        task: str,
        limits: PartLimits | None = None,
        schemas: Mapping[str, pa.Schema] | None = None,
    ) -> None:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", f"{build_id}{task}"), (build_id, task)
        self._root, self._build_id, self._task = Path(root), build_id, task
        self._limits = limits or PartLimits()
        self._schemas = {name: _without_dt(schema) for name, schema in (schemas or {}).items()}
        self._open: dict[tuple[str, str], _OpenPart] = {}  # the least recently used first
        self._counts: dict[str, int] = {}
        self._parts: list[Part] = []

    def write(self, table: str, dt: str, batch: pa.RecordBatch) -> None:
        """Add the rows of `batch` to partition `dt` of `table`; a column dt in it is dropped."""
        assert isinstance(dt, str), f"dt must be a non-empty string: {dt!r}"
        assert dt, "dt must be a non-empty string"
        if batch.num_rows == 0:
            return
        batch = _conform(batch, self._schemas.setdefault(table, _plain_schema(batch)), table)
        part = self._open.pop((table, dt), None) or self._start(table, dt, batch.schema)
        self._open[table, dt] = part
        while batch.num_rows:
            num_rows = part.room(batch)
            part.add(batch.slice(0, num_rows))
            batch = batch.slice(num_rows)
            if batch.num_rows or part.is_full:
                part.flush()
        self._keep_bounds(part)

    def close(self) -> list[Part]:
        """Finish all files. The parts, in the order in which they were finished."""
        for key in list(self._open):
            self._finish(key)
        return self._parts

    def abandon(self) -> None:
        """Let go of unfinished files; what is on disk is a stray, for `gc`."""
        for part in self._open.values():
            part.abandon()
        self._open.clear()

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.close() if kind is None else self.abandon()

    def _start(self, table: str, dt: str, schema: pa.Schema) -> _OpenPart:
        number = self._counts[table] = self._counts.get(table, -1) + 1
        folder = f"{self._build_id}/dt={escape(dt)}"
        make_dirs(self._root, f"{table}/{folder}")
        path = f"{folder}/{self._task}-{number}.parquet"
        return _OpenPart(table, dt, path, self._root / table / path, schema, self._limits)

    def _finish(self, key: tuple[str, str]) -> None:
        self._parts.append(self._open[key].finish())
        del self._open[key]

    def _keep_bounds(self, last: _OpenPart) -> None:
        if last.sink.tell() >= self._limits.file_bytes:
            self._finish((last.table, last.dt))
        while len(self._open) > self._limits.open_files:
            self._finish(next(iter(self._open)))
        while sum(part.num_bytes for part in self._open.values()) > self._limits.buffer_bytes:
            max(self._open.values(), key=lambda part: part.num_bytes).flush()


class _OpenPart:
    """A file being written and the row group waiting for it."""

    def __init__(
        self, table: str, dt: str, path: str, file: Path, schema: pa.Schema, limits: PartLimits
    ) -> None:
        self.table, self.dt, self.path, self._schema = table, dt, path, schema
        self._lists = [n for n, t in zip(schema.names, schema.types, strict=True) if is_list(t)]
        self._max_rows = limits.list_rows if self._lists else limits.group_rows
        self._max_elements = limits.list_elements
        self.sink = HashedFile(file)
        # Scores gain nothing from a dictionary: it is given up early.
        # Level 1 makes files 1 % larger than level 3 and takes a tenth less time.
        encoded, packed = _encodings(schema)
        # store_schema=False: no trace of Arrow types, so a dictionary reads back as its values.
        self._writer = pq.ParquetWriter(
            self.sink,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=encoded,
            dictionary_pagesize_limit=65_536,
            column_encoding=packed,
            write_page_checksum=True,
            store_schema=False,
        )
        self._total_rows = 0
        self._clear()

    def _clear(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self.num_rows = self.num_elements = self.num_bytes = 0

    @property
    def is_full(self) -> bool:
        return self.num_rows >= self._max_rows or self.num_elements >= self._max_elements

    def room(self, batch: pa.RecordBatch) -> int:
        """How many leading rows of `batch` still fit; at least 1 where the buffer is empty."""
        num_rows = min(batch.num_rows, self._max_rows - self.num_rows)
        room = self._max_elements - self.num_elements
        if self._lists and self._elements(batch.slice(0, num_rows)) > room:
            ends = [_ends(batch.column(name).slice(0, num_rows)) for name in self._lists]
            num_rows = min(int(end.searchsorted(room, side="right")) for end in ends)
        return num_rows or (0 if self.num_rows else 1)

    def add(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._batches.append(_matching(batch, self._schema))
            self.num_rows += batch.num_rows
            self.num_elements += self._elements(batch)
            self.num_bytes += batch.nbytes

    def flush(self) -> None:
        """Write what waits as one row group."""
        if not self._batches:
            return
        # Chunks with unequal dictionaries would make the writer give up dictionary encoding.
        table = pa.Table.from_batches(self._batches, self._schema).unify_dictionaries()
        self._writer.write_table(table, row_group_size=self.num_rows)
        self._total_rows += self.num_rows
        self._clear()

    def finish(self) -> Part:
        self.flush()
        self._writer.close()
        num_bytes = self.sink.tell()
        self.sink.close()
        digest = self.sink.digest.hexdigest()
        return Part(self.table, self.dt, self.path, self._total_rows, num_bytes, digest)

    def abandon(self) -> None:
        self.sink.abandon()
        self._writer.close()

    def _elements(self, batch: pa.RecordBatch) -> int:
        return max((len(batch.column(name).flatten()) for name in self._lists), default=0)


def escape(dt: str) -> str:
    """`dt` as one folder name: every byte but ASCII letters, digits, `_.-~` as %XX."""
    return quote(dt, safe="")


def is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _encodings(schema: pa.Schema) -> tuple[list[str], dict[str, str]]:
    """(columns to try a dictionary on, the encoding of others), as Parquet names them.

    Integer item ids are of a large catalogue: packed differences are smaller than plain numbers
    and take half the time. Other numbers in lists: zstd does as well as a dictionary, sooner.
    """
    encoded, packed = [], {}
    for field in schema:
        listed = is_list(field.type)
        kind = field.type.value_type if listed else field.type
        path = f"{field.name}.list.element" if listed else field.name
        if field.name.endswith("item_id") and pa.types.is_integer(kind):
            packed[path] = "DELTA_BINARY_PACKED"
        elif not (listed and pa.types.is_primitive(kind)):
            encoded.append(path)
    return encoded, packed


def _ends(column: pa.Array) -> Any:
    """Running number of elements after each row, int64 [rows]."""
    return pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False).cumsum()


def _without_dt(schema: pa.Schema) -> pa.Schema:
    place = schema.get_field_index("dt")
    return (schema if place < 0 else schema.remove(place)).remove_metadata()


def _plain_schema(batch: pa.RecordBatch) -> pa.Schema:
    """The batch's schema without dt; dictionaries as the values they stand for."""
    fields = (
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in _without_dt(batch.schema)
    )
    return pa.schema(fields)


def _conform(batch: pa.RecordBatch, schema: pa.Schema, table: str) -> pa.RecordBatch:
    """The columns of `schema`, in its order and nullability; dictionaries stay encoded."""
    found = sorted(set(batch.schema.names) - {"dt"})
    assert found == sorted(schema.names), f"{table}: columns {found}, not {sorted(schema.names)}"
    batch = as_batch({name: batch.column(name) for name in schema.names}, schema)
    for field, column in zip(schema, batch.columns, strict=True):
        assert field.nullable or not column.null_count, f"{table}.{field.name} holds nulls"
    return batch


def _matching(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` in the encoding (plain or dictionary) that the file's first batch chose."""
    if batch.schema == schema:
        return batch
    columns = [column.cast(kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
