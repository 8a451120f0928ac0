"""pydantic's errors as ours: a place, our own words, what is known, a fix. Ground floor."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from rankdistill.config_nearest import means_null, nearest
from rankdistill.config_schema import Node, Schema, Spot, shown
from rankdistill.document import Document, dotted
from rankdistill.errors import ConfigError, Place, UserError, closest
from rankdistill.yaml_reader import KeyPath

MAX_KNOWN = 30  # names that are listed whole

# What is wanted, by pydantic's kind of error: for places where the schema is silent.
_WANTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a block of names and values",
    "model_type": "a block of names and values",
}


@dataclass(frozen=True)
class Fault:
    """One error of pydantic, at its place in document and schema."""

    kind: str
    spot: Spot
    value: Any
    message: str
    context: dict[str, Any]

    @property
    def path(self) -> KeyPath:
        return self.spot.path


def faults_of(errors: Sequence[Any], schema: Node, document: Document) -> list[UserError]:
    """`errors` (of ValidationError.errors()) against the model's JSON Schema, as ConfigErrors."""
    known = Schema(schema)
    faults = [
        Fault(e["type"], known.walk(e["loc"]), e.get("input"), e["msg"], e.get("ctx", {}))
        for e in errors
    ]
    return [_told(fault, known, document) for fault in _one_per_union(faults)]


def _one_per_union(faults: list[Fault]) -> list[Fault]:
    """pydantic reports each member of a plain union; keep the member that was meant, or none.

    A member was meant if the value has its shape, so that its errors lie deeper inside.
    """
    unions: dict[KeyPath, dict[str, list[Fault]]] = {}
    kept = []
    for fault in faults:
        if fault.spot.union:
            path, _, label = fault.spot.union
            unions.setdefault(path, {}).setdefault(label, []).append(fault)
        else:
            kept.append(fault)
    for path, members in unions.items():
        meant = [m for m in members.values() if all(_is_inside(fault, path) for fault in m)]
        if meant:
            fewest = min(meant, key=len)
            kept += fewest
            continue
        first = next(iter(members.values()))[0]
        assert first.spot.union
        spot = Spot(path, first.spot.union[1], {})
        kept.append(Fault("union", spot, first.value, "is of no known form", {}))
    return kept


def _is_inside(fault: Fault, union: KeyPath) -> bool:
    return len(fault.path) > len(union) or fault.kind == "value_error"


def _told(fault: Fault, schema: Schema, document: Document) -> ConfigError:
    tell = _wrong_name if fault.spot.is_name else _TELLERS.get(fault.kind, _wrong)
    return tell(fault, schema, document)


def _unknown_key(fault: Fault, schema: Schema, document: Document) -> ConfigError:
    *block, key = fault.path
    known = list(fault.spot.parent.get("properties", ()))
    near = closest(str(key), known)
    place = document.place(fault.path, of_key=True)
    help = _rename((*block, near), fault.value, place) if near else None
    if near is None and (joined := _joined(fault, schema)):
        help = _rename(joined, fault.value, place, f", a key of {_name(joined[:-1])}")
    return ConfigError(
        "E0103",
        f'unknown key "{key}" in {_name(block)}',
        place=place,
        found=f"{key}; known are {', '.join(known)}" if known else str(key),
        help=help,
    )


def _rename(path: KeyPath, value: Any, place: Place, where: str = "") -> str:
    """The advice to give a wrong key the name that ends `path`."""
    if place.file == "--set":
        return f'did you mean "{path[-1]}"{where}?   {_set(path, value)}'
    return f'did you mean "{path[-1]}"{where}? rename the key in line {place.line}'


def _joined(fault: Fault, schema: Schema) -> KeyPath | None:
    """The name with a dot that an unknown key in a block and the block's own name stand for."""
    *outer, block, key = ("", *fault.path) if len(fault.path) < 2 else fault.path
    names = schema.choices(schema.plain(schema.walk(outer).node.get("propertyNames", {})))
    near = closest(f"{block}.{key}", [name for name in names if name.startswith(f"{block}.")])
    return None if near is None else (*outer, near)


def _missing(fault: Fault, schema: Schema, document: Document) -> ConfigError:
    *block, _ = fault.path
    wanted = schema.wanted(fault.spot.node)
    example = "VALUE" if len(choices := schema.choices(fault.spot.node)) < 1 else choices[0]
    return ConfigError(
        "E0106",
        f"{dotted(fault.path)} is missing",
        place=document.place(tuple(block), of_key=True),
        found=", ".join(fault.value) if isinstance(fault.value, dict) and fault.value else None,
        help=f"{_set(fault.path, example)}   ({wanted or 'it has no default'})",
    )


def _unknown_kind(fault: Fault, schema: Schema, document: Document) -> ConfigError:
    """The key that tells a union's members apart holds none of the known names."""
    key, kinds = _discriminator(fault, schema)
    path = (*fault.path, key)
    given = fault.value.get(key) if isinstance(fault.value, dict) else None
    near = closest(str(given), kinds)
    return ConfigError(
        "E0107",
        f"{dotted(path)} is not a known name",
        place=document.place(path),
        found=f"{_spelt(document, path, given)}; known are {', '.join(kinds)}",
        help=f'did you mean "{near}"?   {_set(path, near)}' if near else None,
    )


def _no_kind(fault: Fault, schema: Schema, document: Document) -> ConfigError:
    key, kinds = _discriminator(fault, schema)
    if not isinstance(fault.value, dict):
        return _wrong(fault, schema, document)
    path = (*fault.path, key)
    return ConfigError(
        "E0106",
        f"{dotted(path)} is missing",
        place=document.place(fault.path, of_key=True),
        found=f"{', '.join(fault.value) or 'an empty block'}; known are {', '.join(kinds)}",
        help=_set(path, kinds[0]) if kinds else None,
    )


def _discriminator(fault: Fault, schema: Schema) -> tuple[str, list[str]]:
    """The key that was meant (a key with an alias has several names), and the known kinds."""
    node = fault.spot.node
    names = re.findall("'([^']+)'", str(fault.context.get("discriminator", "")))
    given = [name for name in names if isinstance(fault.value, dict) and name in fault.value]
    usual = node.get("discriminator", {}).get("propertyName", "kind")
    return (given or [usual])[0], list(schema.kinds(node))


def _refused(fault: Fault, schema: Schema, document: Document) -> ConfigError:
    """A validator's ValueError: its own text; of a whole block, it is a combination."""
    text = str(fault.context.get("error") or fault.message)
    whole = isinstance(fault.value, dict)
    return ConfigError(
        "E0105" if whole else "E0104",
        f"{dotted(fault.path)}: {text}" if fault.path else text,
        place=document.place(fault.path, of_key=whole),
        found=None if whole else _spelt(document, fault.path, fault.value),
    )


def _wrong_name(fault: Fault, schema: Schema, document: Document) -> ConfigError:
    """A name in a mapping that is none of those it may hold."""
    *block, key = fault.path
    known = schema.choices(fault.spot.node)
    near = closest(str(key), known)
    place = document.place(fault.path, of_key=True)
    told = f"known are {', '.join(known)}"
    if len(known) > MAX_KNOWN:
        like = dict.fromkeys([*([near] if near else []), *get_close_matches(str(key), known, n=5)])
        told = f"{len(known)} are known, such as {', '.join(like or known[:5])}"
    return ConfigError(
        "E0103",
        f'unknown name "{key}" in {_name(block)}',
        place=place,
        found=f"{key}; {told}" if known else str(key),
        help=_rename((*block, near), document.value(fault.path), place) if near else None,
    )


def _wrong(fault: Fault, schema: Schema, document: Document) -> ConfigError:
    """Any other fault: a value that is not what the schema wants."""
    node, path = fault.spot.node, fault.path
    choices = schema.choices(node)
    wanted = schema.wanted(node) or _WANTED.get(fault.kind)
    verdict = f"must be {wanted}" if wanted else fault.message.replace("Input should", "must")
    help = None
    if (better := nearest(fault.value, node, document, path, schema)) is not None:
        help = f"did you mean {shown(better)}?   {_set(path, better)}"
    elif means_null(fault.value, fault.spot):
        help = f"did you mean null?   {_set(path, None)}"
    elif isinstance(node.get("default"), str | int | float):
        help = f"the default is {shown(node['default'])}   {_set(path, node['default'])}"
    return ConfigError(
        "E0107" if choices and isinstance(fault.value, str) else "E0104",
        f"{_name(path)} {verdict}",
        place=document.place(path),
        found=_spelt(document, path, fault.value),
        help=help,
    )


def _spelt(document: Document, path: KeyPath, value: Any) -> str:
    """The value as the file spells it, and what it was read as where that may surprise."""
    mark = document.marks.get(path)
    raw = mark.raw if mark else None
    if isinstance(value, dict):
        return f"a block with the keys {', '.join(value)}" if value else "an empty block"
    if isinstance(value, str):
        return f"{shown(value)} (text)"
    return shown(value) if not raw or raw == shown(value) else f"{raw}, read as {shown(value)}"


def _name(path: Sequence[str | int]) -> str:
    return dotted(path) or "the top level"


def _set(path: Sequence[str | int], value: Any) -> str:
    """The override that would set `value`, quoted for a shell."""
    is_plain = isinstance(value, str) and value.replace("_", "").isalpha()
    plain = is_plain and value.lower() not in ("true", "false", "null")
    text = value if plain else json.dumps(value, ensure_ascii=False)
    return f"--set {shlex.quote(f'{dotted(path)}={text}')}"


_TELLERS = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "union_tag_invalid": _unknown_kind,
    "union_tag_not_found": _no_kind,
    "value_error": _refused,
    "assertion_error": _refused,
}
