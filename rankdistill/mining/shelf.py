"""Everything that a task of mining reads, as arrays in files: any task, thread or machine that
sees the folder maps them, so that no task loads or receives the item matrix.

Users and items stand in the order of their keys; anchors and exclusions are indices of them.
"""

from __future__ import annotations

import threading
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.arrays import mapped
from rankdistill.catalogue.ann import ExactSearch, build_index, faiss_package
from rankdistill.catalogue.nearest import Excluded, Metric, Vectors, norms
from rankdistill.log.vectors import Vectors as VectorRows
from rankdistill.log.vectors import VectorTable, read_vectors

_INDEX = "items.index"


class Side:
    """U users or I items. id: [U]; key: uint64 [U], ascending; vectors: of all of them."""

    def __init__(self, folder: Path, name: str) -> None:
        # Read by every task: mapped, never loaded.
        self.key = mapped(folder / f"{name}.key.npy")
        value, norm = (mapped(folder / f"{name}.{part}.npy") for part in ("value", "norm"))
        self.vectors = Vectors(value, norm)
        with pa.ipc.open_file(pa.memory_map(str(folder / f"{name}.id.arrow"))) as reader:
            self.id = reader.get_batch(0).column(0)

    def find(self, key: np.ndarray) -> np.ndarray:
        """The index of each key, int64; -1 where there is none."""
        index = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return np.where(self.key[index] == key, index, -1)


def put_vectors(folder: Path, name: str, table: VectorTable) -> Side:
    """The vector table, read, checked and put into `folder`."""
    rows: VectorRows = read_vectors(table, name, folder / f"{name}.value.npy")
    np.save(folder / f"{name}.key.npy", rows.key)
    np.save(folder / f"{name}.norm.npy", norms(rows.value))
    batch = pa.RecordBatch.from_arrays([rows.id], ["id"])
    with pa.OSFile(str(folder / f"{name}.id.arrow"), "wb") as sink:
        with pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
    return Side(folder, name)


def put_index(folder: Path, items: Side, search: Any, metric: Metric) -> None:
    """The faiss index of the items, built once for all tasks; none for the exact search."""
    if not isinstance(search, ExactSearch):
        index = build_index(items.vectors, search, metric)
        faiss_package().write_index(index, str(folder / _INDEX))


def put_pairs(folder: Path, name: str, pairs: Excluded) -> None:
    """Items of each user, as `Shelf.positives` and `Shelf.excluded`."""
    np.save(folder / f"{name}.offsets.npy", pairs.offsets)
    np.save(folder / f"{name}.item.npy", pairs.item)


class Shelf:
    """What `put_...` put into a folder. positives: None where users alone are anchors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.users, self.items = Side(folder, "users"), Side(folder, "items")
        self.excluded = self._pairs("excluded")
        has_positives = (folder / "positives.item.npy").exists()
        self.positives = self._pairs("positives") if has_positives else None
        self._lock = threading.Lock()

    def _pairs(self, name: str) -> Excluded:
        parts = (self._folder / f"{name}.{part}.npy" for part in ("offsets", "item"))
        return Excluded(*map(mapped, parts))

    @property
    def index(self) -> Any:
        """The faiss index; read once, though many threads ask."""
        with self._lock:
            return self._index

    @cached_property
    def _index(self) -> Any:
        return faiss_package().read_index(str(self._folder / _INDEX))


@lru_cache(maxsize=1)
def shelf_at(folder: str) -> Shelf:
    """The shelf of a folder; kept, for a process works on many units of one."""
    return Shelf(Path(folder))
