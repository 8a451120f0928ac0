"""All items of a day's catalogue with their counts, by the key that every look-up goes by.

Made once for a day from the table `items` of a window of days, and from a table of all items,
into files that every task maps: a catalogue may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.arrays import ArrayFile, IdFile, mapped, mapped_ids
from rankdistill.buckets import Buckets
from rankdistill.catalogue.guide import Guide
from rankdistill.errors import InputError
from rankdistill.hashing import xxh64


@dataclass(frozen=True)
class Catalogue:
    """C items, ascending by key; an item's index is its place here. All arrays are mapped.

    item_id: int64 or large_string [C], distinct; key: uint64 [C], xxh64(item_id), distinct;
    counts: int64 [C] each (exposed, positive, click, ...), totals: their sums; guide: over key.
    """

    item_id: pa.Array
    key: np.ndarray
    counts: Mapping[str, np.ndarray]
    totals: Mapping[str, int]
    guide: Guide

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def load(cls, folder: Path, names: Sequence[str]) -> Catalogue:
        """What `put_catalogue` put into the folder; names: of the counts."""
        key = mapped(folder / "items.key.npy")
        totals = mapped(folder / "items.totals.npy").tolist()
        return cls(
            mapped_ids(folder / "items.id"),
            key,
            {name: mapped(folder / f"items.num_{name}.npy") for name in names},
            dict(zip(names, totals, strict=True)),
            Guide.load(folder / "items.guide.npy", key, 64),
        )

    def find(self, key: np.ndarray) -> np.ndarray:
        """The index of each item by its key (uint64 [T]), -1 where it is not here; int64 [T]."""
        at = self.guide.num_up_to(key) - 1
        if not len(self):
            return at
        at[self.key.take(at, mode="clip") != key] = -1
        return at


def put_catalogue(
    folder: Path,
    rows: Iterable[pa.RecordBatch],
    item_id: pa.DataType,
    names: Sequence[str],
    num_rows: int,
) -> None:
    """The items of `rows`, in any order, into new files in `folder`, for `Catalogue.load`.

    rows: item_id without nulls and num_<name>, int64, of each count; those of one item are
    added. num_rows: about how many. InputError E0314 where two ids have the same key.
    """
    totals = np.zeros(len(names), dtype=np.int64)
    with ExitStack() as opened:
        ids = opened.enter_context(IdFile(folder / "items.id", item_id))
        keys, *counts = (
            opened.enter_context(ArrayFile(folder / f"items.{name}.npy", dtype))
            for name, dtype in [("key", np.uint64), *((f"num_{n}", np.int64) for n in names)]
        )
        for key, own, columns in _buckets(folder, rows, item_id, names, num_rows):
            ids.append(own)
            keys.append(key)
            for i, column in enumerate(columns):
                counts[i].append(column)
                totals[i] += column.sum()
    with ArrayFile(folder / "items.totals.npy", np.int64) as file:
        file.append(totals)
    Guide.put(folder / "items.guide.npy", mapped(folder / "items.key.npy"), 64)


def _buckets(
    folder: Path,
    rows: Iterable[pa.RecordBatch],
    item_id: pa.DataType,
    names: Sequence[str],
    num_rows: int,
) -> Iterator[tuple[np.ndarray, pa.Array, list[np.ndarray]]]:
    """(key, item_id, counts) of items in the order of their keys, some million at once."""
    kind = pa.int64() if pa.types.is_integer(item_id) else pa.large_string()
    num = [f"num_{name}" for name in names]
    fields = [("key", pa.uint64()), ("item_id", kind), *((name, pa.int64()) for name in num)]
    with Buckets(folder / "items.rows", pa.schema(fields), num_rows) as buckets:
        for batch in rows:
            own = batch.column("item_id")
            assert own.null_count == 0, own.null_count
            key = xxh64(own)
            buckets.put(key, [key, own.cast(kind), *(batch.column(name) for name in num)])
        for bucket in buckets.taken():
            yield _ordered(bucket)


def _ordered(bucket: pa.Table) -> tuple[np.ndarray, pa.Array, list[np.ndarray]]:
    key = bucket.column("key").to_numpy()
    order = np.argsort(key)
    key, item_id = key[order], bucket.column("item_id").combine_chunks().take(pa.array(order))
    counts = [column.to_numpy()[order] for column in bucket.columns[2:]]
    is_again = key[1:] == key[:-1]
    if not is_again.any():
        return key, item_id, counts
    _refuse_collisions(item_id, np.flatnonzero(is_again))
    start = np.flatnonzero(np.concatenate([[True], ~is_again]))
    added = [np.add.reduceat(count, start) for count in counts]
    return key[start], item_id.take(pa.array(start)), added


def _refuse_collisions(item_id: pa.Array, again: np.ndarray) -> None:
    """again: int64, indices of items with the key of the next one."""
    one, other = item_id.take(pa.array(again)), item_id.take(pa.array(again + 1))
    differ = pc.not_equal(one, other)
    if pc.any(differ).as_py():
        pair = [column.filter(differ)[0].as_py() for column in (one, other)]
        raise InputError(
            "E0314",
            "two items of the catalogue have the same 64-bit key",
            found=" and ".join(sorted(map(repr, pair))),
            help="give one of the two items another id, in the log and in the item table",
        )
