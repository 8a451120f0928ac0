"""The value that was meant by a wrong one, where the schema lets it be told. Ground floor."""

from __future__ import annotations

from typing import Any

from rankdistill.config_schema import Node, Schema, Spot
from rankdistill.document import Document
from rankdistill.errors import closest
from rankdistill.yaml_reader import KeyPath

_SAID_NULL = ("none", "no", "off", "nil", "never", "false")
_SAID_TRUE, _SAID_FALSE = ("yes", "on", "y", "true", "1"), ("no", "off", "n", "false", "0")


def means_null(value: Any, spot: Spot) -> bool:
    """Whether null may stand there, and the value is another word for it."""
    node = spot.parent.get("properties", {}).get(spot.path[-1] if spot.path else "", {})
    takes_null = any(member.get("type") == "null" for member in node.get("anyOf", ()))
    return takes_null and str(value).lower() in _SAID_NULL


def nearest(value: Any, node: Node, document: Document, path: KeyPath, schema: Schema) -> Any:
    """The right value nearest to a wrong one, or None."""
    if isinstance(value, dict | list):
        return None
    if choices := schema.choices(node):
        return closest(str(value), choices)
    if isinstance(value, str) and (kinds := schema.kinds(node)):
        near = closest(value, list(kinds))
        return near and {node["discriminator"]["propertyName"]: near}
    kind = node.get("type")
    if kind == "boolean":
        said = str(value).lower()
        return True if said in _SAID_TRUE else False if said in _SAID_FALSE else None
    if node.get("format") == "span" and isinstance(value, int) and not isinstance(value, bool):
        return f"{abs(value)}d"
    if kind == "string" and value is not None and not isinstance(value, str):
        mark = document.marks.get(path)
        return mark.raw if mark and mark.raw else str(value)
    if kind == "array" and value is not None:
        return _as_list(value, schema.plain(node.get("items", {})), schema)
    return _nearest_number(value, node) if kind in ("integer", "number") else None


def _as_list(value: Any, item: Node, schema: Schema) -> list[Any] | None:
    """A list of that one value, or of the block of that kind, where the list takes such."""
    if blocks := schema.kinds(item):
        near = closest(str(value), list(blocks))
        return [{item["discriminator"]["propertyName"]: near}] if near else None
    if "anyOf" in item:
        return [value]
    kinds = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}
    wanted = kinds.get(item.get("type", "string"), ())
    fits = isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool))
    return [value] if fits else None


def _nearest_number(value: Any, node: Node) -> int | float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    for bound, is_past in (("minimum", number.__lt__), ("maximum", number.__gt__)):
        if bound in node and is_past(float(node[bound])):
            return node[bound]
    past = number <= node.get("exclusiveMinimum", -1e308)
    if past or number >= node.get("exclusiveMaximum", 1e308) or isinstance(value, bool):
        return None
    return int(number) if number.is_integer() else None if node["type"] == "integer" else number
