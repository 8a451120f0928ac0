"""One mining, from options to the folder that holds it. The room's front door."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from rankdistill import __version__
from rankdistill.catalogue.ann import ExactSearch, faiss_package
from rankdistill.catalogue.nearest import MAX_PRODUCT
from rankdistill.engines.catalogue import make_engine
from rankdistill.errors import InputError
from rankdistill.export.folder import Folder, new_folder
from rankdistill.mining.anchors import put_anchors, source_of
from rankdistill.mining.options import MineOptions
from rankdistill.mining.report import distribution
from rankdistill.mining.shelf import Side, put_index, put_vectors, shelf_at
from rankdistill.mining.work import Recipe, mine_units, units_of
from rankdistill.store.dataset import Build, DataSet

Notify = Callable[..., None]
_SCRATCH = "scratch"


def mine(
    options: MineOptions, data_set: DataSet, out: str | Path, *, notify: Notify
) -> dict[str, Any]:
    """Mine negatives for the current build of `data_set` into the new folder `out`.

    Its manifest: counts, the distribution of scores, the files (`mined-*.parquet`, by user key,
    positive, rank). Same tables, options and seed give the same rows, whatever the engine, the
    number of threads and the memory. Raises PlaceError E0201, E0202, E0206, ConfigError E0102,
    E0105, InputError E0304, E0310, E0311, E0315, E0316, ResourceError E0401, E0404; then there
    is no `out`.
    """
    build = data_set.newest()
    source = source_of(options, build)
    if not isinstance(options.search, ExactSearch):
        faiss_package()
    engine = make_engine(options.engine)
    try:
        with new_folder(out, data_set.root) as folder:
            scratch = folder.path / _SCRATCH
            scratch.mkdir()
            counts = _put(scratch, options, data_set, build, source)
            units = units_of(shelf_at(str(scratch)), options.part_users)
            notify("started", rows=len(units))
            work = partial(mine_units, Recipe(str(scratch), options))
            rows = engine.each(units, work, lambda done: notify("progress", rows=done))
            made = sorted((json.loads(row["value"]) for row in rows), key=lambda m: m["start"])
            facts = _facts(options, data_set, build, source) | _gather(
                folder, scratch, made, counts
            )
            return folder.finish(facts)
    finally:
        shelf_at.cache_clear()
        engine.close()


def _put(
    scratch: Path, options: MineOptions, data_set: DataSet, build: Build, source: str | None
) -> Counter[str]:
    """Everything that the tasks read, put into `scratch`; counts of what was found."""
    users, items = (put_vectors(scratch, n, getattr(options, n)) for n in ("users", "items"))
    _refuse_unlike(users, items)
    counts = put_anchors(scratch, data_set, build, source, users, items, options.metric)
    put_index(scratch, items, options.search, options.metric)
    zero = int((items.vectors.norm == 0).sum())
    counts.update(users_with_vector=len(users.key), items=len(items.key), items_zero_vector=zero)
    return counts


def _refuse_unlike(users: Side, items: Side) -> None:
    widths = [side.vectors.value.shape[1] for side in (users, items)]
    if widths[0] != widths[1]:
        raise InputError(
            "E0315",
            f"the vectors of users are {widths[0]} wide, those of items {widths[1]}",
            help="give the vectors of one model",
        )
    if users.vectors.norm.max() * items.vectors.norm.max() > MAX_PRODUCT:
        raise InputError(
            "E0315",
            "the vectors are too long: their products overflow float32",
            found=f"norms up to {users.vectors.norm.max():.3g} and {items.vectors.norm.max():.3g}",
            help="scale the vectors of both tables, or of one",
        )


def _gather(
    folder: Folder, scratch: Path, made: list[dict[str, Any]], counts: Counter[str]
) -> dict[str, Any]:
    """The tasks' parts under their final names, in the order of users; all counts and scores."""
    for number, unit in enumerate(made):
        name = f"mined-{number:05d}.parquet"
        (scratch / unit["part"]).rename(folder.path / name)
        file = pq.read_metadata(folder.path / name)
        folder.rows[name] = file.num_rows
        folder.columns[name] = {f.name: str(f.type) for f in file.schema.to_arrow_schema()}
        counts.update(unit["counts"])
    parts = [folder.path / name for name in folder.rows]
    scores = distribution(parts, [scratch / unit["positives"] for unit in made])
    shutil.rmtree(scratch)
    return {"counts": dict(counts), "scores": scores}


def _facts(
    options: MineOptions, data_set: DataSet, build: Build, source: str | None
) -> dict[str, Any]:
    return {
        "table": "mined",
        "data_set": str(data_set.root),
        "build": build.number,
        "code_version": __version__,
        "positives": source,
        "options": options.model_dump(mode="json", by_alias=True, exclude={"engine"}),
        "range_max": options.num_candidates,
    }
