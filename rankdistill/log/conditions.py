"""`where` against a source's columns: what is not there, or cannot be compared, is found early."""

from __future__ import annotations

import pyarrow as pa

from rankdistill.errors import ConfigError, UserError
from rankdistill.log.casts import plain
from rankdistill.log.days import moment
from rankdistill.log.lookup import Lookup
from rankdistill.log.source import Condition, Scalar


def check_conditions(where: list[Condition], lookup: Lookup) -> list[UserError]:
    """A ConfigError for each condition that no engine could evaluate."""
    faults: list[UserError] = []
    for number, condition in enumerate(where):
        place = f"where.{number}.column"
        kind = lookup.type_named(condition.column, place)
        if kind is None:
            continue
        given: list[Scalar | None] = [condition.value, *(condition.values or [])]
        values = [value for value in given if value is not None]
        if wants := _wanted(kind, values):
            faults.append(
                ConfigError(
                    "E0104",
                    f'column "{condition.column}" ({lookup.where}.where) is compared with {wants}',
                    found=f"{kind} {condition.op} {', '.join(map(repr, values))}",
                    help="write the value as the column holds it",
                )
            )
    return faults


def _wanted(kind: pa.DataType, values: list[Scalar]) -> str | None:
    """What a column of `kind` is compared with, where one of the values is something else."""
    kind = plain(pa.nulls(0, kind)).type
    number = [isinstance(v, int | float) and not isinstance(v, bool) for v in values]
    if not values or pa.types.is_null(kind):
        return None
    if pa.types.is_boolean(kind):
        return None if all(isinstance(v, bool) for v in values) else "true or false"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return None if all(number) else "numbers"
    if pa.types.is_string(kind):
        fits = all(number) or all(isinstance(v, str) for v in values)
        return None if fits else 'text, or numbers alone; "true" in quotes'
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return None if all(map(_is_moment, values)) else "ISO 8601 times, like 2026-11-01"
    return "nothing: only is_null and not_null are known"


def _is_moment(value: Scalar) -> bool:
    try:
        return isinstance(value, str) and moment(value) is not None
    except ValueError:
        return False
