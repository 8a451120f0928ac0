"""Where an export writes: a new folder that appears whole, under its name, or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.disk import no_room
from rankdistill.errors import PlaceError, UserError
from rankdistill.private import DIR_MODE, create
from rankdistill.store import place
from rankdistill.store.files import sha256, sync
from rankdistill.store.outputs import refuse_table

MANIFEST = "manifest.json"
GROUP_ROWS = 65_536


class Folder:
    """Files under way, in a folder beside the final one.

    rows: {file: rows so far}. columns: {file: {column: type}}, of files that have columns.
    notes, facts: what a format wants the manifest to say: sentences, and keys of its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, int] = {}
        self.columns: dict[str, dict[str, str]] = {}
        self.notes: list[str] = []
        self.facts: dict[str, Any] = {}
        self._open: dict[str, Any] = {}
        self._sinks: list[IO[bytes]] = []  # below the Parquet writers, which leave them open

    def write(self, name: str, data: bytes, num_rows: int, header: bytes = b"") -> None:
        """Add bytes to a file; `header` goes first into a new one."""
        file = self._get(name, lambda: self._create(name))
        if name not in self.rows:
            file.write(header)
        file.write(data)
        self.rows[name] = self.rows.get(name, 0) + num_rows

    def write_table(self, name: str, rows: pa.RecordBatch | pa.Table) -> None:
        """Add rows to a Parquet file; its columns are those of the first ones."""
        if isinstance(rows, pa.RecordBatch):
            rows = pa.Table.from_batches([rows])

        def start() -> pq.ParquetWriter:
            self.columns[name] = {field.name: str(field.type) for field in rows.schema}
            self._sinks.append(sink := self._create(name))
            return pq.ParquetWriter(sink, rows.schema, compression="zstd")

        self._get(name, start).write_table(rows, row_group_size=GROUP_ROWS)
        self.rows[name] = self.rows.get(name, 0) + rows.num_rows

    def finish(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Close all files and write the manifest: `facts`, and what the files hold."""
        self.close()
        manifest = facts | {"files": [self._facts_of(name) for name in sorted(self.rows)]}
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        with self._create(MANIFEST) as file:
            file.write(text.encode())
        sync(self.path / MANIFEST)
        return manifest

    def _facts_of(self, name: str) -> dict[str, Any]:
        path = self.path / name
        sync(path)
        size, digest = path.stat().st_size, sha256(path)
        row = {"name": name, "rows": self.rows[name], "bytes": size, "sha256": digest}
        return row | ({"columns": self.columns[name]} if name in self.columns else {})

    def close(self) -> None:
        for file in [*self._open.values(), *self._sinks]:
            file.close()
        self._open.clear()
        self._sinks.clear()

    def _get(self, name: str, start: Callable[[], Any]) -> Any:
        if name not in self._open:
            assert name not in self.rows, f"{name} is closed"
            self._open[name] = start()
        return self._open[name]

    def _create(self, name: str) -> IO[bytes]:
        return os.fdopen(create(self.path / name), "wb", buffering=1 << 20)


@contextmanager
def new_folder(out: str | Path, data_set: Path) -> Iterator[Folder]:
    """A `Folder` that becomes `out` when the block ends well, and nothing where it does not.

    Raises PlaceError E0201 where something is in `out` already, E0202 where the place is not
    fit: the data set itself, a link, the home folder, not writable.
    """
    final = _refuse_unfit(out, data_set)
    draft = final.with_name(f"{final.name}.partial-{uuid4().hex[:12]}")
    try:
        final.parent.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
        draft.mkdir(mode=DIR_MODE)
    except OSError as error:
        raise _unmade(out, error) from None
    folder = Folder(draft)
    try:
        yield folder
        _appear(draft, final)
    finally:
        try:
            folder.close()
        finally:  # on a full disk files cannot be closed, either
            shutil.rmtree(draft, ignore_errors=True)


def _refuse_unfit(out: str | Path, data_set: Path) -> Path:
    refuse_table(out)
    if os.path.isdir(out) and (inside := sorted(os.listdir(out))):
        raise PlaceError(
            "E0201",
            f"refusing to write into {out}: the folder is not empty",
            found=", ".join(inside[:5]),
            help="name an empty or a new folder as --out",
        )
    return place.output(out, [data_set])


def _appear(draft: Path, final: Path) -> None:
    """One rename: the folder was not there, or was empty, and is there with all its files."""
    sync(draft)
    try:
        draft.rename(final)
    except OSError as error:
        raise _unmade(final, error) from None
    sync(final.parent)


def _unmade(out: str | Path, error: OSError) -> UserError:
    return no_room(error, out) or PlaceError(
        "E0202",
        f"the folder {out} cannot be made: {error.strerror}",
        found=str(error.filename),
        help="name a new folder as --out, where you may write",
    )
