"""Columns to codes: the fields of users and items as rows of one embedding table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rankdistill.lists.batch import Lists
from rankdistill.student.chunk import Encoded
from rankdistill.student.fields.options import FieldsOptions, IdField
from rankdistill.student.vocabulary import Vocabulary, counted


@dataclass(frozen=True)
class CodedField:
    """A field with a vocabulary; its codes begin at row `first` of the embedding table."""

    name: str
    column: str
    vocabulary: Vocabulary
    first: int

    def codes(self, column: pa.Array) -> np.ndarray:
        """Rows of the embedding table, int64 [n]."""
        return self.vocabulary.codes(column) + self.first


@dataclass(frozen=True)
class Fields:
    """The fields of both sides; num_rows: of the embedding table."""

    user: tuple[CodedField, ...]
    item: tuple[CodedField, ...]
    num_rows: int

    def encode(self, lists: Lists, candidates: np.ndarray) -> tuple[Encoded, Encoded]:
        """(users [R], items of these candidates [K]) of some lists."""
        rows = lists.candidates.select([field.column for field in self.item])
        if len(candidates) < rows.num_rows:
            rows = rows.take(pa.array(candidates))
        return _encoded(self.user, lists.requests), _encoded(self.item, rows)

    def items_of(self, ids: pa.Array) -> Encoded:
        """Items of which the id alone is known."""
        columns = [
            field.codes(ids) if field.column == "item_id" else np.full(len(ids), field.first)
            for field in self.item
        ]
        return Encoded(np.stack(columns, axis=1).astype(np.int64, copy=False))


def _encoded(fields: Sequence[CodedField], rows: pa.RecordBatch) -> Encoded:
    codes = [field.codes(rows.column(field.column)) for field in fields]
    return Encoded(np.stack(codes, axis=1))


def fit_fields(options: FieldsOptions, batches: Iterable[Lists]) -> Fields:
    """The vocabularies that the training lists make."""
    chosen: list[tuple[str, IdField]] = [
        *(("user", field) for field in options.user),
        *(("item", field) for field in options.item),
    ]

    def columns() -> Iterable[list[pa.Array]]:
        for lists in batches:
            sides = {"user": lists.requests, "item": lists.candidates}
            yield [sides[side].column(field.column) for side, field in chosen]

    found, first = [], 0
    for (side, field), counting in zip(chosen, counted(columns(), len(chosen)), strict=True):
        vocabulary = counting.vocabulary(field.min_count)
        name = f"{side}.{field.column}"
        found.append((side, CodedField(name, field.column, vocabulary, first)))
        first += vocabulary.size
    user = tuple(field for side, field in found if side == "user")
    item = tuple(field for side, field in found if side == "item")
    return Fields(user, item, first)
