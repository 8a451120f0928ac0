"""Fields beside the run: a small table for each, those of features, and what run.json says of them.

Nothing that is read back is a pickle, and no table is believed before its hash has been compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.errors import TrainingError
from rankdistill.features.join import Join
from rankdistill.store.files import sha256
from rankdistill.student.fields.coders import Edges, Hashed, Standard
from rankdistill.student.fields.columns import Tables
from rankdistill.student.fields.encode import BagField, Fields, NumberField, OneField, RowField
from rankdistill.student.fields.snapshot import Snapshot
from rankdistill.student.vocabulary import Vocabulary

FOLDER, FEATURES, ITEMS = "fields", "features", "items.parquet"
CODERS: dict[str, Any] = {"vocabulary": Vocabulary, "hashed": Hashed, "edges": Edges}


def save_fields(folder: Path, fields: Fields) -> dict[str, Any]:
    """Write them into a run's folder, in which the files of feature tables stand already; what
    `load_fields` has to be told, as JSON values."""
    (folder / FOLDER).mkdir()
    found = []
    for each in (*fields.user, *fields.item):
        learned = each.standard if isinstance(each, NumberField) else each.coder
        if not (isinstance(each, BagField) and not each.own):
            pq.write_table(learned.table(), folder / _file(each.name))
        found.append(_facts(folder, each))
    items = f"{FOLDER}/{ITEMS}"
    pq.write_table(pa.Table.from_batches([fields.snapshot.rows]), folder / items)
    return {
        "fields": found,
        "rows": fields.num_rows,
        "items": {"file": items, "sha256": sha256(folder / items)},
        "features": [_join_facts(folder, join) for join in fields.tables.joins],
    }


def _file(name: str) -> str:
    return f"{FOLDER}/{quote(name, safe='')}.parquet"


def _facts(folder: Path, field: OneField) -> dict[str, Any]:
    found: dict[str, Any] = {"name": field.name, "kind": field.kind, "column": field.column}
    if isinstance(field, RowField):
        (coder,) = [name for name, kind in CODERS.items() if isinstance(field.coder, kind)]
        found |= {"coder": coder, "first": field.first, "size": field.coder.size}
    if isinstance(field, BagField):
        found |= {"separator": field.separator, "last": field.last}
        if not field.own:
            return {**found, "own": False}
    file = _file(field.name)
    return {**found, "file": file, "sha256": sha256(folder / file)}


def _join_facts(folder: Path, join: Join) -> dict[str, Any]:
    names = [str(Path(file).relative_to(folder)) for file in join.files]
    files = [{"file": name, "sha256": sha256(folder / name)} for name in names]
    return {**asdict(join), "files": files}


def load_fields(folder: Path, facts: Mapping[str, Any]) -> Fields:
    """The fields that `facts` of `save_fields` name. TrainingError E0503 where one is damaged."""
    try:
        return _fields(folder, facts)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as fault:
        raise TrainingError(
            "E0503",
            f"the fields of the run in {folder} cannot be read",
            found=f"{type(fault).__name__}: {fault}",
            help="train again with another --out",
        ) from fault


def _fields(folder: Path, facts: Mapping[str, Any]) -> Fields:
    sides: dict[str, list[OneField]] = {"user": [], "item": []}
    shared: dict[int, RowField] = {}
    for each in reversed(facts["fields"]):  # items first: a history is over the rows of one
        made = _field(folder, each, shared)
        if isinstance(made, RowField):
            shared.setdefault(made.first, made)
        sides[made.name.split(".", 1)[0]].insert(0, made)
    joins = [_join(folder, each) for each in facts["features"]]
    items = _table(folder, facts["items"]).combine_chunks().to_batches()
    none = pa.RecordBatch.from_pydict({"item_id": pa.array([], pa.int64())})
    return Fields(
        tuple(sides["user"]),
        tuple(sides["item"]),
        int(facts["rows"]),
        Tables.load(joins),
        Snapshot(items[0] if items else none),
    )


def _field(folder: Path, facts: Mapping[str, Any], shared: Mapping[int, RowField]) -> OneField:
    names = facts["name"], facts["kind"], facts["column"]
    if "coder" not in facts:
        return NumberField(*names, Standard.of_table(_table(folder, facts)))
    own, first = facts.get("own", True), facts["first"]
    kind = CODERS[facts["coder"]]
    coder = kind.of_table(_table(folder, facts)) if own else shared[first].coder
    if coder.size != facts["size"]:
        raise ValueError(f"{names[0]}: {coder.size} codes instead of {facts['size']}")
    if "last" not in facts:
        return RowField(*names, coder, first)
    return BagField(*names, coder, first, facts["separator"], facts["last"], own)


def _table(folder: Path, facts: Mapping[str, Any]) -> pa.Table:
    if sha256(folder / facts["file"]) != facts["sha256"]:
        raise ValueError(f"{facts['file']} is not what was written")
    return pq.read_table(folder / facts["file"])


def _join(folder: Path, facts: Mapping[str, Any]) -> Join:
    for each in facts["files"]:
        if sha256(folder / each["file"]) != each["sha256"]:
            raise ValueError(f"{each['file']} is not what was written")
    files = tuple(str(folder / each["file"]) for each in facts["files"])
    join = Join(**{**facts, "on": tuple(facts["on"]), "names": tuple(facts["names"])})
    return replace(join, files=files)
