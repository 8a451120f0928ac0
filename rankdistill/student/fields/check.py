"""Whether the columns that fields name are there, of a type they take, and theirs to see.

The student may see what is known before the fine ranker runs: not its ranks and scores, nor what
the user did. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from rankdistill.contract import table_contract
from rankdistill.errors import ConfigError, UserError, UserErrors, closest
from rankdistill.student.fields.histories import NAME as RESPONSES
from rankdistill.student.fields.options import (
    FieldsOptions,
    HistoryField,
    NumberField,
    OneField,
    QuantileField,
    ValuesField,
)

Types = Mapping[str, pa.DataType]
NOT_OF_USER = ("request_id", "request_time", "split", "dt")


def request_types(lists: pa.Schema) -> dict[str, pa.DataType]:
    """The columns of the lists that the user side may see."""
    return {
        each.name: each.type
        for each in lists
        if not pa.types.is_list(each.type) and each.name not in NOT_OF_USER
    }


def item_types(lists: pa.Schema, feedback: Sequence[str]) -> dict[str, pa.DataType]:
    """Those that the item side may see: what was mapped as the candidate's, not the ranker's."""
    known = {column["name"] for column in table_contract("lists")["columns"]} - {"item_id"}
    return {
        each.name: each.type.value_type
        for each in lists
        if pa.types.is_list(each.type) and each.name not in {*known, *feedback}
    }


def check_fields(options: FieldsOptions, user: Types, item: Types) -> None:
    """user, item: the columns that each side may see. Raises UserErrors: ConfigError E0102 (no
    such column), E0104 (of a type that the kind does not take)."""
    faults: list[UserError] = []
    for side, fields, types in (("user", options.user, user), ("item", options.item, item)):
        for number, field in enumerate(fields):
            key = ("train", "fields", side, number, "column")
            if field.column not in types:
                faults.append(_unknown(side, field, types, key))
            elif wanted := _unfit(field, types[field.column]):
                text = f"train.fields.{side}: kind {field.kind} of {field.column} takes {wanted}"
                found = str(types[field.column])
                faults.append(ConfigError("E0104", text, found=found, key=key))
    if faults:
        raise UserErrors(faults)


def _unknown(side: str, field: OneField, types: Types, key: tuple[str | int, ...]) -> UserError:
    near = closest(field.column, list(types))
    help = "map it under log.columns and build again, or give its table under features"
    if field.column == RESPONSES:
        help = "build negatives with a history_window, which keeps the responses"
    elif near:
        help = f'did you mean "{near}"? Else {help}'
    return ConfigError(
        "E0102",
        f'train.fields.{side}: "{field.column}" is no column that the {side} side may see',
        found=f"known are {', '.join(types)}; what the ranker or the user did later is seen by "
        "neither side, what is of the other side not by this one",
        help=help,
        key=key,
    )


def _unfit(field: OneField, kind: pa.DataType) -> str | None:
    """What the field takes, where that is not this."""
    is_list = pa.types.is_list(kind)
    if isinstance(field, NumberField | QuantileField):
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        other = pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
        return None if number or other else "numbers"
    if isinstance(field, HistoryField):
        return None if is_list else "lists of ids"
    if isinstance(field, ValuesField):
        if field.separator is None:
            return None if is_list else "lists, or text with a separator"
        return None if pa.types.is_string(kind) else "text where it has a separator"
    return "single values (kind values takes lists)" if is_list else None
