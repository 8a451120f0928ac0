"""`Chunk`, what training sees of some requests: encoded users and items, and samples of them.

Between the loader, which makes chunks of a build's rows and cuts batches from them, and the
objectives, which score every slot once and gather their samples from the scores.
Shapes: R requests, N slots (an item of a request), T rows of a sample kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from rankdistill.lists.batch import owners, spans


@dataclass(frozen=True)
class Bag:
    """Codes of a field with several values: those of row i stand at start[i] : start[i + 1].

    start: int64 [n + 1], from 0; codes: int64.
    """

    start: np.ndarray
    codes: np.ndarray

    def part(self, first: int, last: int) -> Bag:
        begin, end = self.start[[first, last]]
        return Bag(self.start[first : last + 1] - begin, self.codes[begin:end])

    def joined(self, other: Bag) -> Bag:
        """The rows of both, one after the other."""
        start = np.concatenate([self.start, self.start[-1] + other.start[1:]])
        return Bag(start, np.concatenate([self.codes, other.codes]))

    def take(self, rows: np.ndarray) -> Bag:
        lengths = np.diff(self.start)[rows]
        codes = self.codes[spans(self.start[rows], lengths)]
        return Bag(np.concatenate([[0], np.cumsum(lengths)]), codes)


@dataclass(frozen=True)
class Encoded:
    """The features of n users or items, as rows of the one embedding table and as numbers.

    codes: int64 [I, F], of fields with one value; bags: of those with several, in their
    order; dense: float32 [I, D]. place: int64 [n], of which of these I each of the n is; None
    where they are the n themselves.
    """

    codes: np.ndarray
    bags: tuple[Bag, ...] = ()
    dense: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    place: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.codes) if self.place is None else len(self.place)

    def part(self, first: int, last: int) -> Encoded:
        if self.place is not None:
            return replace(self, place=self.place[first:last])
        bags = tuple(bag.part(first, last) for bag in self.bags)
        return Encoded(self.codes[first:last], bags, self.dense[first:last])

    def joined(self, other: Encoded) -> Encoded:
        """The rows of both, one after the other."""
        bags = tuple(a.joined(b) for a, b in zip(self.bags, other.bags, strict=True))
        codes = np.concatenate([self.codes, other.codes])
        dense = np.concatenate([self.dense, other.dense])
        if self.place is None and other.place is None:
            return Encoded(codes, bags, dense)
        place = np.concatenate([self.places, other.places + len(self.codes)])
        return Encoded(codes, bags, dense, place)

    def take(self, rows: np.ndarray) -> Encoded:
        if self.place is not None:
            return replace(self, place=self.place[rows])
        bags = tuple(bag.take(rows) for bag in self.bags)
        dense = self.dense[rows] if self.dense.shape[1] else self.dense
        return Encoded(self.codes[rows], bags, dense)

    @property
    def places(self) -> np.ndarray:
        """int64 [n], where each stands among the rows that are held."""
        return np.arange(len(self.codes)) if self.place is None else self.place

    def plain(self) -> Encoded:
        """The same with a row held for each of the n."""
        return self if self.place is None else replace(self, place=None).take(self.place)


@dataclass(frozen=True)
class Drawn:
    """The rows of one sample kind: those of request r stand at start[r] : start[r + 1].

    slots: name -> int64 [T], slots of the chunk (pos, neg, item), below 0 where there is none;
    values: name -> [T].
    """

    start: np.ndarray
    slots: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls,
        request: np.ndarray,
        num_requests: int,
        slots: Mapping[str, np.ndarray],
        values: Mapping[str, np.ndarray],
    ) -> Drawn:
        """request: of each row, int64 [T] ascending."""
        start = np.searchsorted(request, np.arange(num_requests + 1))
        return cls(start, slots, values)

    def filled(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the rows of each request begin and end, of the requests that have any."""
        rows = np.flatnonzero(np.diff(self.start))
        return self.start[rows], self.start[rows + 1]

    def part(self, first: int, last: int, slot: int) -> Drawn:
        """Of requests first : last, whose slots begin at `slot`."""
        begin, end = self.start[[first, last]]
        return Drawn(
            self.start[first : last + 1] - begin,
            {name: found[begin:end] - slot for name, found in self.slots.items()},
            {name: found[begin:end] for name, found in self.values.items()},
        )


@dataclass(frozen=True)
class Links:
    """Which slots hold the same item. row: int64 [I], a slot of each distinct item; item: int64
    [N], the distinct item of each slot; order: int64 [N], slots by item, those of item i at
    start[i] : start[i + 1]."""

    row: np.ndarray
    item: np.ndarray
    order: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, encoded: Encoded) -> Links:
        """Rows with equal places, or codes, are one item; where there are bags or numbers and no
        places, each is its own."""
        num = len(encoded)
        codes = encoded.codes if encoded.place is None else encoded.place[:, None]
        if encoded.place is None and (encoded.bags or encoded.dense.shape[1]):
            own = np.arange(num)
            return cls(own, own, own, np.arange(num + 1))
        order = stable_order(codes)
        ordered = codes[order]
        is_new = np.ones(num, dtype=bool)
        is_new[1:] = (ordered[1:] != ordered[:-1]).any(1)
        item = np.empty(num, dtype=np.int64)
        item[order] = np.cumsum(is_new) - 1
        first = np.flatnonzero(is_new)
        return cls(order[first], item, order, np.append(first, num))


def stable_order(codes: np.ndarray) -> np.ndarray:
    """The rows of codes [n, F] so that equal ones stand together, in their order; int64 [n]."""
    num, bits = len(codes), len(codes).bit_length()
    # One sort of packed words: several times as fast as an argsort.
    if codes.shape[1] == 1 and (num == 0 or int(codes.max()) < 1 << (63 - bits)):
        return np.sort((codes[:, 0] << bits) | np.arange(num)) & ((1 << bits) - 1)
    return np.lexsort(codes.T)


@dataclass(frozen=True)
class Chunk:
    """Some requests as training sees them.

    request_id: [R]; offsets: int64 [R + 1], the slots of request r stand at offsets[r] :
    offsets[r + 1]; users: of each request; items: of each slot; columns: name -> [N], what is
    known of a slot beside its features (teacher_rank, score, exposed, responded, feedback);
    drawn: by sample kind; num_items: how many there are to draw uniformly from.
    """

    request_id: pa.Array
    offsets: np.ndarray
    users: Encoded
    items: Encoded
    columns: Mapping[str, np.ndarray]
    drawn: Mapping[str, Drawn]
    num_items: int = 0

    @property
    def num_requests(self) -> int:
        return len(self.offsets) - 1

    @property
    def num_slots(self) -> int:
        return int(self.offsets[-1])

    @cached_property
    def request(self) -> np.ndarray:
        """The request of each slot, int64 [N]."""
        return owners(self.offsets)

    @cached_property
    def links(self) -> Links:
        """Which slots hold the same item."""
        return Links.of(self.items)

    def part(self, first: int, last: int) -> Chunk:
        """Requests first : last; arrays are views."""
        begin, end = (int(at) for at in self.offsets[[first, last]])
        return Chunk(
            self.request_id.slice(first, last - first),
            self.offsets[first : last + 1] - begin,
            self.users.part(first, last),
            self.items.part(begin, end),
            {name: column[begin:end] for name, column in self.columns.items()},
            {kind: drawn.part(first, last, begin) for kind, drawn in self.drawn.items()},
            self.num_items,
        )

    def cuts(self, max_requests: int, max_slots: int) -> list[int]:
        """Where to cut it into batches, from 0 to R: of at most so many requests and slots, but
        for a single request with more."""
        cuts = [0]
        while cuts[-1] < self.num_requests:
            first = cuts[-1]
            limit = self.offsets[first] + max_slots
            last = int(np.searchsorted(self.offsets, limit, side="right")) - 1
            cuts.append(max(first + 1, min(last, first + max_requests)))
        return cuts


def padded(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """values[begin : end] of each of B rows as [B, n] with zeros behind, and where they are;
    n at least 1."""
    lengths = end - begin
    place = np.arange(int(lengths.max(initial=1)))
    mask = place < lengths[:, None]
    found = np.zeros(mask.shape, dtype=values.dtype)
    found[mask] = values[spans(begin, lengths)]
    return found, mask
