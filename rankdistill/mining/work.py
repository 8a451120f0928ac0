"""The work of a task: a range of users in, a Parquet part of `mined` and its counts out.

The same code in threads and in Spark's workers; all it needs lies in the shelf's folder.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.catalogue.ann import ExactSearch, proposed
from rankdistill.catalogue.nearest import Nearest, block_sizes, nearest, score_pairs
from rankdistill.engines.query import Row
from rankdistill.mining.options import MineOptions
from rankdistill.mining.shelf import Shelf, shelf_at
from rankdistill.samples.mining import (
    Anchors,
    Candidates,
    conform,
    draw,
    eligible,
    looked_at,
    mined_schema,
    weakest,
)
from rankdistill.store.files import HashedFile

_MAX_PAIRS = 2**20  # of anchors and candidates looked at together


@dataclass(frozen=True)
class Recipe:
    """All that a task needs to know; it travels to Spark's workers. folder: the shelf's."""

    folder: str
    options: MineOptions


def units_of(shelf: Shelf, part_users: int) -> list[str]:
    """Ranges of users with work in them, each a JSON text [start, stop]."""
    num_users = len(shelf.users.key)
    starts = range(0, num_users, part_users)
    ranges = [(start, min(start + part_users, num_users)) for start in starts]
    if shelf.positives is not None:
        ends = shelf.positives.offsets
        ranges = [(start, stop) for start, stop in ranges if ends[stop] > ends[start]]
    return [json.dumps(span) for span in ranges]


def mine_units(recipe: Recipe, units: Iterator[str], task: str) -> Iterator[Row]:
    """A row for each unit: the files written for it and its counts."""
    shelf = shelf_at(recipe.folder)
    for unit in units:
        start, stop = json.loads(unit)
        made = _mine_range(shelf, recipe, start, stop, f"{start:012d}-{task}")
        yield {"kind": "mined", "value": json.dumps(made)}


def _mine_range(shelf: Shelf, recipe: Recipe, start: int, stop: int, name: str) -> dict[str, Any]:
    """Mine for the users start .. stop into new files of that name."""
    part, scores = f"{name}.parquet", f"{name}.npy"
    schema = mined_schema(shelf.users.id.type, shelf.items.id.type)
    counts: Counter[str] = Counter()
    positives = [np.zeros(0)]
    sink = HashedFile(Path(recipe.folder) / part)
    with pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True) as writer:
        for rows, own in mined_of(shelf, recipe.options, start, stop, positives):
            counts.update(own)
            if rows.num_rows:
                writer.write_batch(rows)
    sink.close()
    np.save(Path(recipe.folder) / scores, np.concatenate(positives))
    return {"start": start, "part": part, "positives": scores, "counts": counts}


def mined_of(
    shelf: Shelf, options: MineOptions, start: int, stop: int, positives: list[np.ndarray]
) -> Iterator[tuple[pa.RecordBatch, Counter[str]]]:
    """(rows of `mined`, counts) of the users start .. stop, by user, positive, rank.

    positives: gets the scores of the anchors' own positives.
    """
    step, _ = block_sizes(options.num_candidates, options.memory_mb * 10**6)
    for first in range(start, stop, step):
        users, num_without = _searched(shelf, np.arange(first, min(first + step, stop)))
        excluded = shelf.excluded.take(users)
        anchors = _anchors(shelf, options, users)
        found = _candidates(len(users), _search(shelf, options, users))
        positive = anchors.pos_score
        if options.margin_from == "weakest":
            positive = weakest(anchors, len(users))
        if shelf.positives is not None:
            positives.append(anchors.pos_score)
        yield (
            pa.RecordBatch.from_pylist([], mined_schema(shelf.users.id.type, shelf.items.id.type)),
            Counter(
                users=len(users),
                users_zero_vector=num_without,
                candidates=len(found.item),
                excluded=len(excluded.item),
            ),
        )
        user_id = shelf.users.id.take(pa.array(users))
        for rows in _bounded(found, anchors):
            of = anchors.take(rows)
            pairs, counts = eligible(looked_at(found, of, positive[rows]), options)
            mined = draw(pairs, of, options, options.seed)
            yield conform(mined, found, of, user_id, shelf.items.id), Counter(counts | mined.counts)


def _searched(shelf: Shelf, users: np.ndarray) -> tuple[np.ndarray, int]:
    """The users that are anchors and have a direction, and how many have none."""
    if shelf.positives is not None:
        ends = shelf.positives.offsets
        users = users[ends[users + 1] > ends[users]]
    has_direction = shelf.users.vectors.norm[users] > 0
    return users[has_direction], int((~has_direction).sum())


def _search(shelf: Shelf, options: MineOptions, users: np.ndarray) -> Nearest:
    vectors, excluded = shelf.users.vectors.take(users), shelf.excluded.take(users)
    k, metric = options.num_candidates, options.metric
    if not isinstance(options.search, ExactSearch):
        return proposed(vectors, shelf.items.vectors, shelf.index, k, excluded, metric)
    block_users, block_items = block_sizes(k, options.memory_mb * 10**6)
    return nearest(
        vectors,
        shelf.items.vectors,
        k,
        excluded,
        metric,
        block_users=block_users,
        block_items=block_items,
    )


def _candidates(num_users: int, found: Nearest) -> Candidates:
    offsets = np.searchsorted(found.user, np.arange(num_users + 1))
    return Candidates(offsets, found.item, found.score, found.rank)


def _anchors(shelf: Shelf, options: MineOptions, users: np.ndarray) -> Anchors:
    key = shelf.users.key[users]
    if shelf.positives is None:
        num = len(users)
        none = np.zeros(num, dtype=np.uint64)
        return Anchors(np.arange(num), key, np.full(num, -1), none, np.full(num, np.nan))
    positives = shelf.positives.take(users)
    user, item = positives.rows(), positives.item
    score = score_pairs(
        shelf.users.vectors.take(users), shelf.items.vectors, user, item, options.metric
    )
    return Anchors(user, key[user], item, shelf.items.key[item], score)


def _bounded(found: Candidates, anchors: Anchors) -> Iterator[slice]:
    """The anchors in runs that look at about _MAX_PAIRS candidates."""
    ends = np.cumsum(np.diff(found.offsets)[anchors.user])
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _MAX_PAIRS, side="right")))
        yield slice(start, stop)
        start = stop
