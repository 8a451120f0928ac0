"""Columns to codes and numbers: the fields of users and items, over one embedding table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.hashing import mix, name_key
from rankdistill.lists.batch import Lists, spans
from rankdistill.student.chunk import Bag, Encoded
from rankdistill.student.fields.coders import Coder, Standard
from rankdistill.student.fields.columns import NEWEST, Items, Tables, candidate_times
from rankdistill.student.fields.histories import keys_held
from rankdistill.student.fields.snapshot import Snapshot
from rankdistill.student.vocabulary import UNKNOWN


@dataclass(frozen=True)
class RowField:
    """One row of the embedding table for a value: from row `first` on, as its coder says.

    name: with its side, user.city; kind: as in its options.
    """

    name: str
    kind: str
    column: str
    coder: Coder
    first: int

    def codes(self, column: pa.Array) -> np.ndarray:
        """Rows of the embedding table, int64 [n]."""
        return self.coder.codes(column) + self.first


@dataclass(frozen=True)
class BagField(RowField):
    """Rows of the embedding table for a list of values, or for the parts of a text. own: False
    where its rows are another field's."""

    separator: str | None = None
    last: int | None = None
    own: bool = True

    def bag(self, column: pa.Array) -> Bag:
        """The rows of each list's last values; that of UNKNOWN where there is none."""
        if self.separator is not None:
            column = pc.split_pattern(column, self.separator)
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        lengths = lengths.astype(np.int64)
        codes = self.codes(column.flatten())
        kept = lengths if self.last is None else np.minimum(lengths, self.last)
        begin = np.cumsum(lengths) - kept
        start = np.concatenate([[0], np.cumsum(np.maximum(kept, 1))])
        found = np.full(start[-1], self.first + UNKNOWN, dtype=np.int64)
        found[spans(start[:-1], kept)] = codes[spans(begin, kept)]
        return Bag(start, found)


@dataclass(frozen=True)
class NumberField:
    """A standardised number, and whether there is none."""

    name: str
    kind: str
    column: str
    standard: Standard


OneField = RowField | NumberField


@dataclass(frozen=True)
class Shape:
    """What a model is told of a side. vectors: rows of the embedding table that it has;
    numbers: beside them."""

    vectors: int
    numbers: int = 0


@dataclass(frozen=True)
class Fields:
    """The fields of both sides; num_rows: of the embedding table; tables: of features;
    snapshot: the items that training saw."""

    user: tuple[OneField, ...]
    item: tuple[OneField, ...]
    num_rows: int
    tables: Tables = Tables()
    snapshot: Snapshot = field(
        default_factory=lambda: Snapshot(pa.RecordBatch.from_pydict({"item_id": []}))
    )

    def of_requests(self, lists: Lists) -> dict[str, pa.Array]:
        """The columns of the requests, and of users and contexts, [R] each."""
        columns = dict(zip(lists.requests.schema.names, lists.requests.columns, strict=True))
        return columns | self.tables.of_requests(lists)

    def taken(self, columns: Mapping[str, pa.Array]) -> tuple[np.ndarray, np.ndarray]:
        """What the history fields over item_id hold, beyond their `last`, too: (request, int64 [H]
        ascending; key of the item, uint64 [H]). columns: `of_requests`."""
        first = {f.first for f in self.item if isinstance(f, RowField) and f.column == "item_id"}
        shared = [f for f in self.user if isinstance(f, BagField) and not f.own]
        return keys_held([columns[f.column] for f in shared if f.first in first])

    def encode(
        self,
        lists: Lists,
        candidates: np.ndarray,
        columns: Mapping[str, pa.Array] | None = None,
    ) -> tuple[Encoded, Encoded]:
        """(users [R], items of these candidates [K]) of some lists; columns: `of_requests`."""
        columns = self.of_requests(lists) if columns is None else columns
        users = encoded(self.user, columns, lists.num_requests)
        rows = lists.candidates.select(self.listed)
        if len(candidates) < rows.num_rows:
            rows = rows.take(pa.array(candidates))
        return users, self._items(rows, candidate_times(lists, candidates))

    def items_of(self, ids: pa.Array, time: np.ndarray | None = None) -> Encoded:
        """Items of which the id alone is known: the newest columns that training saw of them, and
        features as of `time` (int64 [n], microseconds), the newest where none is given."""
        when = np.full(len(ids), NEWEST) if time is None else time
        return self._items(self.snapshot.of(ids), when)

    def _items(self, rows: pa.RecordBatch, time: np.ndarray) -> Encoded:
        if len(self.item) == 1 and isinstance(self.item[0], RowField) and self._is_plain:
            # One code for each: nothing is saved by finding equal ones.
            return encoded(self.item, {"item_id": rows.column("item_id")}, rows.num_rows)
        found = Items.of(rows, time, self.tables)
        return replace(encoded(self.item, found.columns, len(found.first)), place=found.place)

    @property
    def _is_plain(self) -> bool:
        return self.listed == ["item_id"] and not self.tables.of_items()

    @property
    def listed(self) -> list[str]:
        """The columns of candidates that are read."""
        joined = {name for join, _ in self.tables.of_items() for name in join.names}
        names = [each.column for each in self.item if each.column not in joined]
        return list(dict.fromkeys(["item_id", *names]))

    @property
    def columns(self) -> list[str]:
        """The columns of the lists that are read, those that feature tables are keyed by too."""
        joined = {name for join in self.tables.joins for name in join.names}
        names = [each.column for each in self.user if each.column not in joined]
        keys = [name for join in self.tables.joins for name in join.on if name != "dt"]
        return list(dict.fromkeys([*names, *keys, *self.listed]))

    def shape(self, side: str) -> Shape:
        fields = self.user if side == "user" else self.item
        num_rows = sum(isinstance(each, RowField) for each in fields)
        return Shape(num_rows, 2 * (len(fields) - num_rows))

    def own_rows(self) -> Iterator[RowField]:
        """The fields whose rows of the embedding table are their own, in its order."""
        for each in (*self.user, *self.item):
            if isinstance(each, RowField) and not (isinstance(each, BagField) and not each.own):
                yield each

    def row_keys(self) -> np.ndarray:
        """What names each row of the embedding table, whatever its number: its field and value;
        uint64 [num_rows]."""
        keys = [mix(name_key(each.name), each.coder.keys()) for each in self.own_rows()]
        return np.concatenate([np.zeros(0, np.uint64), *keys])


def encoded(fields: Sequence[OneField], columns: Mapping[str, pa.Array], num: int) -> Encoded:
    """`num` rows of these fields; columns: [num] each."""
    codes, bags, dense = [], [], []
    for each in fields:
        column = columns[each.column]
        if isinstance(each, BagField):
            bags.append(each.bag(column))
        elif isinstance(each, RowField):
            codes.append(each.codes(column))
        else:
            dense.append(each.standard.numbers(column))
    return Encoded(
        np.stack(codes, 1) if codes else np.zeros((num, 0), np.int64),
        tuple(bags),
        np.concatenate(dense, 1) if dense else np.zeros((num, 0), np.float32),
    )
