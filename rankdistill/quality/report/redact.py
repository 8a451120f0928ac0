"""Ids out of a metrics.json before it is shown to others: a salted hash in their place."""

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
