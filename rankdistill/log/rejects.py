"""A capped sample of the rows set aside: per reason those with the lowest hashes.

Equal rows are kept once; how many there were is in the counts, which are exact.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rankdistill.hashing import as_text, hash_rows
from rankdistill.log.days import UNDATED
from rankdistill.log.door import Rejected
from rankdistill.log.mapping import Mapping
from rankdistill.log.reasons import NAMES

ROWS_PER_REASON = 1000
MAX_ROW_CHARS = 4000
SCHEMA = pa.schema(
    [
        pa.field("reason", pa.string(), nullable=False),
        pa.field("row_hash", pa.int64(), nullable=False),
        pa.field("request_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("row", pa.string(), nullable=False),
        pa.field("dt", pa.string(), nullable=False),
    ]
)
Entry = list[Any]  # [row_hash, request_id, item_id, row, dt]


class Shown(NamedTuple):
    """Rows of a day and reason: the keys of their ids (uint64 [T]), and these as text."""

    dt: str
    reason: str
    key: np.ndarray
    request_id: pa.Array
    item_id: pa.Array


class RejectSample:
    """At most ROWS_PER_REASON rows of each reason; which ones depends on the rows alone."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Entry]] = {}

    def add(self, rejected: Rejected, mapping: Mapping) -> None:
        """Consider the rows of one batch; only rows that are kept are turned into text."""
        hashes = hash_rows(rejected.rows).view(np.int64)
        for code in np.unique(rejected.code):
            rows = np.flatnonzero(rejected.code == code)
            _, distinct = np.unique(hashes[rows], return_index=True)
            rows = rows[distinct[:ROWS_PER_REASON]]
            entries = _entries(rejected, mapping, rows, hashes)
            self._keep(NAMES[code], entries)

    def merge(self, kept: dict[str, list[Entry]]) -> None:
        for reason, entries in kept.items():
            self._keep(reason, entries)

    def rows(self) -> dict[str, list[Entry]]:
        """{reason: entries}, plain values for JSON."""
        return self._kept

    def tables(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """(dt, rows of the table `rejects`), by dt."""
        by_dt: dict[str, list[dict[str, Any]]] = {}
        for reason, entries in sorted(self._kept.items()):
            for row_hash, request_id, item_id, row, dt in entries:
                by_dt.setdefault(dt, []).append(
                    {
                        "reason": reason,
                        "row_hash": row_hash,
                        "request_id": request_id,
                        "item_id": item_id,
                        "row": row,
                        "dt": dt,
                    }
                )
        for dt, rows in sorted(by_dt.items()):
            yield dt, pa.RecordBatch.from_pylist(rows, schema=SCHEMA)

    def _keep(self, reason: str, entries: list[Entry]) -> None:
        by_hash = {entry[0]: entry for entry in self._kept.get(reason, []) + entries}
        self._kept[reason] = [by_hash[key] for key in sorted(by_hash)[:ROWS_PER_REASON]]


def _entries(
    rejected: Rejected, mapping: Mapping, rows: np.ndarray, hashes: np.ndarray
) -> list[Entry]:
    picked = pa.array(rows)
    values = _plain(rejected.rows.take(picked)).to_pylist()
    dates = rejected.dt.take(picked).to_pylist()
    request_key, item_key = _keys(mapping)
    entries = []
    for row, value, dt in zip(rows, values, dates, strict=True):
        text = json.dumps(_named(mapping, value), default=str, ensure_ascii=False)
        ids = (_text(value.get(request_key)), _text(value.get(item_key)))
        entries.append([int(hashes[row]), *ids, text[:MAX_ROW_CHARS], dt or UNDATED])
    return entries


def shown(rejected: Rejected, mapping: Mapping, reasons: Collection[str]) -> Iterator[Shown]:
    """The rows set aside for some reasons."""
    names = [name for name in _keys(mapping) if name]
    for code in np.unique(rejected.code):
        if NAMES[code] not in reasons or len(names) < 2:
            continue
        of_reason = pa.array(np.flatnonzero(rejected.code == code))
        ids = rejected.rows.select(names).take(of_reason)
        key, texts = hash_rows(ids), [as_text(column) for column in ids.columns]
        days = rejected.dt.take(of_reason).fill_null(UNDATED).dictionary_encode()
        day_of = days.indices.to_numpy(zero_copy_only=False)
        for place, dt in enumerate(days.dictionary.to_pylist()):
            rows = np.flatnonzero(day_of == place)
            request_id, item_id = (text.take(pa.array(rows)) for text in texts)
            yield Shown(dt, NAMES[code], key[rows], request_id, item_id)


def _keys(mapping: Mapping) -> tuple[str, str]:
    """The columns of the raw rows that hold request_id and item_id, "" where there is none."""
    item = mapping.candidate_field("item_id")
    return (
        mapping.group_aliases[0] if mapping.group_aliases else "",
        item.aliases[0] if item and item.aliases else "",
    )


def _plain(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Times as text: not every moment is one that Python knows."""
    columns = [
        column.cast(pa.string()) if pa.types.is_temporal(column.type) else column
        for column in rows.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=rows.schema.names)


def _named(mapping: Mapping, row: dict[str, Any]) -> dict[str, Any]:
    """Values under the source's own column names."""
    own = {alias: path for alias, path in mapping.paths.items() if alias not in mapping.ids}
    return {".".join(own[alias]): value for alias, value in row.items() if alias in own}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
