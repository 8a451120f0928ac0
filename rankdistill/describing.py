"""What lies beside a data set's tables for others: README.md, croissant.json, openlineage.json.

Between the store, which knows the build's files, and `quality.card`, which writes of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from rankdistill.quality.card.contents import Contents, File, Table
from rankdistill.quality.card.croissant import MARK as CROISSANT
from rankdistill.quality.card.croissant import croissant
from rankdistill.quality.card.lineage import MARK as LINEAGE
from rankdistill.quality.card.lineage import lineage
from rankdistill.quality.card.readme import OURS, readme
from rankdistill.store.builds import Build
from rankdistill.store.dataset import DataSet
from rankdistill.store.files import replace_text

README = "README.md"
# What a file that we wrote holds near its start; a README.md begins with it.
MARKS = {README: OURS, "croissant.json": CROISSANT, "openlineage.json": LINEAGE}
NEAR = 65_536  # bytes
WRITERS: Mapping[str, Callable[[Contents], str]] = {
    README: readme,
    "croissant.json": croissant,
    "openlineage.json": lineage,
}


def describe(data_set: DataSet, build: Build, document: Mapping[str, Any] | None) -> list[str]:
    """Write the card of `build`, just published; warnings where it cannot be.

    document: the content of its metrics.json, None where nothing is measured. The build is
    published, so whatever goes wrong here is told and fails nothing; of another build nothing is
    left. A file without our mark is somebody's own and stays as it is.
    """
    warnings: list[str] = []
    contents: Contents | None = None
    for name, written in WRITERS.items():
        place = data_set.root / name
        try:
            if not is_ours(place):
                warnings.append(f"{name} is not one that rankdistill wrote, and stays as it is")
                continue
            place.unlink(missing_ok=True)
            contents = contents or contents_of(data_set, build, document)
            replace_text(place, written(contents))
        except Exception as fault:
            warnings.append(f"{name} is not written: {type(fault).__name__}: {fault}")
    return warnings


def is_ours(place: Path) -> bool:
    """Whether a file of the card may be replaced: none is there, or one that we wrote."""
    if not place.is_symlink() and not place.exists():
        return True
    with open(place, "rb") as file:
        found, mark = file.read(NEAR), MARKS[place.name].encode()
    return found.startswith(mark) if place.name == README else mark in found


def contents_of(data_set: DataSet, build: Build, document: Mapping[str, Any] | None) -> Contents:
    """The build as the card tells it."""
    own = [day for day in build.days.values() if day.build == build.number]
    return Contents(
        name=data_set.root.name,
        root=str(data_set.root),
        number=build.number,
        build_id=build.build_id,
        kind=build.kind,
        created_at=build.created_at,
        config_hash=build.config_hash,
        seed=build.seed,
        code_version=build.code_version,
        days=tuple(sorted(build.days)),
        tables=tuple(_table(data_set, build, name) for name in build.tables),
        inputs=() if build.kind == "rollback" else tuple(_inputs(day.counts for day in own)),
        document=document,
    )


def _inputs(counts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for found in counts:
        yield from found.get("files", ())
        for table in found.get("features", ()):
            place = table["place"]
            yield from [place] if isinstance(place, str) else place or ()


def _table(data_set: DataSet, build: Build, name: str) -> Table:
    parts = data_set.parts(name, build)
    files = tuple(
        File(
            path=f"{part.table}/{part.path}",
            num_rows=part.num_rows,
            num_bytes=part.num_bytes,
            sha256=part.sha256,
            is_new=part.path.startswith(f"{build.build_id}/"),
        )
        for part in parts
    )
    versions = set(build.pins_of(name, None))
    new = [data_set.root / file.path for file in files if file.is_new]
    return Table(
        name=name,
        files=files,
        schema=data_set.schema(name),
        feedback=frozenset(
            column
            for day in build.days.values()
            for column in day.counts.get("log", {}).get("feedback", ())
        ),
        version=versions.pop() if len(versions) == 1 else None,
        column_metrics=_column_metrics(new),
    )


def _column_metrics(files: Iterable[Path]) -> dict[str, dict[str, float]]:
    """Of each column that is no list: nullCount, and min and max of numbers that are no ids.

    From the footers of the files that the build just wrote. A column whose bounds some row group
    does not tell has none.
    """
    found: dict[str, dict[str, float]] = {}
    unbound: set[str] = set()
    for file in files:
        footer = pq.read_metadata(file)
        for group in range(footer.num_row_groups):
            row_group = footer.row_group(group)
            for place in range(row_group.num_columns):
                _add(found, unbound, row_group.column(place))
    for name in unbound & set(found):
        found[name].pop("min", None)
        found[name].pop("max", None)
    return found


def _add(found: dict[str, dict[str, float]], unbound: set[str], chunk: Any) -> None:
    name, known = chunk.path_in_schema, chunk.statistics
    if "." in name:  # the elements of a list
        return
    own = found.setdefault(name, {"nullCount": 0})
    if known is None or not known.has_null_count:
        own.pop("nullCount", None)
        unbound.add(name)
        return
    if "nullCount" in own:
        own["nullCount"] += known.null_count
    if known.null_count == chunk.num_values and not known.has_min_max:
        return  # nothing but nulls
    bounds = (known.min, known.max) if known.has_min_max else ()
    if name.endswith("_id") or not bounds or not all(map(_is_number, bounds)):
        unbound.add(name)
        return
    own["min"] = min(own.get("min", math.inf), bounds[0])
    own["max"] = max(own.get("max", -math.inf), bounds[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
