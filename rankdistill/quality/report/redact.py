"""Ids out of a metrics.json or a diff.json before others see it: a salted hash in their place."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any

SHOWN = 12  # hex digits


def redacted(document: Mapping[str, Any], salt: bytes | None = None) -> dict[str, Any]:
    """The document with the ids of its examples hashed, and the notes on them, which may name
    more of them, left out.

    salt: a new one where it is None, kept nowhere: equal ids have equal hashes within one
    document, and nobody can try ids out.
    """
    salt = secrets.token_bytes(16) if salt is None else salt
    measures = [
        {**measure, "examples": [_hidden(example, salt) for example in measure["examples"]]}
        for measure in document["measures"]
    ]
    return {**document, "measures": measures}


def redacted_diff(found: Mapping[str, Any], salt: bytes | None = None) -> dict[str, Any]:
    """What `diff` found with the ids of its rows hashed, as `redacted` does; days, sources and
    places in a list stay."""
    salt = secrets.token_bytes(16) if salt is None else salt
    only = {
        table: {
            **told,
            **{
                side: [_hidden_key(row, salt) for row in told[side]]
                for side in ("examples_a", "examples_b")
            },
        }
        for table, told in found["only"].items()
    }
    return {**found, "only": only}


def _hidden_key(row: Mapping[str, Any], salt: bytes) -> dict[str, Any]:
    # pos_item_id and neg_item_id are ids of items: equal ids stay equal across the columns.
    return {
        name: _hash(salt, name.removesuffix("_id").split("_")[-1], value)
        if name.endswith("_id")
        else value
        for name, value in row.items()
    }


def _hidden(example: Mapping[str, Any], salt: bytes) -> dict[str, Any]:
    return {
        "request_id": _hash(salt, "request", example["request_id"]),
        "item_id": _hash(salt, "item", example["item_id"]),
        "note": "",
    }


def _hash(salt: bytes, kind: str, value: Any) -> str | None:
    if value is None:
        return None
    text = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
    return hmac.new(salt, text, hashlib.sha256).hexdigest()[:SHOWN]
