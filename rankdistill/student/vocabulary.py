"""Which row of the embedding table an id has: a vocabulary, counted on the training days.

Ids are known by their 64-bit key (XXH64), so integers and strings are handled alike, and a
vocabulary is a table (id, num_requests or num_slots), never a pickle. Shapes: V ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.guide import Guide
from rankdistill.hashing import U64, xxh64

UNKNOWN = 0  # the code of an id that is not there, and of a null


def plain(values: pa.Array) -> pa.Array:
    """Values as they are hashed: integers and text as they are, all else as text."""
    if pa.types.is_integer(values.type) or pa.types.is_string(values.type):
        return values
    return values.cast(pa.string())


@dataclass(frozen=True)
class Vocabulary:
    """V ids in the order of their keys; id i has code i + 1, every other id code UNKNOWN.

    id: Arrow array [V]; count: int64 [V], how often it was seen.
    """

    id: pa.Array
    count: np.ndarray

    @property
    def size(self) -> int:
        """Codes, UNKNOWN among them."""
        return len(self.count) + 1

    @cached_property
    def key(self) -> np.ndarray:
        """uint64 [V] ascending."""
        return xxh64(self.id)

    @cached_property
    def _guide(self) -> Guide:
        return Guide.over(self.key, 64)

    def keys(self) -> np.ndarray:
        """What names each code's id whatever its number, uint64 [size]; 0 of UNKNOWN."""
        return np.concatenate([np.zeros(1, U64), self.key])

    def codes(self, ids: pa.Array) -> np.ndarray:
        """The code of each id, int64 [n]."""
        ids = plain(ids)
        return self.codes_of_keys(xxh64(ids), None if not ids.null_count else ids)

    def codes_of_keys(self, key: np.ndarray, nulls: pa.Array | None = None) -> np.ndarray:
        """The same of their keys (uint64 [n]); UNKNOWN where `nulls` is null."""
        if not len(self.count):
            return np.zeros(len(key), dtype=np.int64)
        code = self._guide.num_up_to(key)
        code[self.key.take(np.maximum(code, 1) - 1) != key] = UNKNOWN
        if nulls is not None:
            code[nulls.is_null().to_numpy(zero_copy_only=False)] = UNKNOWN
        return code

    def table(self) -> pa.Table:
        """The vocabulary as it is saved; `of_table` reads it back."""
        return pa.table({"id": self.id, "count": self.count})

    @classmethod
    def of_table(cls, table: pa.Table) -> Vocabulary:
        return cls(
            table.column("id").combine_chunks(),
            table.column("count").to_numpy().astype(np.int64, copy=False),
        )


class Counting:
    """Ids with their counts, added up over batches."""

    def __init__(self) -> None:
        self._found: list[tuple[np.ndarray, np.ndarray, pa.Array]] = []

    def add(self, ids: pa.Array, times: np.ndarray) -> None:
        """Count each id that is not null so often as it stands there (int64 [n])."""
        self._put(xxh64(ids), times, ids)
        if len(self._found) > 16:
            self._found = [self._merged()]

    def _put(self, key: np.ndarray, count: np.ndarray, ids: pa.Array) -> None:
        valid = ids.is_valid().to_numpy(zero_copy_only=False)
        first, found, total = _by_key(key, count, valid)
        self._found.append((found, total, ids.take(pa.array(first))))

    def _merged(self) -> tuple[np.ndarray, np.ndarray, pa.Array]:
        keys, counts, ids = zip(*self._found, strict=True)
        held = pa.concat_arrays([each.cast(ids[0].type) for each in ids])
        key = np.concatenate(keys)
        first, found, total = _by_key(key, np.concatenate(counts), np.ones(len(key), dtype=bool))
        return found, total, held.take(pa.array(first))

    def vocabulary(self, min_count: int = 1) -> Vocabulary:
        """Those that were seen at least `min_count` times."""
        if not self._found:
            return Vocabulary(pa.array([], pa.int64()), np.zeros(0, np.int64))
        _, count, ids = self._merged()
        kept = np.flatnonzero(count >= min_count)
        return Vocabulary(ids.take(pa.array(kept)), count[kept])


def _by_key(
    key: np.ndarray, count: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(a row of each distinct key, the keys ascending, the sum of their counts)."""
    rows = np.flatnonzero(valid)
    order = rows[np.argsort(key[rows], kind="stable")]
    ordered = key[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    total = np.add.reduceat(count[order], starts) if len(starts) else np.zeros(0, np.int64)
    return order[starts], ordered[starts].astype(U64), total
