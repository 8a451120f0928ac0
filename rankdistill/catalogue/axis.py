"""The laws of a catalogue, made once for a day and put into files that every task maps.

Items stand on the axis in hashed order, as `law` draws from it; a law says how long each is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rankdistill.arrays import ArrayFile, mapped, put
from rankdistill.buckets import Buckets
from rankdistill.catalogue.guide import Guide
from rankdistill.catalogue.items import Catalogue
from rankdistill.catalogue.ticks import TICKS, TICKS_BITS, Scale, power
from rankdistill.hashing import mix, name_key

MAX_ALPHA = 16.0  # (2^63)^16 is still finite
_PIECE = 2**20  # items in memory at once


@dataclass(frozen=True)
class Uniform:
    """Every item alike."""


@dataclass(frozen=True)
class Popularity:
    """In proportion to (count + c)^alpha; with c = 0 what was never counted is never drawn."""

    count_of: str
    alpha: float = 0.75
    c: float = 1.0

    def __post_init__(self) -> None:
        assert 0 <= self.alpha <= MAX_ALPHA and self.c >= 0, self

    def weight(self, count: np.ndarray) -> np.ndarray:
        """float64 [T] of items by their counts, int64 [T]."""
        return power(count + self.c, self.alpha)


Weighing = Uniform | Popularity


class _Files(NamedTuple):
    """Of one law: what each item at the next places gets, and where that goes."""

    weighing: Weighing
    scale: Scale | None
    edge: ArrayFile


def put_laws(
    folder: Path, catalogue: Catalogue, seed: int, weighings: Mapping[str, Weighing]
) -> None:
    """The laws by name into new files in `folder`, for `Law.load`."""
    assert len(catalogue) < 2**31, len(catalogue)
    if not weighings:
        return
    possible = dict.fromkeys(weighings, 0)
    total = dict.fromkeys(weighings, 0)
    with ExitStack() as opened:
        order = opened.enter_context(ArrayFile(folder / "axis.order.npy", np.int32))
        places = opened.enter_context(_places(folder, len(catalogue)))
        files = {
            name: _Files(
                weighing,
                _scale(weighing, catalogue),
                opened.enter_context(ArrayFile(folder / f"law.{name}.edge.npy", np.int64)),
            )
            for name, weighing in weighings.items()
        }
        for law in files.values():
            law.edge.append(np.zeros(1))
        first = 0
        for item, counts in _hashed(folder, catalogue, seed, weighings):
            order.append(item)
            places.put(_spread(item, len(catalogue)), [item, _following(first, len(item))])
            first += len(item)
            for name, law in files.items():
                ticks = _ticks(law, len(catalogue), len(item), counts)
                law.edge.append(total[name] + np.cumsum(ticks))
                total[name] += int(ticks.sum())
                possible[name] += int(np.count_nonzero(ticks))
        put(folder / "axis.place.npy", _reverse(places), np.int32)
    assert max(total.values(), default=0) <= TICKS, total
    for name, num in possible.items():
        put(folder / f"law.{name}.possible.npy", [np.array([num])], np.int64)
        edge = mapped(folder / f"law.{name}.edge.npy")
        Guide.put(folder / f"law.{name}.guide.npy", edge, TICKS_BITS)


def _scale(weighing: Weighing, catalogue: Catalogue) -> Scale | None:
    if isinstance(weighing, Uniform):
        return None
    count = catalogue.counts[weighing.count_of]
    return Scale.of(lambda: map(weighing.weight, _pieces(count)))


def _pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    return (values[first : first + _PIECE] for first in range(0, len(values), _PIECE))


def _ticks(law: _Files, num_items: int, num: int, counts: Mapping[str, np.ndarray]) -> np.ndarray:
    """int64 [num] of items by their counts."""
    if law.scale is None:
        return np.full(num, TICKS // num_items)
    assert isinstance(law.weighing, Popularity)
    return law.scale.ticks(law.weighing.weight(counts[law.weighing.count_of]))


def _hashed(
    folder: Path, catalogue: Catalogue, seed: int, weighings: Mapping[str, Weighing]
) -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray]]]:
    """(items, their counts) in the order of the axis, some million at once."""
    names = sorted({w.count_of for w in weighings.values() if isinstance(w, Popularity)})
    fields = [("hashed", pa.uint64()), ("item", pa.int32()), *((n, pa.int64()) for n in names)]
    with Buckets(folder / "axis.rows", pa.schema(fields), len(catalogue)) as buckets:
        for first in range(0, len(catalogue), _PIECE):
            piece = slice(first, first + _PIECE)
            key = catalogue.key[piece]
            hashed = mix(seed, name_key("catalogue.order"), key)  # distinct, as the keys
            counts = [catalogue.counts[name][piece] for name in names]
            buckets.put(hashed, [hashed, _following(first, len(key)), *counts])
        for bucket in buckets.taken():
            hashed, item, *counts = (column.to_numpy() for column in bucket.columns)
            order = np.argsort(hashed)
            found = (count[order] for count in counts)
            yield item[order], dict(zip(names, found, strict=True))


def _following(first: int, num: int) -> np.ndarray:
    return np.arange(first, first + num, dtype=np.int32)


def _places(folder: Path, num_items: int) -> Buckets:
    schema = pa.schema([("item", pa.int32()), ("place", pa.int32())])
    return Buckets(folder / "axis.places", schema, num_items)


def _spread(item: np.ndarray, num_items: int) -> np.ndarray:
    """Item indices as keys that fill 64 bits, uint64 [T]."""
    return item.astype(np.uint64) << np.uint64(64 - num_items.bit_length())


def _reverse(places: Buckets) -> Iterator[np.ndarray]:
    """The place of each item, from (item, place) of all of them."""
    for bucket in places.taken():  # the items of a bucket follow each other
        item, place = (column.to_numpy() for column in bucket.columns)
        found = np.empty_like(place)
        found[item - item.min()] = place
        yield found
