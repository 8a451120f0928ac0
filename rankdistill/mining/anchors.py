"""Who mines for what: the data set's positives and history, as indices of the vector tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.catalogue.history import responses_table
from rankdistill.catalogue.nearest import Excluded
from rankdistill.errors import ConfigError, InputError, PlaceError
from rankdistill.hashing import xxh64
from rankdistill.lists.batch import Lists
from rankdistill.mining.options import MineOptions
from rankdistill.mining.shelf import Side, put_pairs
from rankdistill.store.dataset import Build, DataSet

RESPONSES = "responses"
# (user_id, item_id) of rows.
Pairs = Iterator[tuple[pa.Array, pa.Array]]


def source_of(options: MineOptions, build: Build) -> str | None:
    """Where the positives come from: pointwise, responses, or None for no positives.

    Raises ConfigError E0105 where the options do not work together, PlaceError E0206 where the
    build has no such table.
    """
    source: str | None = options.positives
    if source == "auto":
        source = "pointwise" if "pointwise" in build.tables else RESPONSES
    source = None if source == "none" else source
    if reasons := options.refuse(has_positives=source is not None):
        raise ConfigError("E0105", reasons[0], help="or set positives")
    if source == "pointwise" and source not in build.tables:
        raise _no_table(build, "positives: pointwise needs the table pointwise")
    if source == RESPONSES and not _tells_responses(build):
        raise _no_table(build, "responses are told by the table lists or responses")
    return source


def put_anchors(
    folder: Path,
    data_set: DataSet,
    build: Build,
    source: str | None,
    users: Side,
    items: Side,
    metric: str,
) -> Counter[str]:
    """Put positives and exclusions into `folder`; counts of what has no vector.

    Left out for a user: its positives and whatever it responded to, in all days of the build.
    """
    for name, side in (("user_id", users), ("item_id", items)):
        _refuse_other_ids(data_set, build, name, side)
    counts: Counter[str] = Counter()
    positive = np.zeros(0, dtype=np.int64)
    if source is not None:
        rows = _positives(data_set, build) if source == "pointwise" else None
        rows = rows or _responses(data_set, build)
        positive = _codes(rows, users, items, counts)
    excluded = positive
    if source != RESPONSES and _tells_responses(build):
        excluded = np.union1d(positive, _codes(_responses(data_set, build), users, items))
    put_pairs(folder, "excluded", _by_user(excluded, users, items))
    if source is not None:
        if metric == "cosine":
            has_direction = items.vectors.norm[positive % len(items.key)] > 0
            counts["positives_zero_vector"] = int((~has_direction).sum())
            positive = positive[has_direction]
        if not len(positive):
            raise _no_anchor(source, counts)
        put_pairs(folder, "positives", _by_user(positive, users, items))
    return counts


def _codes(rows: Pairs, users: Side, items: Side, counts: Counter[str] | None = None) -> np.ndarray:
    """user x I + item of each distinct pair that has both vectors, ascending int64."""
    counts = Counter() if counts is None else counts
    found = [np.zeros(0, dtype=np.int64)]
    for user_id, item_id in rows:
        user, item = users.find(xxh64(user_id)), items.find(xxh64(item_id))
        is_known = user_id.is_valid().to_numpy(zero_copy_only=False)
        counts["positive_rows"] += len(user)
        counts["positive_rows_without_user"] += int((~is_known).sum())
        counts["positive_rows_user_unknown"] += int((is_known & (user < 0)).sum())
        is_known &= user >= 0
        counts["positive_rows_item_unknown"] += int((is_known & (item < 0)).sum())
        is_known &= item >= 0
        found.append(np.unique(user[is_known] * len(items.key) + item[is_known]))
    return np.unique(np.concatenate(found))


def _by_user(code: np.ndarray, users: Side, items: Side) -> Excluded:
    user, item = np.divmod(code, len(items.key))
    return Excluded(np.searchsorted(user, np.arange(len(users.key) + 1)), item)


def _positives(data_set: DataSet, build: Build) -> Pairs:
    columns = ["user_id", "item_id", "label"]
    for batch in data_set.read("pointwise", build, columns=columns):
        positive = batch.filter(pc.equal(batch.column("label"), pa.scalar(1, pa.float32())))
        yield positive.column("user_id"), positive.column("item_id")


def _tells_responses(build: Build) -> bool:
    return RESPONSES in build.tables or "lists" in build.tables


def _responses(data_set: DataSet, build: Build) -> Pairs:
    """What users responded to: of the table `responses`, on days without it of `lists`."""
    for dt, day in sorted(build.days.items()):
        if RESPONSES in day.tables:
            for batch in data_set.read(RESPONSES, build, dt, ["user_id", "item_id"]):
                yield batch.column("user_id"), batch.column("item_id")
        elif "lists" in day.tables:
            yield from _responded(data_set, build, dt, day.counts["log"])


def _responded(data_set: DataSet, build: Build, dt: str, log: Any) -> Pairs:
    response = dict(log["response"])
    kept = ["request_id", "user_id", "request_time", "dt", "item_id", *response]
    for batch in data_set.read("lists", build, dt, kept):
        lists = Lists.from_rows(batch, "list_order", tuple(log["feedback"]), response)
        rows = responses_table(lists)
        yield rows.column("user_id"), rows.column("item_id")


def _refuse_other_ids(data_set: DataSet, build: Build, name: str, side: Side) -> None:
    """Ids are equal only where their types are: 1 is not "1"."""
    table = next(t for t in ("pointwise", "lists", *build.tables) if t in build.tables)
    if name not in data_set.schema(table).names:
        return
    kind = data_set.schema(table).field(name).type
    kind = kind.value_type if pa.types.is_list(kind) else kind
    if kind != side.id.type:
        option = "users.id" if name == "user_id" else "items.id"
        raise InputError(
            "E0304",
            f"the ids of {option} are {side.id.type}, those of the data set {kind}",
            found=f"{option} holds, for example, {side.id[0]}",
            help=f"write the vector table with {name} as {kind}",
        )


def _no_table(build: Build, why: str) -> PlaceError:
    return PlaceError(
        "E0206",
        f"build {build.number} has no positives: {why}",
        found=", ".join(build.tables),
        help="build that table, or set positives: none",
    )


def _no_anchor(source: str, counts: Counter[str]) -> InputError:
    told = {
        "positive_rows": "positive rows",
        "positive_rows_without_user": "without a user",
        "positive_rows_user_unknown": "whose user has no vector",
        "positive_rows_item_unknown": "whose item has no vector",
        "positives_zero_vector": "of items of zero length",
    }
    return InputError(
        "E0316",
        f"no positive ({source}) has the vectors of both its user and its item",
        found=", ".join(f"{counts[name]:,} {text}" for name, text in told.items() if counts[name])
        or "no positive at all",
        help="give the vectors of the data set's users and items, or set positives: none",
    )
