"""`where` against a source's columns: what is not there, or cannot be compared, is found early."""

from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa

from rankdistill.errors import ConfigError, UserError
from rankdistill.log.casts import plain
from rankdistill.log.days import moment
from rankdistill.log.lookup import TEXT_FORMATS, Lookup
from rankdistill.log.source import Condition, Scalar


def check_conditions(where: list[Condition], lookup: Lookup) -> list[UserError]:
    """A ConfigError for each condition that no engine could evaluate, or that no row could meet."""
    faults: list[UserError] = []
    for number, condition in enumerate(where):
        kind = lookup.type_named(condition.column, f"where.{number}.column")
        if kind is None:
            continue
        given: list[Scalar | None] = [condition.value, *(condition.values or [])]
        values = [value for value in given if value is not None]
        if wants := _wanted(kind, values, is_text=lookup.options.format in TEXT_FORMATS):
            operand = "values" if condition.op == "in" else "value"
            faults.append(
                ConfigError(
                    "E0104",
                    f'column "{condition.column}" ({lookup.where}.where) holds {kind}: it is '
                    f"compared with {wants}",
                    found=f"{condition.op} {', '.join(map(repr, values))}",
                    help=_mended(operand, kind, values),
                    key=("log", "where", number, operand),
                )
            )
    return faults


def _wanted(kind: pa.DataType, values: list[Scalar], *, is_text: bool) -> str | None:
    """What a column of `kind` is compared with, where one of the values is something else.

    is_text: of a format that has text alone; numbers are then compared as numbers.
    """
    kind = plain(pa.nulls(0, kind)).type
    number = [isinstance(v, int | float) and not isinstance(v, bool) for v in values]
    if not values or pa.types.is_null(kind):
        return None
    if pa.types.is_boolean(kind):
        return None if all(isinstance(v, bool) for v in values) else "true or false"
    if _is_number(kind):
        return None if all(number) else "numbers"
    if pa.types.is_string(kind):
        if all(isinstance(v, str) for v in values) or (is_text and all(number)):
            return None
        return "text, or numbers alone" if is_text else "text"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return None if all(map(_is_moment, values)) else "ISO 8601 times, like 2026-11-01"
    return "nothing: only is_null and not_null are known"


def _mended(operand: str, kind: pa.DataType, values: list[Scalar]) -> str:
    """The operand as a column of `kind` takes it, where it can be told."""
    kind = plain(pa.nulls(0, kind)).type
    known = {"true": True, "false": False, "1": True, "0": False}
    mended: list[Any]
    if pa.types.is_string(kind):
        mended = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
    elif pa.types.is_boolean(kind):
        mended = [known.get(str(v).lower()) for v in values]
    elif _is_number(kind):
        mended = [_number(v) for v in values]
    else:
        mended = [None]
    if None in mended:
        return "write the value as the column holds it"
    text = json.dumps(mended if operand == "values" else mended[0], ensure_ascii=False)
    return f"write {operand}: {text}"


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _number(value: Scalar) -> int | float | None:
    if not isinstance(value, str):
        return int(value) if isinstance(value, bool) else value
    try:
        number = int(value) if value.lstrip("-").isdecimal() else float(value)
        return number if math.isfinite(number) else None
    except ValueError:
        return None


def _is_moment(value: Scalar) -> bool:
    try:
        return isinstance(value, str) and moment(value) is not None
    except ValueError:
        return False
