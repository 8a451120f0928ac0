"""Which columns the student sees, and how each becomes codes or numbers. Knows no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rankdistill.config import Options


class IdField(Options):
    """A vector for each value that was seen at least min_count times; one for all others."""

    kind: Literal["id"] = "id"
    column: str = Field(min_length=1)
    min_count: int = Field(1, ge=1)


OneField = Annotated[IdField, Field(discriminator="kind")]


class FieldsOptions(Options):
    """user: columns of the request; item: columns of the candidate."""

    user: list[OneField] = [IdField(column="user_id")]
    item: list[OneField] = [IdField(column="item_id")]
