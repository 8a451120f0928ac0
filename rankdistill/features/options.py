"""What a feature table is: what it is keyed by, when its rows hold, which columns are features."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from rankdistill.log.source import ColumnOf, ColumnsOf, TableSource

MAX_VALUES = 200_000_000


class FeatureSource(TableSource):
    """What all feature tables have."""

    called: ClassVar[str] = "the feature table"
    skip_key: ClassVar[str | None] = "the feature table's on_corrupt"

    time: ColumnOf | None = Field(
        None, description="since when a row holds: the newest at or before the request is taken"
    )
    columns: ColumnsOf | None = Field(None, description="the features; null: all other columns")
    materialize: bool = Field(
        False, description="join them into the samples; else they are left to the trainer"
    )
    max_values: int = Field(
        MAX_VALUES, ge=1, description="rows x columns that a worker may hold of a joined table"
    )


class EntityFeatures(FeatureSource):
    """Features of users or of items."""

    of: Literal["user", "item"]
    key: ColumnOf | None = Field(None, description="the id; default user_id or item_id")


class ContextFeatures(FeatureSource):
    """Features of requests, by columns of the request."""

    of: Literal["context"]
    key: ColumnsOf = Field(description="request column: the table's column, or a list of names")

    @model_validator(mode="after")
    def _some_key(self) -> ContextFeatures:
        if not self.key:
            raise ValueError("key names no column")
        return self


FeatureTable = Annotated[EntityFeatures | ContextFeatures, Field(discriminator="of")]

# What never changes a row: where files lie, how bad ones and long tables are met.
NOT_OF_ROWS = ("path", "on_corrupt", "max_values")


def of_rows(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of dumped tables what decides the rows of a build: those joined into it, less their place."""
    return [
        {key: value for key, value in table.items() if key not in NOT_OF_ROWS}
        for table in tables
        if table["materialize"]
    ]
