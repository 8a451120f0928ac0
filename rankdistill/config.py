"""Options and how they are read: Document -> checked model. Ground floor: knows no room's options.

    options = load(Settings, apply_overrides(read_file(path), sets))

Text is never turned into numbers or booleans; whole numbers do for floats, lists for tuples.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema

from rankdistill.config_errors import faults_of
from rankdistill.document import Document, apply_overrides, dotted, read_document, read_file
from rankdistill.errors import ConfigError, UserError, UserErrors

__all__ = [
    "Document",
    "Options",
    "apply_overrides",
    "config_hash",
    "json_schema",
    "load",
    "read_document",
    "read_file",
    "reveal",
]

# The block whose values may be `${env:NAME}`; whoever reads them calls `reveal` at the last moment.
ENV_BLOCK = "conf"
_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


def _make_scalars_strict(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float", "bool", "str"):
            schema["strict"] = True
        for key, inner in schema.items():
            # Keys come as text, so those of a dict[int, ...] are turned into numbers.
            if key not in ("keys_schema", "default", "metadata", "serialization"):
                _make_scalars_strict(inner)
    elif isinstance(schema, list | tuple):
        for inner in schema:
            _make_scalars_strict(inner)


class Options(BaseModel):
    """Base of all options: frozen, keyword-only, unknown keys are errors.

    Numbers, booleans and text are never turned into one another, but for whole numbers where
    a float is wanted; lists do for tuples. pydantic's own `strict` would refuse those as well
    behind any validator that runs before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        _make_scalars_strict(schema)
        return schema


Model = TypeVar("Model", bound=Options)


def load(model: type[Model], document: Document) -> Model:
    """`document` as an instance of `model`.

    Raises UserErrors of ConfigError: every fault, in the order of the file.
    """
    faults: list[UserError] = _stray_references(document)
    try:
        options = model.model_validate(document.data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        faults += faults_of(found, model.model_json_schema(), document)
    if faults:
        raise UserErrors(sorted(faults, key=_order))
    return options


def _order(fault: UserError) -> tuple[bool, int, int]:
    assert fault.place
    return fault.place.file == "--set", fault.place.line, fault.place.column


def _stray_references(document: Document) -> list[UserError]:
    """A fault for each `${env:NAME}` where none is read: it would be taken for plain text."""
    faults: list[UserError] = []
    for path, mark in document.marks.items():
        value = document.value(path)
        is_reference = isinstance(value, str) and _REFERENCE.fullmatch(value)
        if is_reference and ENV_BLOCK not in path:
            message = f"{dotted(path)} holds {value}, read only under {ENV_BLOCK}"
            faults.append(ConfigError("E0109", message, place=mark.value))
    return faults


def reveal(value: str, environment: Mapping[str, str] = os.environ) -> str:
    """The variable's value where `value` is exactly `${env:NAME}`, else `value` itself.

    Options keep the reference, so what is printed or hashed never holds the secret. Never
    print or store what this returns.
    """
    reference = _REFERENCE.fullmatch(value)
    if not reference:
        return value
    name = reference[1]
    if name not in environment:
        raise ConfigError("E0109", f"the environment variable {name} is not set", found=value)
    return environment[name]


def config_hash(dump: Mapping[str, Any], leave_out: Collection[str] = ()) -> str:
    """The sha256 (hex) of a model dump, `model_dump(mode="json")`, as canonical JSON.

    leave_out: top-level keys that do not affect rows (engine, threads, gate thresholds).
    """
    kept = {key: value for key, value in dump.items() if key not in leave_out}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def json_schema(model: type[Options]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a configuration file, for editors."""
    schema = model.model_json_schema()
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rankdistill configuration",
        "description": (model.__doc__ or "").strip(),
    }
    return head | {key: value for key, value in schema.items() if key not in head}
