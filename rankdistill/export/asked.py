"""What the user asks of an export, and what of it cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankdistill.errors import ConfigError, unknown

ANCHORS = {"user": "user_id", "request": "request_id"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One export. None: not given.

    table: the table to read. anchor: a key of ANCHORS. num_negatives: of each tuple.
    features: column names. item_text, anchor_text: FILE:ID_COLUMN:TEXT_COLUMN.
    """

    table: str | None = None
    anchor: str | None = None
    num_negatives: int | None = None
    features: tuple[str, ...] | None = None
    item_text: str | None = None
    anchor_text: str | None = None

    @property
    def anchor_column(self) -> str:
        """The column of the data set that the anchor is."""
        return ANCHORS[self.anchor or "user"]

    def given(self) -> dict[str, object]:
        """The options that were given, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def chosen(value: str, option: str, known: Sequence[str]) -> str:
    """`value`; ConfigError E0107 where it is not one of `known`."""
    if value not in known:
        raise unknown("E0107", option, value, known, f"{option} ")
    return value


def refuse_unread(asked: Asked, kind: str, reads: Sequence[str]) -> None:
    """ConfigError E0105 where an option is given that format `kind` has no use for."""
    if unread := [name for name in asked.given() if name not in ("table", *reads)]:
        options = ", ".join(option(name) for name in unread)
        raise ConfigError(
            "E0105",
            f"--as {kind} has no use for {options}",
            found=f"it takes {', '.join(option(name) for name in ('table', *reads))}",
            help="leave it out",
        )


def option(name: str) -> str:
    return "--" + name.replace("_", "-")
