"""Which columns the student sees, and how each becomes codes or numbers. Knows no torch.

A column is one of the lists, or a feature of a configured table, called as in the samples:
user_city, item_age, context_rain.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rankdistill.config import Options


class OneField(Options):
    """What every field has. column: of the lists, or of a feature table."""

    kind: str
    column: str = Field(min_length=1)

    @property
    def name(self) -> str:
        """What it is called on its side; the kinds with a row for each value go by the column."""
        return self.column if isinstance(self, CodedField) else f"{self.column}.{self.kind}"


class CodedField(OneField):
    """A vector for each value that was seen at least min_count times in training, and one for
    all others. buckets: hash the values into so many rows instead; no vocabulary is kept."""

    min_count: int = Field(1, ge=1)
    buckets: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _one_way(self) -> CodedField:
        if self.buckets is not None and self.min_count > 1:
            raise ValueError("buckets take every value: min_count needs a vocabulary")
        return self


class IdField(CodedField):
    """An id of the user or the item; incremental training goes on with these alone."""

    kind: Literal["id"] = "id"


class CategoryField(CodedField):
    """One of a few values: text, integers, booleans."""

    kind: Literal["category"] = "category"


class ValuesField(CodedField):
    """Several values, the mean of their vectors: a list, or a text that `separator` cuts. last:
    only so many from its end."""

    kind: Literal["values"] = "values"
    separator: str | None = Field(None, min_length=1)
    last: int | None = Field(None, ge=1)


class HistoryField(OneField):
    """Item ids, oldest first: the mean of the last ones' vectors, which are those of the item
    field over the column `of`."""

    kind: Literal["history"] = "history"
    last: int = Field(20, ge=1)
    of: str = "item_id"


class NumberField(OneField):
    """A number, standardised by mean and deviation over the training lists (0 where it is null),
    and beside it 1 where it is null."""

    kind: Literal["number"] = "number"


class QuantileField(OneField):
    """A number as one of `num` buckets of about equal counts in training, each with a vector; one
    more for null."""

    kind: Literal["quantiles"] = "quantiles"
    num: int = Field(16, ge=2, le=4096)


OfItem = Annotated[
    IdField | CategoryField | ValuesField | NumberField | QuantileField,
    Field(discriminator="kind"),
]
OfUser = Annotated[
    IdField | CategoryField | ValuesField | HistoryField | NumberField | QuantileField,
    Field(discriminator="kind"),
]


class FieldsOptions(Options):
    """user: columns of the request, features of users and of the context; item: columns and
    features of the candidate, which are all that the item side ever sees."""

    user: list[OfUser] = Field([IdField(column="user_id")], min_length=1)
    item: list[OfItem] = Field([IdField(column="item_id")], min_length=1)

    @model_validator(mode="after")
    def _told_apart(self) -> FieldsOptions:
        for side, fields in (("user", self.user), ("item", self.item)):
            name, times = Counter(field.name for field in fields).most_common(1)[0]
            if times > 1:
                raise ValueError(f"{side} has {times} fields {name}")
        coded = [f.column for f in self.item if isinstance(f, IdField | CategoryField)]
        for field in self.user:
            if isinstance(field, HistoryField) and field.of not in coded:
                raise ValueError(
                    f"history {field.column} takes the vectors of the item field {field.of}, "
                    f"and id or category fields of items are {', '.join(coded) or 'none'}"
                )
        return self
