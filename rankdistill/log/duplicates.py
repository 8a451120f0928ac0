"""Rows of one request and one item: which of them is used."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa

from rankdistill.hashing import U64, hash_rows, splitmix64, xxh64
from rankdistill.lists.batch import numbers
from rankdistill.lists.order import text_order
from rankdistill.log.canonical import Candidates

ODD = U64(0x9E3779B97F4A7C15)  # 2^64 by the golden ratio, as in multiplicative hashing (Knuth)
BLOCK = 2**14  # rows looked through at once: they stay in cache, and few hashes of them collide


def judge_duplicates(
    raw: pa.RecordBatch, candidates: Candidates, offsets: np.ndarray, *, by_place: bool
) -> None:
    """Of rows with the same request and item one is used: furthest, best scored, best ranked.

    raw: the candidates' source rows; where these are equal, so is what is made of them.
    offsets: int64 [R + 1], where the rows of each request start.
    by_place: the place in the list is the rank. Where all that is equal, a hash of the row
    decides, not the order of arrival.
    """
    rows = _candidate_rows(candidates, offsets)
    if not len(rows):
        return
    columns, verdict = candidates.columns, candidates.verdict
    request = np.searchsorted(offsets, rows, side="right") - 1
    picked = pa.array(rows)
    items = text_order(columns["item_id"].take(picked))
    content = hash_rows(raw.take(picked))
    score = _last(-_float(columns, "teacher_score", picked))
    ranks = [_last(_float(columns, name, picked)) for name in ("position", "rerank_rank", "rank")]
    if by_place:
        ranks = [rows]
    keys = [content, *ranks, score, -candidates.stage[rows], items, request]
    order = np.lexsort(keys)
    rows, request, items, content = rows[order], request[order], items[order], content[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (items[1:] != items[:-1]) | (request[1:] != request[:-1])
    winner = np.maximum.accumulate(np.where(first, np.arange(len(rows)), 0))
    equal = content == content[winner]
    for losers, reason in (
        (rows[~first & equal], "duplicate_equal"),
        (rows[~first & ~equal], "duplicate_differing"),
    ):
        losing = np.zeros(len(verdict.code), dtype=bool)
        losing[losers] = True
        verdict.against(losing, reason)


def _candidate_rows(candidates: Candidates, offsets: np.ndarray) -> np.ndarray:
    """Passed rows whose (request, item) may occur twice, by a 64-bit hash."""
    column = candidates.columns["item_id"]
    if pa.types.is_integer(column.type):
        items = numbers(column, np.int64).view(U64)
    else:
        items = xxh64(column)
    keys = splitmix64(np.arange(len(offsets) - 1, dtype=U64))
    found = [np.zeros(0, dtype=np.int64)]
    for first, last in pairwise(_blocks(offsets)):
        start, end = offsets[first], offsets[last]
        pairs = np.repeat(keys[first:last], np.diff(offsets[first : last + 1]))
        pairs ^= items[start:end]
        pairs *= ODD
        rows, code = np.arange(start, end), candidates.verdict.code[start:end]
        if code.any():
            rows, pairs = rows[code == 0], pairs[code == 0]
        # The high half of a product is hash enough to leave few rows, and half the work to sort.
        few = _repeated((pairs >> U64(32)).astype(np.uint32))
        found.append(rows[few[_repeated(pairs[few])]])
    return np.concatenate(found)


def _blocks(offsets: np.ndarray) -> np.ndarray:
    """Where to cut the requests: blocks of about BLOCK rows, more where a request is long."""
    starts = np.arange(0, offsets[-1], BLOCK)
    return np.unique([*np.searchsorted(offsets, starts), len(offsets) - 1])


def _repeated(key: np.ndarray) -> np.ndarray:
    """Where a key stands that stands elsewhere, too; ascending. key: unsigned integers."""
    ordered = np.sort(key)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.flatnonzero(np.isin(key, twice)) if len(twice) else np.zeros(0, dtype=np.int64)


def _float(columns: dict[str, pa.Array], name: str, rows: pa.Array) -> np.ndarray:
    if name not in columns:
        return np.full(len(rows), np.nan)
    return numbers(columns[name].take(rows).cast(pa.float64()), np.float64)


def _last(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), np.inf, values)
