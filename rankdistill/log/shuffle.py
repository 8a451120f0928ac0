"""The rows of a simulated day in hashed order over all its files, in bounded memory.

First every part spills its rows, sorted by key, one batch for each file to be; then each
file gathers its batches from all spills. The key is a hash of (seed, request, item), so the
order does not depend on how the day was cut into parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from rankdistill.hashing import mix, name_key, xxh64

KEY = "shuffle_key"


def spill(table: pa.Table, path: Path, *, seed: int, num_files: int) -> None:
    """The rows of `table` at `path`: batch i holds those that belong into file i."""
    key = _key(seed, table)
    order = np.argsort(key, kind="stable")
    table = table.append_column(KEY, pa.array(key)).combine_chunks().take(order)
    ends = np.searchsorted(key[order], _first_keys(num_files)).tolist()
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        for start, stop in zip([0, *ends], [*ends, len(key)], strict=True):
            writer.write_batch(_one_batch(table.slice(start, stop - start)))


def gather(spills: Sequence[Path], number: int) -> pa.Table:
    """The rows of file `number` in the order of their keys."""
    batches = []
    for path in spills:
        with pa.memory_map(str(path)) as file:
            batches.append(pa.ipc.open_file(file).get_batch(number))
    table = pa.Table.from_batches(batches).combine_chunks()
    order = np.argsort(table.column(KEY).to_numpy(), kind="stable")
    return table.drop_columns(KEY).take(order)


def _key(seed: int, table: pa.Table) -> np.ndarray:
    parts = [xxh64(table.column("request_id"))]
    if not pa.types.is_list(table.schema.field("item_id").type):
        parts.append(xxh64(table.column("item_id")))
    return mix(seed, name_key("simulate.shuffle"), *parts)


def _first_keys(num_files: int) -> np.ndarray:
    """The least key of each file but the first (uint64 [num_files - 1])."""
    return np.array([number * 2**64 // num_files for number in range(1, num_files)], np.uint64)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.to_batches()
    assert len(batches) <= 1, "a table of several chunks"
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
