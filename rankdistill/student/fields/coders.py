"""What a field learned of its column: which row a value has, and a number's mean and edges.

Each is a small table beside the run. Beside `Vocabulary`, which is the other coder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from rankdistill.hashing import U64, xxh64
from rankdistill.lists.batch import numbers
from rankdistill.student.vocabulary import UNKNOWN, plain


class Coder(Protocol):
    """Values to codes 0 .. size - 1, of which UNKNOWN is that of null and of what is unknown."""

    @property
    def size(self) -> int: ...

    def codes(self, values: pa.Array) -> np.ndarray:
        """int64 [n]."""
        ...

    def keys(self) -> np.ndarray:
        """What names each code's value whatever its number, uint64 [size]."""
        ...

    def table(self) -> pa.Table:
        """All there is to be kept of it."""
        ...


@dataclass(frozen=True)
class Hashed:
    """Values by their hash into `buckets` rows."""

    buckets: int

    @property
    def size(self) -> int:
        return self.buckets + 1

    def codes(self, values: pa.Array) -> np.ndarray:
        values = plain(values)
        code = (xxh64(values) % U64(self.buckets)).astype(np.int64) + 1
        return np.where(values.is_valid().to_numpy(zero_copy_only=False), code, UNKNOWN)

    def keys(self) -> np.ndarray:
        return np.arange(self.size, dtype=U64)

    def table(self) -> pa.Table:
        return pa.table({"buckets": [self.buckets]})

    @classmethod
    def of_table(cls, table: pa.Table) -> Hashed:
        (buckets,) = table.column("buckets").to_pylist()
        return cls(int(buckets))


@dataclass(frozen=True)
class Edges:
    """Numbers by ascending edges (float64 [B]): code 1 below the first, B + 1 from the last on."""

    edge: np.ndarray

    @property
    def size(self) -> int:
        return len(self.edge) + 2

    def codes(self, values: pa.Array) -> np.ndarray:
        found = finite(values)
        code = np.searchsorted(self.edge, found, side="right") + 1
        return np.where(np.isnan(found), UNKNOWN, code)

    def keys(self) -> np.ndarray:
        return np.arange(self.size, dtype=U64)

    def table(self) -> pa.Table:
        return pa.table({"edge": self.edge})

    @classmethod
    def of_table(cls, table: pa.Table) -> Edges:
        return cls(table.column("edge").to_numpy().astype(np.float64, copy=False))


@dataclass(frozen=True)
class Standard:
    """Numbers less their mean, by their deviation (0: only less the mean)."""

    mean: float
    deviation: float

    def numbers(self, values: pa.Array) -> np.ndarray:
        """float32 [n, 2]: the number, 0 where it is null; 1 where it is null."""
        found = finite(values)
        is_null = np.isnan(found)
        scaled = (found - self.mean) / (self.deviation or 1.0)
        return np.stack([np.where(is_null, 0.0, scaled), is_null], 1).astype(np.float32)

    def table(self) -> pa.Table:
        return pa.table({"mean": [self.mean], "deviation": [self.deviation]})

    @classmethod
    def of_table(cls, table: pa.Table) -> Standard:
        (row,) = table.to_pylist()
        return cls(float(row["mean"]), float(row["deviation"]))


def finite(values: pa.Array) -> np.ndarray:
    """Numbers as float64 [n] with the precision of float32, NaN where there is none or it is not
    finite."""
    if pa.types.is_temporal(values.type) or pa.types.is_decimal(values.type):
        kind = pa.float64() if pa.types.is_decimal(values.type) else pa.int64()
        values = values.cast(kind)
    with np.errstate(over="ignore"):
        found = numbers(values, np.float64).astype(np.float32).astype(np.float64)
    return np.where(np.isfinite(found), found, np.nan)
