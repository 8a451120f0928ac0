"""metrics.json as text: read strictly, so that a damaged one is an error and never looks good.

schemas/metrics.schema.json is the contract; of JSON Schema only what it uses is understood here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NoReturn

from rankdistill.contract import resource
from rankdistill.errors import InputError
from rankdistill.quality.contradictions import contradictions

KINDS: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    ),
    "null": lambda value: value is None,
}


@cache
def metrics_schema() -> dict[str, Any]:
    """schemas/metrics.schema.json, parsed."""
    return json.loads(resource("schemas", "metrics.schema.json").read_text(encoding="utf-8"))


def read_metrics(text: str, place: str) -> dict[str, Any]:
    """The document of a metrics.json.

    place: where the text is from. InputError E0601 where it is damaged or of another version.
    """
    try:
        found = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as fault:
        raise damaged(place, f"{type(fault).__name__}: {fault}") from fault
    version = found.get("schema_version") if isinstance(found, dict) else None
    known = metrics_schema()["properties"]["schema_version"]["const"]
    if version is not None and version != known:
        raise damaged(place, f"schema_version {version!s:.40}, and this version knows {known}")
    for wrong in faults(found, metrics_schema()):
        raise damaged(place, wrong)
    for wrong in contradictions(found):
        raise damaged(place, wrong)
    return found


def damaged(place: str, found: str) -> InputError:
    return InputError(
        "E0601",
        f"{place} is no metrics.json that can be read",
        found=found,
        help="make it anew from the data set: rankdistill report --data DIR --out FOLDER",
    )


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def faults(value: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What of `value` is not as the schema says, by its place."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        yield from faults(value, metrics_schema()["$defs"][name], path)
    if "anyOf" in schema:
        tried = [next(faults(value, one, path), None) for one in schema["anyOf"]]
        yield from [] if None in tried else [tried[0] or ""]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(KINDS[kind](value) for kind in kinds):
        yield f"{path or 'all of it'}: {value!r:.60} is not {' or '.join(kinds)}"
        return
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if allowed is not None and value not in allowed:
        yield f"{path}: {value!r:.60} is none of {allowed}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{path}: {value} is below {schema['minimum']}"
    if isinstance(value, list):
        yield from _of_items(value, schema, path)
    elif isinstance(value, dict):
        yield from _of_keys(value, schema, path)


def _of_items(value: list[Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    most = schema.get("maxItems", len(value))
    if not schema.get("minItems", 0) <= len(value) <= most:
        yield f"{path}: {len(value)} entries"
    for place, inner in enumerate(value):
        yield from faults(inner, schema.get("items", {}), f"{path}[{place}]")


def _of_keys(value: dict[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path or 'it'} has no {name}"
    own = schema.get("properties", {})
    for name, inner in value.items():
        rest = schema.get("additionalProperties", {})
        yield from faults(inner, own.get(name, rest), f"{path}.{name}"[:200].lstrip("."))
