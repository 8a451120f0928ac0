"""An export read back: every byte is compared with the manifest before it is believed.

Nothing in it is unpickled and no code of it is run; `encoder.py` is for who serves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.catalogue.ann import faiss_package
from rankdistill.errors import TrainingError
from rankdistill.export.folder import MANIFEST
from rankdistill.store.files import sha256
from rankdistill.student.serving.export import INDEX, ITEMS, KIND, USERS, VERSION
from rankdistill.student.serving.tower import PROGRAM, Vectors, run_program

MAX_MANIFEST = 64 * 2**20
_FAULTS = (OSError, ValueError, KeyError, TypeError, RecursionError, RuntimeError, AssertionError)


@dataclass(frozen=True)
class Opened:
    """folder, and what its manifest says."""

    folder: Path
    manifest: dict[str, Any]

    def items(self) -> tuple[pa.Array, np.ndarray]:
        """(item ids [I], vectors float32 [I, d]); item i of the index is row i."""
        return self._vectors(ITEMS, "item_id")

    def users(self) -> tuple[pa.Array, np.ndarray]:
        """(user ids [U], vectors float32 [U, d])."""
        return self._vectors(USERS, "user_id")

    def index(self) -> Any:
        """The faiss index."""
        path = self._path(INDEX)
        try:
            index = faiss_package().read_index(str(path))
            if (index.d, index.ntotal) != (self.manifest["dim"], self.manifest["items"]):
                raise ValueError(f"{index.ntotal} vectors of {index.d} numbers")
        except _FAULTS as fault:
            raise _unreadable(path, fault) from fault
        return index

    def user_tower(self) -> Vectors:
        """The tower's inputs, as the manifest tells them, -> vectors of each objective [R, d]."""
        path = self._path(PROGRAM)
        try:
            return run_program(path)
        except _FAULTS as fault:
            raise _unreadable(path, fault) from fault

    def _path(self, name: str) -> Path:
        known = [each["name"] for each in self.manifest["files"]]
        if name not in known:
            raise TrainingError(
                "E0504",
                f"the export in {self.folder} has no {name}",
                found=", ".join(known),
                help="export again and ask for it",
            )
        return self.folder / name

    def _vectors(self, name: str, column: str) -> tuple[pa.Array, np.ndarray]:
        path = self._path(name)
        try:
            table = pq.read_table(path).combine_chunks()
            if table.schema.names != [column, "vector"]:
                raise ValueError(f"columns {', '.join(table.schema.names)[:200]}")
            kind = table.schema.field("vector").type
            if not (pa.types.is_fixed_size_list(kind) and kind.value_type == pa.float32()):
                raise ValueError(f"vectors are {kind}")
            value = table.column("vector").chunk(0).flatten().to_numpy().reshape(len(table), -1)
            if value.shape[1] != self.manifest["dim"] or not np.isfinite(value).all():
                raise ValueError(f"vectors of {value.shape[1]} numbers, or numbers that are none")
            return table.column(column).chunk(0), value
        except (*_FAULTS, pa.ArrowException, IndexError) as fault:
            raise _unreadable(path, fault) from fault


def open_export(folder: str | Path) -> Opened:
    """The export in that folder. TrainingError E0504: a file is missing, changed or foreign."""
    folder = Path(folder)
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST:
            raise ValueError("more than 64 MB of JSON")
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
            raise ValueError("it is the manifest of no export")
        if manifest["schema_version"] != VERSION:
            raise ValueError(f"version {manifest['schema_version']!r}, known is {VERSION}")
        for each in manifest["files"]:
            path = folder / _plain(each["name"])
            if path.is_symlink() or path.stat().st_size != each["bytes"]:
                raise ValueError(f"it is not the file of {each['bytes']} bytes that was written")
            if (found := sha256(path)) != each["sha256"]:
                raise ValueError(f"sha256 {found[:12]}... instead of {each['sha256'][:12]}...")
    except _FAULTS as fault:
        raise _unreadable(path, fault) from fault
    return Opened(folder, manifest)


def _plain(name: str) -> str:
    if name != Path(name).name or name in ("", ".", ".."):
        raise ValueError(f"{name[:80]!r} is no name of a file in it")
    return name


def _unreadable(path: Path, fault: BaseException) -> TrainingError:
    return TrainingError(
        "E0504",
        f"{path} of an export cannot be read",
        found=f"{type(fault).__name__}: {str(fault)[:300]}",
        help="export the run again",
    )
