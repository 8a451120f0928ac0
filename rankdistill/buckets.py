"""Rows on their way into the order of a key, more of them than memory holds: put into files by
the highest bits of the key, then taken bucket by bucket. Each is then sorted by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.private import create

ENDING = ".arrow"
MAX_BUCKETS = 256  # each is an open file
BUCKET_ROWS = 2**20


class Buckets:
    """schema: of the rows, its text as large_string; num_rows: about how many there will be;
    num_bits: of the keys, which are evenly spread below 2^num_bits."""

    def __init__(self, stem: Path, schema: pa.Schema, num_rows: int, num_bits: int = 64) -> None:
        wanted = -(-num_rows // BUCKET_ROWS)
        bits = min((max(wanted, 1) - 1).bit_length(), MAX_BUCKETS.bit_length() - 1, num_bits)
        self._bits, self._shift = bits, np.uint64(num_bits - bits)
        names = [f"{stem.name}-{number:03d}{ENDING}" for number in range(1 << bits)]
        self._paths = [stem.with_name(name) for name in names]
        self._schema = schema
        self._open = ExitStack()
        self._writers = [self._writer(path) for path in self._paths]

    def _writer(self, path: Path) -> Any:
        file = self._open.enter_context(os.fdopen(create(path), "wb"))
        return self._open.enter_context(pa.ipc.new_stream(file, self._schema))

    def put(self, key: np.ndarray, columns: list[Any]) -> None:
        """key: uint64 [n]; columns: of the schema, [n] each."""
        rows = pa.RecordBatch.from_arrays(
            [pa.array(c) if isinstance(c, np.ndarray) else c for c in columns], schema=self._schema
        )
        if not self._bits:
            self._writers[0].write_batch(rows)
            return
        bucket = (key >> self._shift).astype(np.uint8)
        order = np.argsort(bucket, kind="stable")
        rows = rows.take(pa.array(order))
        ends = np.cumsum(np.bincount(bucket, minlength=len(self._writers))).tolist()
        for writer, start, end in zip(self._writers, [0, *ends[:-1]], ends, strict=True):
            if end > start:
                writer.write_batch(rows.slice(start, end - start))

    def __enter__(self) -> Buckets:
        return self

    def __exit__(self, *fault: Any) -> None:
        self._open.close()

    def taken(self) -> Iterator[pa.Table]:
        """The buckets that hold rows, by ascending key; the rows of each as they were put.
        Their files are removed."""
        self._open.close()
        for path in self._paths:
            with pa.memory_map(str(path)) as source:
                rows = pa.ipc.open_stream(source).read_all()
            path.unlink()
            if rows.num_rows:
                yield rows
