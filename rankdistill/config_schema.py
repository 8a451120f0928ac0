"""A walk through a model's JSON Schema along a pydantic location, and words for what it finds.

Ground floor, read by config_errors alone. The schema says in plain dicts what pydantic's
errors leave out: the known keys, kinds, bounds and defaults at a place.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rankdistill.yaml_reader import KeyPath

Node = dict[str, Any]

# How pydantic labels a member of a plain union in a location, by JSON Schema type.
_LABELS = {
    "string": ("str", "constrained-str"),
    "integer": ("int", "constrained-int"),
    "number": ("float", "constrained-float"),
    "boolean": ("bool",),
    "array": ("list[", "tuple[", "set[", "frozenset["),
    "object": ("dict[",),
}
_FORMATS = {
    "date": "a date such as 2026-11-01",
    "date-time": "a time such as 2026-11-01T00:00:00Z",
    "duration": "a duration such as P1D",
    "span": "a duration such as 30d or 6h",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


@dataclass(frozen=True)
class Spot:
    """Where a location leads: the path in the document, without pydantic's union labels.

    node: schema of the value there; parent: of the block or list that holds it.
    union: the path and schema of the outermost plain union on the way, and the label taken.
    is_name: not the value is meant but its name, the last of the path, in a mapping of names.
    """

    path: KeyPath
    node: Node
    parent: Node
    union: tuple[KeyPath, Node, str] | None = None
    is_name: bool = False


class Schema:
    """A JSON Schema with its definitions at hand."""

    def __init__(self, root: Node) -> None:
        self.root = root

    def plain(self, node: Node) -> Node:
        """`node` with references followed and `or null` taken off."""
        if "$ref" in node:
            siblings = {key: value for key, value in node.items() if key != "$ref"}
            name = node["$ref"].removeprefix("#/$defs/")
            return self.plain(self.root["$defs"][name] | siblings)
        members = [m for m in node.get("anyOf", ()) if m.get("type") != "null"]
        if len(members) == 1:
            siblings = {key: value for key, value in node.items() if key != "anyOf"}
            return self.plain(members[0] | siblings)
        return node

    def walk(self, location: Sequence[str | int]) -> Spot:
        path: KeyPath = ()
        parent: Node = {}
        node, union = self.plain(self.root), None
        for part in location:
            if part == "[key]":  # pydantic's way to say that the name itself is wrong
                return Spot(path, self.plain(parent.get("propertyNames", {})), {}, union, True)
            if self.kinds(node):
                node = self.plain(self.kinds(node).get(str(part), {}))
            elif "anyOf" in node or "oneOf" in node:
                union = union or (path, node, str(part))
                node = self.member(node, str(part))
            else:
                parent, node, path = node, self.child(node, part), (*path, part)
        return Spot(path, node, parent, union)

    def kinds(self, node: Node) -> dict[str, Node]:
        """The members of a union told apart by a key such as `kind`, by the key's value."""
        mapping = node.get("discriminator", {}).get("mapping", {})
        return {kind: {"$ref": reference} for kind, reference in mapping.items()}

    def member(self, node: Node, label: str) -> Node:
        for member in node.get("anyOf") or node["oneOf"]:
            name = member.get("$ref", "").removeprefix("#/$defs/")
            labels = (name,) if name else _LABELS.get(member.get("type", ""), ())
            if any(known in label for known in labels):
                return self.plain(member)
        return {}

    def child(self, node: Node, part: str | int) -> Node:
        if isinstance(part, str):
            inner = node.get("properties", {}).get(part, node.get("additionalProperties"))
        else:
            fixed = node.get("prefixItems", ())
            inner = fixed[part] if part < len(fixed) else node.get("items")
        return self.plain(inner) if isinstance(inner, dict) else {}

    def wanted(self, node: Node) -> str:
        """What may stand there, in words; "" where the schema does not say."""
        node = self.plain(node)
        if choices := self.choices(node):
            return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
        if kinds := self.kinds(node):
            key = node["discriminator"]["propertyName"]
            return f"a block with {key}: {' | '.join(kinds)}"
        if "anyOf" in node or "oneOf" in node:
            words = [self.wanted(member) for member in node.get("anyOf") or node["oneOf"]]
            return " or ".join(dict.fromkeys(filter(None, words)))
        word = _WORDS.get(node.get("type", ""))
        return word(self, node) if word else ""

    def choices(self, node: Node) -> list[str]:
        values = node.get("enum", [node["const"]] if "const" in node else [])
        return [shown(value, quote=False) for value in values]


def _number(schema: Schema, node: Node) -> str:
    noun = "a whole number" if node["type"] == "integer" else "a number"
    bounds = [f"{words} {node[key]:g}" for key, words in _BOUNDS.items() if key in node]
    return ", ".join(filter(None, [noun, " and ".join(bounds)]))


def _text(schema: Schema, node: Node) -> str:
    pattern = f"text of the form {node['pattern']}" if "pattern" in node else "text"
    return _FORMATS.get(node.get("format", ""), pattern)


def _list(schema: Schema, node: Node) -> str:
    entry = schema.wanted(node["items"]) if isinstance(node.get("items"), dict) else ""
    least = f" of at least {node['minItems']}" if node.get("minItems") else ""
    return f"a list{least} (of {entry})" if entry else f"a list{least}"


def _block(schema: Schema, node: Node) -> str:
    keys = ", ".join(node.get("properties", ()))
    return f"a block with the keys {keys}" if keys else "a block of names and values"


_WORDS = {
    "integer": _number,
    "number": _number,
    "string": _text,
    "boolean": lambda schema, node: "true or false",
    "null": lambda schema, node: "null",
    "array": _list,
    "object": _block,
}


def shown(value: Any, *, quote: bool = True) -> str:
    """A value as it could stand in the file, cut short."""
    if isinstance(value, str) and not quote:
        return value
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
