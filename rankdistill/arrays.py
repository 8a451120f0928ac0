"""Arrays in files: written piece by piece from front to back, then mapped by whoever reads them.

The pages of a mapped array belong to the machine: its processes share them, and they are let go
where memory is short. So nothing here is limited by memory but the pieces.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.private import create

ENDING = ".npy"


class ArrayFile:
    """A new .npy file of one dimension that grows; its length is told when it is closed."""

    def __init__(self, path: Path, dtype: Any) -> None:
        self._file = os.fdopen(create(path), "wb")
        self._dtype, self._length = np.dtype(dtype), 0
        self._write_head()

    def append(self, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values, self._dtype)
        self._file.write(values.data)
        self._length += len(values)

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with closing(self._file):
            # NumPy leaves room in the head, so that its size does not go by the length.
            self._file.seek(0)
            self._write_head()

    def _write_head(self) -> None:
        head = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._file, head)


def put(path: Path, pieces: Iterable[np.ndarray], dtype: Any) -> None:
    """A new file of the pieces, one after the other."""
    with ArrayFile(path, dtype) as file:
        for piece in pieces:
            file.append(piece)


def mapped(path: Path) -> np.ndarray:
    """The array in a file, read-only, on pages of the machine; the file may be removed."""
    return np.asarray(np.load(path, mmap_mode="r"))


class IdFile:
    """New files of ids, int64 or string, without nulls: <stem>.npy, or <stem>.text.npy and
    <stem>.offsets.npy."""

    def __init__(self, stem: Path, kind: pa.DataType) -> None:
        self._is_text = not pa.types.is_integer(kind)
        self._end = 0
        if self._is_text:
            self._text = ArrayFile(_of(stem, "text"), np.uint8)
            self._offsets = ArrayFile(_of(stem, "offsets"), np.int64)
            self._offsets.append(np.zeros(1, np.int64))
        else:
            self._values = ArrayFile(_of(stem), np.int64)

    def append(self, ids: pa.Array) -> None:
        assert ids.null_count == 0, ids.null_count
        if not self._is_text:
            self._values.append(ids.to_numpy())
            return
        ids = ids.cast(pa.large_string())
        _, offsets_buffer, text = ids.buffers()
        offsets = np.frombuffer(offsets_buffer, np.int64)[ids.offset :][: len(ids) + 1]
        if len(ids):
            first, last = offsets[[0, -1]].tolist()
            self._text.append(np.frombuffer(text or b"", np.uint8)[first:last])
            self._offsets.append(offsets[1:] - first + self._end)
            self._end += last - first

    def __enter__(self) -> IdFile:
        return self

    def __exit__(self, *fault: Any) -> None:
        for file in (self._text, self._offsets) if self._is_text else (self._values,):
            file.__exit__(*fault)


def mapped_ids(stem: Path) -> pa.Array:
    """The ids in files, int64 or large_string (32-bit offsets end at 2 GB of text)."""
    if _of(stem).exists():
        values = mapped(_of(stem))
        return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])
    offsets, text = (mapped(_of(stem, part)) for part in ("offsets", "text"))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)


def _of(stem: Path, *part: str) -> Path:
    return stem.with_name(".".join([stem.name, *part]) + ENDING)
