"""Graded lists as libsvm text for learning to rank, with group files.

A line per item: `grade qid:3 0:0.5 2:7`, features numbered from 0 in the order of the manifest.
A null or NaN is missing: absent for XGBoost, "2:nan" for LightGBM, to which absent is 0.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.errors import ConfigError, InputError
from rankdistill.export.asked import Asked
from rankdistill.export.features import Listed, choose, listed, not_numbers
from rankdistill.export.folder import Folder
from rankdistill.export.source import Source

MOST_GRADE = 30  # LightGBM's default label_gain ends here, XGBoost's exponential gain at 31


def libsvm(source: Source, table: str, asked: Asked, folder: Folder) -> None:
    """<split>.libsvm with qid, and the size of each group in <split>.libsvm.group.

    Read by XGBoost and by scikit-learn's load_svmlight_file(query_id=True).
    """
    _write(source, asked, folder, has_qid=True)


def lightgbm(source: Source, table: str, asked: Asked, folder: Folder) -> None:
    """The same without qid, which LightGBM's reader refuses, and with the features that an item
    lacks as nan; it finds <split>.libsvm.query."""
    _write(source, asked, folder, has_qid=False)


def _write(source: Source, asked: Asked, folder: Folder, *, has_qid: bool) -> None:
    features = choose(source, asked.features)
    if asked.features is None and (left := not_numbers(source)):
        folder.notes.append(f"joined features that are no numbers are left out: {', '.join(left)}")
    folder.facts["features"] = [feature.name for feature in features]
    if not any(feature.of_item for feature in features):
        folder.notes.append("every feature is one of requests: they cannot tell items apart")
    if len(features) == 1 and not has_qid:
        folder.notes.append("LightGBM's reader refuses files of a single feature: name two")
    num_lists: dict[str, int] = {}
    most = 0
    for lists in listed(source, features, folder.path):
        grade = whole(lists)
        most = max([most, *grade.tolist()])
        lines = lines_of(lists, grade, is_sparse=has_qid)
        _write_lines(folder, lists, lines, num_lists, has_qid=has_qid)
    if most > MOST_GRADE:
        folder.notes.append(f"grades reach {most}: give LightGBM a label_gain that is as long")


def _write_lines(
    folder: Folder,
    lists: Listed,
    lines: tuple[pa.Array, pa.Array],
    num_lists: dict[str, int],
    *,
    has_qid: bool,
) -> None:
    """Append to the files of each split; num_lists counts what they have, and is kept up."""
    grade, rest = lines
    splits = np.array(lists.request["split"].to_pylist(), dtype=object)
    length = np.diff(lists.offsets)
    for split in dict.fromkeys(splits.tolist()):
        mine = splits == split
        first = num_lists.get(split, 0) + 1
        num_lists[split] = first - 1 + int(mine.sum())
        rows = pa.array(np.flatnonzero(np.repeat(mine, length)))
        qid = pa.array(np.repeat(np.arange(first, num_lists[split] + 1), length[mine]))
        head = [_text(" qid:", qid)] if has_qid else []
        text = pc.binary_join_element_wise(grade.take(rows), *head, rest.take(rows), "")
        name = f"{split}.libsvm"
        folder.write(name, _bytes(text), len(rows))
        sizes = pa.array(length[mine]).cast(pa.string())
        folder.write(f"{name}.{'group' if has_qid else 'query'}", _bytes(sizes), len(sizes))
        request = pa.array(np.repeat(np.arange(len(length)), length)).take(rows)
        ids = [qid, lists.request["request_id"].take(request), lists.item["item_id"].take(rows)]
        folder.write_table(
            f"{split}.rows.parquet",
            pa.RecordBatch.from_arrays(ids, names=["qid", "request_id", "item_id"]),
        )


def lines_of(lists: Listed, grade: np.ndarray, *, is_sparse: bool) -> tuple[pa.Array, pa.Array]:
    """For each item its grade, and its features: " 0:0.5 2:7"; is_sparse: less those it lacks."""
    columns = [pa.array([""] * len(grade))]
    for i, column in enumerate(lists.features):
        if pa.types.is_floating(column.type):
            _refuse_infinite(lists, column, i)
            column = pc.if_else(pc.is_nan(column), None, column)
        elif pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        # Filled here: to skip nulls, Arrow's join drops the rows in which all are null.
        columns.append(_text(f" {i}:", column).fill_null("" if is_sparse else f" {i}:nan"))
    return pa.array(grade).cast(pa.string()), pc.binary_join_element_wise(*columns, "")


def whole(lists: Listed) -> np.ndarray:
    """The grades as integers; ConfigError E0105 where one is none, or negative."""
    grade = lists.item["grade"].to_numpy(zero_copy_only=False)
    is_fit = (grade >= 0) & (grade == np.floor(grade))
    if not is_fit.all():
        at = int(np.flatnonzero(~is_fit)[0])
        request = int(np.searchsorted(lists.offsets, at, side="right")) - 1
        raise ConfigError(
            "E0105",
            "rankers of LightGBM and XGBoost take whole grades from 0: they look up, or raise 2 "
            "to, each grade",
            found=f"grade {grade[at]:.6g} in request {lists.request['request_id'][request]}",
            help="build listwise with a rule of whole grades (rank_bucket, ...), or export "
            "--as labeled-list or tfrecord, which keep real ones",
        )
    return grade.astype(np.int64)


def _refuse_infinite(lists: Listed, column: pa.Array, feature: int) -> None:
    if pc.any(pc.is_inf(column)).as_py():
        raise InputError(
            "E0313",
            f"the feature {lists.names[feature]} is infinite for some item; rankers read none",
            found=f"item {lists.item['item_id'][pc.index(pc.is_inf(column), True).as_py()]}",
            help="leave the column out of --features, or mend it in the log",
        )


def _text(name: str, column: pa.Array) -> pa.Array:
    """The values behind a name; null where they are."""
    return pc.binary_join_element_wise(name, column.cast(pa.string()), "")


def _bytes(lines: pa.Array) -> bytes:
    return "".join(f"{line}\n" for line in lines.to_pylist()).encode()
