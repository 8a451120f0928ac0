"""Measures that need more than one request: what tasks staged, brought together by the engine.

One grouping of small rows (`quality.across`) for all of them; the counts of items are read off
while `items` is added up. The same code in both engines.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.counts import segment_totals
from rankdistill.day_side import DaySide
from rankdistill.engines.query import Engine, Query, Row
from rankdistill.lists.group import Grouped
from rankdistill.one_pass import SAMPLED
from rankdistill.own_tables import Target, own_source, part_rows
from rankdistill.prepare import Prepared
from rankdistill.quality.across import COLUMNS, DRAWN, IDS, TABLE, Wanted, popularity_count
from rankdistill.quality.across_sums import occurrences, settle, summed
from rankdistill.quality.facts import Facts
from rankdistill.quality.state import Number, States, added
from rankdistill.store.parts import Part

KEY = "key"
# Columns of `items` whose occurrences measures ask for, and what they call them.
OF_ITEMS = {"num_recalled": "logged", "num_positive": "positive"}


@dataclass
class ItemNumbers:
    """by_dt: what measures ask of a day's items: {logged, positive: {occurrences: items}, sampled};
    catalogue: {count: items} of what its popular negatives are drawn from."""

    by_dt: dict[str, dict[str, Number]] = field(default_factory=dict)
    catalogue: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, dt: str, numbers: Mapping[str, Number]) -> None:
        held = self.by_dt.setdefault(dt, {})
        for name, number in numbers.items():
            held[name] = added(held[name], number) if name in held else number

    def add_catalogues(self, sides: Mapping[str, DaySide], facts: Facts) -> None:
        """sides: dt -> what the draws of the day look into."""
        count_of = popularity_count(facts)
        if count_of is not None:
            for dt, side in sides.items():
                self.catalogue[dt] = occurrences(side.catalogue().counts[count_of])


def add_up_items(
    engine: Engine,
    target: Target,
    dt: str,
    files: Sequence[str],
    counts: pa.Schema,
    numbers: ItemNumbers | None,
) -> list[Part]:
    """`items` of one dt, as `own_tables.add_up` makes it; numbers: gets what measures ask."""
    schema = counts if numbers is None else counts.append(pa.field(SAMPLED, pa.int64()))
    paths: dict[str, tuple[str, ...]] = {name: (name,) for name in schema.names}
    query = Query(own_source(files, schema), paths, ("item_id",), (), ())
    parts = []
    work = functools.partial(_items, target, dt, tuple(counts.names))
    for row in engine.run(query, work, lambda done: None):
        value = json.loads(row["value"])
        if row["kind"] == "part":
            parts.append(Part(**value))
        elif numbers is not None:
            numbers.add(dt, value)
    return parts


def _items(
    target: Target, dt: str, names: tuple[str, ...], batches: Iterable[Grouped], task: str
) -> Iterator[Row]:
    numbers = ItemNumbers()
    with target.writer(task) as writer:
        for grouped in batches:
            totals = segment_totals(grouped)
            numbers.add(dt, item_numbers(totals))
            writer.write("items", dt, totals.select(list(names)))
        yield from part_rows(writer.close())
    yield {"kind": "numbers", "value": json.dumps(numbers.by_dt.get(dt, {}))}


def item_numbers(totals: pa.RecordBatch) -> dict[str, Number]:
    """What measures ask of some rows of `items` (each item once)."""
    found: dict[str, Number] = {}
    for column, name in OF_ITEMS.items():
        values = totals.column(column).to_numpy()
        found[name] = occurrences(values[values > 0])
    if SAMPLED in totals.schema.names:
        found["sampled"] = int(np.count_nonzero(totals.column(SAMPLED).to_numpy()))
    return found


def across(
    engine: Engine,
    files: Sequence[str],
    facts: Facts,
    ids: Mapping[str, pa.DataType],
    numbers: ItemNumbers,
) -> States:
    """The states of the measures that look across requests, of the days of `files`.

    files: of `across.TABLE` and `across.DRAWN`; ids: the types of request_id and item_id.
    """
    states = States()
    if files:
        schema = pa.schema([*COLUMNS.items(), *((name, ids[name]) for name in IDS)])
        paths: dict[str, tuple[str, ...]] = {name: (name,) for name in schema.names}
        query = Query(own_source(files, schema), paths, (KEY,), (), ())
        for row in engine.run(query, _summed, lambda done: None):
            states.add(States.of_json(json.loads(row["value"])))
    law = None
    if popularity_count(facts) is not None:
        law = {name: facts.kinds["negatives"]["popular"][name] for name in ("alpha", "c")}
    return settle(states, numbers.by_dt, numbers.catalogue, law)


def _summed(batches: Iterable[Grouped], task: str) -> Iterator[Row]:
    states = States()
    for grouped in batches:
        states.add(summed(grouped))
    yield {"kind": "states", "value": states.as_json()}


def of_build(
    prepared: Prepared,
    engine: Engine,
    root: Path,
    facts: Facts,
    numbers: ItemNumbers,
    hidden: Iterable[Part],
) -> States:
    """The same from the staged parts of a build."""
    ids = {
        "request_id": prepared.lists.requests.schema.field("request_id").type,
        "item_id": prepared.lists.candidates.schema.field("item_id").type,
    }
    if any(kind != "negatives" for kind in prepared.kinds_of(2)):
        # Samples drawn after the items were counted: how many they hold is not known.
        for held in numbers.by_dt.values():
            held.pop("sampled", None)
    parts = [part for part in hidden if part.table in (TABLE, DRAWN)]
    files = [str(root / part.table / part.path) for part in parts]
    return across(engine, files, facts, ids, numbers)


def exchange(facts: Facts | None) -> str | None:
    """What these measures move between tasks, for `plan`; None where nothing."""
    wanted = Wanted.of(facts)
    found = {
        "hashed requests": wanted.content or wanted.splits,
        "users": wanted.users,
        "items of negatives": facts is not None and "negatives" in facts.kinds,
    }
    told = [name for name, is_wanted in found.items() if is_wanted]
    return f"{', '.join(told)} to their measures" if told else None
