"""Parquet with the columns of sentence-transformers' `mine_hard_negatives(output_format=...)`.

One file per split, <split>.parquet, so that held-out requests never reach a trainer unseen.
anchor is the user (or the request), documents are items; all are strings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.errors import ConfigError
from rankdistill.export.asked import Asked
from rankdistill.export.folder import Folder
from rankdistill.export.pairs import as_text, by_positive, read_pairs, refuse_without_positive
from rankdistill.export.source import Source
from rankdistill.export.texts import Texts, read_texts
from rankdistill.lists.group import Grouped, bounded, whole_requests

MAX_ROWS = 65_536  # of a batch of whole requests, unless one request is longer


def triplet(source: Source, table: str, asked: Asked, folder: Folder) -> None:
    """anchor, positive, negative: a row per pair."""
    for rows in _pairs(source, table, asked):
        _write(folder, rows.select(["split", "anchor", "positive", "negative"]))


def n_tuple(source: Source, table: str, asked: Asked, folder: Folder) -> None:
    """anchor, positive, negative_1 ... negative_n."""
    for rows, index in _tuples(source, table, asked, ()):
        _write(folder, _tuple_columns(rows, index))


def n_tuple_scores(source: Source, table: str, asked: Asked, folder: Folder) -> None:
    """The same and score: list<float64> [1 + n], teacher scores less that of the positive.

    Losses on margins (MarginMSELoss) and on softmaxes of the list (DistillKLDivLoss) do not
    see what all scores of a list have in common, so margins are all they need.
    """
    _refuse_without_margin(source, table)
    for rows, index in _tuples(source, table, asked, ("margin",)):
        margin = rows["margin"].to_numpy()[index]
        score = np.concatenate([np.zeros((len(index), 1)), -margin], axis=1)
        offsets = np.arange(len(index) + 1, dtype=np.int32) * score.shape[1]
        lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(score.ravel() + 0.0))
        _write(folder, _tuple_columns(rows, index).append_column("score", lists))


def labeled_list(source: Source, table: str, asked: Asked, folder: Folder) -> None:
    """anchor, docs: list<string>, labels: grades of `listwise`, else 1 and then zeros."""
    lists = _graded if table == "listwise" else _positive_first
    for rows in lists(source, table, asked):
        _write(folder, rows)


def _pairs(
    source: Source, table: str, asked: Asked, more: tuple[str, ...] = ()
) -> Iterator[pa.RecordBatch]:
    """`read_pairs` with ids as strings, or as the texts asked for."""
    refuse_without_positive(source, table)
    texts = _Texts.of(asked)
    for rows in read_pairs(source, table, asked.anchor_column, more):
        for name in ("anchor", "positive", "negative"):
            found = texts.anchor if name == "anchor" else texts.item
            column = found.of(rows[name]) if found else as_text(rows[name])
            rows = rows.set_column(rows.schema.get_field_index(name), name, column)
            reason = "no_anchor_text" if name == "anchor" else "no_item_text"
            rows = source.keep(rows, reason, rows[name].is_valid())
        yield rows


@dataclass(frozen=True)
class _Texts:
    anchor: Texts | None
    item: Texts | None

    @classmethod
    def of(cls, asked: Asked) -> _Texts:
        anchor, item = asked.anchor_text, asked.item_text
        return cls(
            read_texts(anchor, "--anchor-text") if anchor else None,
            read_texts(item, "--item-text") if item else None,
        )


def _tuples(
    source: Source, table: str, asked: Asked, more: tuple[str, ...]
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Pairs by positive, and the rows of each tuple's negatives: int64 [T, n].

    A positive of k negatives makes k // n tuples. The negatives are dealt to them in turn, so
    that no tuple has the first ones alone; what is over is left out evenly and counted.
    """
    if asked.num_negatives is None:
        raise ConfigError(
            "E0106",
            "--num-negatives is missing: tuples need as many negatives each",
            help="--num-negatives 4",
        )
    pairs = _pairs(source, table, asked, more)
    if more:
        pairs = (source.keep(rows, "no_score", rows["margin"].is_valid()) for rows in pairs)
    for grouped in _by_request(pairs):
        rows, starts = by_positive(grouped.rows, grouped.offsets)
        index, num_short, num_over = deal(starts, asked.num_negatives)
        source.left_out.update({"too_few": num_short, "remainder": num_over})
        yield rows, index


def deal(starts: np.ndarray, num: int) -> tuple[np.ndarray, int, int]:
    """Rows of tuples of `num`, int64 [T, num]; rows of short positives; rows over.

    starts: int64 [P + 1], where the rows of each positive start.
    """
    size = np.diff(starts)
    tuples = size // num
    positive = np.repeat(np.arange(len(size)), tuples)
    turn = np.arange(len(positive)) - np.repeat(np.cumsum(tuples) - tuples, tuples)
    k, m = size[positive, None], tuples[positive, None]
    dealt = turn[:, None] + np.arange(num) * m
    index = starts[positive, None] + dealt * k // (m * num)
    num_short = int(size[tuples == 0].sum())
    return index, num_short, int(size.sum()) - num_short - index.size


def _tuple_columns(rows: pa.RecordBatch, index: np.ndarray) -> pa.RecordBatch:
    first = pa.array(index[:, 0])
    columns = {name: rows[name].take(first) for name in ("split", "anchor", "positive")}
    for i in range(index.shape[1]):
        columns[f"negative_{i + 1}"] = rows["negative"].take(pa.array(index[:, i]))
    return pa.RecordBatch.from_pydict(columns)


def _by_request(pairs: Iterator[pa.RecordBatch]) -> Iterator[Grouped]:
    return bounded(whole_requests(pairs, ("request_id",)), MAX_ROWS, in_order=True)


def _positive_first(source: Source, table: str, asked: Asked) -> Iterator[pa.RecordBatch]:
    """A list per positive of a request: it, and all its negatives."""
    for grouped in _by_request(_pairs(source, table, asked)):
        rows, starts = by_positive(grouped.rows, grouped.offsets)
        num = len(starts) - 1
        first, offsets = pa.array(starts[:-1]), starts + np.arange(num + 1)
        label = np.zeros(offsets[-1], dtype=np.int64)
        label[offsets[:-1]] = 1
        order = np.zeros(offsets[-1], dtype=np.int64)
        order[label == 1], order[label == 0] = np.arange(num), num + np.arange(rows.num_rows)
        docs = pa.concat_arrays([rows["positive"].take(first), rows["negative"]])
        yield _lists(
            rows["split"].take(first),
            rows["anchor"].take(first),
            offsets,
            docs.take(pa.array(order)),
            pa.array(label),
        )


def _graded(source: Source, table: str, asked: Asked) -> Iterator[pa.RecordBatch]:
    """A list per request, in the teacher's order, with its grades."""
    texts, anchor = _Texts.of(asked), asked.anchor_column
    columns = list(dict.fromkeys(["split", anchor, "item_id", "grade"]))
    for rows in source.follow(source.read(table, columns)):
        rows = source.keep(rows, "no_user", rows[anchor].is_valid())
        if texts.anchor:
            found = texts.anchor.of(rows[anchor]).is_valid()
            rows = source.keep(rows, "no_anchor_text", found)
        offsets, items = flat(rows["item_id"])
        items = texts.item.of(items) if texts.item else as_text(items)
        grades = flat(rows["grade"])[1]
        if items.null_count:
            has_text = items.is_valid()
            source.left_out["no_item_text"] += items.null_count
            kept = np.concatenate([[0], np.cumsum(has_text.to_numpy(zero_copy_only=False))])
            offsets, items, grades = kept[offsets], items.filter(has_text), grades.filter(has_text)
        anchors = texts.anchor.of(rows[anchor]) if texts.anchor else as_text(rows[anchor])
        lists = _lists(rows["split"], anchors, offsets, items, grades)
        yield lists.filter(pa.array(np.diff(offsets) > 0))


def flat(column: pa.ListArray) -> tuple[np.ndarray, pa.Array]:
    """Offsets (int64 [R + 1], from 0) and elements of a list column without nulls."""
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.concatenate([[0], np.cumsum(lengths)]), column.flatten()


def _lists(
    split: pa.Array, anchor: pa.Array, offsets: np.ndarray, docs: pa.Array, labels: pa.Array
) -> pa.RecordBatch:
    at = pa.array(offsets.astype(np.int32))
    return pa.RecordBatch.from_pydict(
        {
            "split": split,
            "anchor": anchor,
            "docs": pa.ListArray.from_arrays(at, docs),
            "labels": pa.ListArray.from_arrays(at, labels),
        }
    )


def _write(folder: Folder, rows: pa.RecordBatch) -> None:
    """A file per split."""
    for split, part in by_split(rows):
        folder.write_table(f"{split}.parquet", part.drop_columns(["split"]))


def by_split(rows: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each split."""
    for split in pc.unique(rows["split"]).to_pylist():
        yield split, rows.filter(pc.equal(rows["split"], split))


def _refuse_without_margin(source: Source, table: str) -> None:
    if "margin" not in source.schema(table).names:
        raise ConfigError(
            "E0105",
            f"n-tuple-scores needs the teacher's scores of both items; {table} has no margin",
            found=", ".join(source.schema(table).names),
            help="--table pairwise, or --as n-tuple",
        )
