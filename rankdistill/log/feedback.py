"""A second table of feedback, matched to the candidates of its request."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from rankdistill.hashing import hash_rows, mix, xxh64
from rankdistill.lists.batch import numbers
from rankdistill.log.canonical import Candidates, evaluate, missing
from rankdistill.log.mapping import Mapping


def join_feedback(
    mapping: Mapping,
    rows: pa.RecordBatch,
    rows_request: np.ndarray,
    candidates: Candidates,
    request: np.ndarray,
    counts: Counter[str],
) -> None:
    """Add the feedback columns of `rows` to `candidates`, key (request, item_id), at most one.

    rows: raw feedback rows with their request (int64, the batch's own numbering).
    request: the request of each candidate. Equal keys: the row with the largest values counts.
    Every row is counted as feedback.joined or under the reason why it is not.
    """
    _, key_field, *fields = mapping.feedback_fields
    items, unread = evaluate(key_field, rows)
    values = {}
    usable = np.ones(rows.num_rows, dtype=bool) if unread is None else ~unread
    counts["feedback.value_unreadable"] += int((~usable).sum())
    absent = missing(items) & usable
    counts["feedback.item_id_missing"] += int(absent.sum())
    usable &= ~absent
    for mapped in fields:
        values[mapped.name], bad = evaluate(mapped, rows)
        if bad is not None:
            counts["feedback.value_unreadable"] += int((bad & usable).sum())
            usable &= ~bad
    chosen = _one_per_key(items, values, rows_request, rows, np.flatnonzero(usable), counts)
    match = _matches(items, rows_request, chosen, candidates, request)
    num_joined = len(np.unique(match[match >= 0]))
    counts["feedback.joined"] += num_joined
    counts["feedback.without_candidate"] += len(chosen) - num_joined
    indices = pa.array(match, mask=match < 0)
    for name, column in values.items():
        candidates.columns[name] = column.take(indices)


def _one_per_key(
    items: pa.Array,
    values: dict[str, pa.Array],
    request: np.ndarray,
    rows: pa.RecordBatch,
    usable: np.ndarray,
    counts: Counter[str],
) -> np.ndarray:
    """Indices of the rows that count, ordered by their key."""
    key = mix(request, xxh64(items))[usable]
    tie_breaks = [-numbers(v.take(pa.array(usable)), np.float64) for v in values.values()]
    order = np.lexsort([hash_rows(rows)[usable], *reversed(tie_breaks), key])
    key = key[order]
    first = np.ones(len(key), dtype=bool)
    first[1:] = key[1:] != key[:-1]
    counts["feedback.duplicate"] += int((~first).sum())
    return usable[order][first]


def _matches(
    items: pa.Array,
    rows_request: np.ndarray,
    chosen: np.ndarray,
    candidates: Candidates,
    request: np.ndarray,
) -> np.ndarray:
    """For each candidate the feedback row of its key, -1 where there is none (int64 [N])."""
    item_id = candidates.columns["item_id"]
    if not len(chosen):
        return np.full(len(item_id), -1)
    keys = mix(rows_request[chosen], xxh64(items.take(pa.array(chosen))))
    wanted = mix(request, xxh64(item_id))
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    found = keys[order][place] == wanted
    return np.where(found, chosen[order][place], -1)
