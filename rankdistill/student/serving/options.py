"""What `export` is asked for. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from rankdistill.catalogue.ann import Index
from rankdistill.config import Options, load
from rankdistill.document import apply_overrides, read_document, read_file


class RowTable(Options):
    """Parquet files with a row per id. Further columns are called as the student's fields are;
    what is not there of an item is as training last saw it, of a user it must be there."""

    path: str | list[str] = Field(description="file, folder, glob, or several")
    id: str = Field(description="the column of ids: integers or strings, as in the log")


class ParityOptions(Options):
    """How the export is compared with the run. rows: users drawn to compare vectors by; users:
    of them those that are searched for; at: recall is told at so many items."""

    rows: int = Field(10_000, ge=1)
    users: int = Field(1000, ge=1)
    at: list[Annotated[int, Field(ge=1, le=10_000)]] = Field([10, 100], min_length=1)


class ExportOptions(Options):
    """items: the items to export, None = all that training saw; users: those whose vectors are
    exported, known = all that training saw. seed: of the users that parity is measured with."""

    index: Index | None = None
    onnx: bool = False
    items: RowTable | None = None
    users: RowTable | Literal["known"] | None = None
    parity: ParityOptions = ParityOptions()
    seed: int = Field(20261121, ge=0, lt=2**63)


def read_export_options(config: str | None, overrides: Sequence[str]) -> ExportOptions:
    """The options of a YAML file, or of nothing, with `--set` overrides."""
    document = read_file(config) if config else read_document("{}", "--set")
    return load(ExportOptions, apply_overrides(document, overrides))
