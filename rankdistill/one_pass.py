"""One pass, all outputs: grouped rows in; parts, exact counts and a sample of rejects out.

The same code in both engines: DuckDB calls it in threads, Spark inside `mapInArrow`. What it
yields are small plain rows; the data itself goes to staged Parquet parts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.counts import ItemCounts
from rankdistill.catalogue.history import responses_table
from rankdistill.engines.query import Row
from rankdistill.features.join import Join, join
from rankdistill.lists.batch import Lists
from rankdistill.lists.group import Grouped
from rankdistill.log.arrange import findings
from rankdistill.log.days import UNDATED, Days
from rankdistill.log.door import Admitted, admit
from rankdistill.log.mapping import Mapping as LogMapping
from rankdistill.log.reasons import NAMES
from rankdistill.log.rejects import RejectSample, shown
from rankdistill.own_tables import part_rows
from rankdistill.quality.across import TABLE as ACROSS
from rankdistill.quality.facts import Facts
from rankdistill.quality.measures.door import EXAMPLES
from rankdistill.quality.state import States
from rankdistill.quality.watch import Watch
from rankdistill.samples.bounds import not_too_many
from rankdistill.samples.catalogue import NOTHING, SAMPLERS
from rankdistill.samples.positives import PositiveOptions, positive_mask
from rankdistill.samples.side import Side
from rankdistill.store.parts import Part, PartWriter

# Raised with every change of the door or a kernel that changes rows.
KERNEL_VERSION = 2
# Item counts of single tasks: staged, added up into `items`, and gone with the build.
COUNTED = "_counted"
# Of these, the lists in which a sample holds the item; no column of `items`.
SAMPLED = "num_sampled"


@dataclass(frozen=True)
class Recipe:
    """All that a task needs to know. Plain data: it travels to Spark's workers.

    kinds: the resolved options of each sample kind drawn here; repeated: request keys of a
    lists log that occur in several rows; schemas: the Arrow schema of each table; positives:
    the rule by which items are counted as positives, None where items are not counted; joins: the
    feature tables whose columns the samples have; facts: what measures must know, None where
    nothing is measured.
    """

    mapping: LogMapping
    days: Days
    seed: int
    kinds: Mapping[str, Any]
    root: str
    build_id: str
    schemas: Mapping[str, pa.Schema]
    repeated: tuple[int, ...] = ()
    write_lists: bool = True
    positives: PositiveOptions | None = None
    joins: tuple[Join, ...] = ()
    facts: Facts | None = None


@dataclass
class Tally:
    """Additive integer counts: of the door, and of each table by dt.

    other_days: days of the log that were seen and not asked for.
    """

    door: Counter[str] = field(default_factory=Counter)
    by_dt: dict[str, Counter[str]] = field(default_factory=dict)
    other_days: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Tally:
        """The tally of a row's parsed JSON."""
        by_dt = {dt: Counter(counts) for dt, counts in value["by_dt"].items()}
        return cls(Counter(value["door"]), by_dt, set(value["other_days"]))

    def row(self) -> Row:
        """The tally as a row that a task yields."""
        return {"kind": "tally", "value": json.dumps(self.as_dict())}

    def as_dict(self) -> dict[str, Any]:
        return {"door": self.door, "by_dt": self.by_dt, "other_days": sorted(self.other_days)}

    def add(self, other: Tally) -> None:
        self.door.update(other.door)
        self.other_days |= other.other_days
        for dt, counts in other.by_dt.items():
            self.by_dt.setdefault(dt, Counter()).update(counts)


def summed(by_dt: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    """The counts of all days together."""
    total: Counter[str] = Counter()
    for counts in by_dt.values():
        total.update(counts)
    return total


def work(recipe: Recipe, batches: Iterable[Grouped], task: str) -> Iterator[Row]:
    """Every batch through the door and the kernels into parts; then what was made, as rows.

    A row has a `kind` (part, tally, rejects, states) and a JSON `value`.
    """
    tally, sample, watch = Tally(), RejectSample(), Watch(recipe.facts)
    items: dict[str, ItemCounts] = {}
    with PartWriter(recipe.root, recipe.build_id, task, schemas=recipe.schemas) as writer:
        for grouped in batches:
            admitted = admit(grouped, recipe.mapping, recipe.days, recipe.repeated)
            tally.door.update(admitted.counts)
            watch.fates(fates(admitted))
            tally.other_days |= admitted.other_days
            if admitted.rejected is not None:
                sample.add(admitted.rejected, recipe.mapping)
                watch.set_aside(shown(admitted.rejected, recipe.mapping, EXAMPLES))
            for dt, lists in few_by_day(recipe, admitted):
                counts = tally.by_dt.setdefault(dt, Counter())
                write_day(recipe, dt, lists, writer, counts, watch)
                if recipe.positives is not None:
                    is_positive, _ = positive_mask(lists, recipe.positives)
                    more = watch.across.in_samples
                    items.setdefault(dt, ItemCounts(len(more))).add(lists, is_positive, *more)
            gathered(watch.across.rows(), writer)
        for dt, held in items.items():
            further = (SAMPLED,) if recipe.facts is not None else ()
            writer.write(COUNTED, dt, held.total(recipe.mapping.feedback_names, *further))
        gathered(watch.across.rest(), writer)
        parts = writer.close()
    yield from part_rows(parts)
    yield tally.row()
    yield {"kind": "rejects", "value": json.dumps(sample.rows())}
    yield {"kind": "states", "value": watch.states.as_json()}


def gathered(
    rows: Iterable[tuple[str, pa.RecordBatch]], writer: PartWriter, table: str = ACROSS
) -> None:
    """What measures need across requests, as staged rows."""
    for dt, batch in rows:
        writer.write(table, dt, batch)


def fates(admitted: Admitted) -> dict[str, Counter[str]]:
    """dt -> rows_in, and of these those rejected by reason; a row of no day is of UNDATED."""
    found: dict[str, Counter[str]] = {}
    lists = admitted.lists
    for dt, number in _rows_by_day(lists.requests.column("dt"), lists.lengths).items():
        found.setdefault(dt, Counter())["rows_in"] += number
    if admitted.rejected is not None:
        codes, dates = admitted.rejected.code, admitted.rejected.dt
        for code in np.unique(codes):
            of_reason = (codes == code).astype(np.int64)
            for dt, number in _rows_by_day(dates, of_reason).items():
                counts = found.setdefault(dt, Counter())
                counts.update({"rows_in": number, f"rejected.{NAMES[code]}": number})
    return found


def _rows_by_day(dates: pa.Array, rows: np.ndarray) -> dict[str, int]:
    """dt -> the sum of `rows` (int64, one for each date); without zeros."""
    encoded = dates.fill_null(UNDATED).dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    sums = np.bincount(codes, weights=rows, minlength=len(encoded.dictionary))
    return {
        dt: int(number)
        for dt, number in zip(encoded.dictionary.to_pylist(), sums, strict=True)
        if number
    }


def by_day(admitted: Admitted) -> Iterator[tuple[str, Lists]]:
    """The lists of each dt in the batch; usually all are of one day."""
    lists = admitted.lists
    encoded = lists.requests.column("dt").dictionary_encode()
    names = encoded.dictionary.to_pylist()
    if len(names) == 1:
        yield names[0], lists
        return
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    for code, dt in enumerate(names):
        yield dt, lists.take(np.flatnonzero(codes == code))


def few_by_day(recipe: Recipe, admitted: Admitted) -> Iterator[tuple[str, Lists]]:
    """The same, so few at once that what is drawn of them stays small."""
    for dt, lists in by_day(admitted):
        for piece in not_too_many(recipe.kinds, lists):
            yield dt, piece


def draw_day(recipe: Recipe, lists: Lists, counts: Counter[str]) -> Iterator[tuple[str, Any]]:
    """(kind, drawn samples) of one day's lists; counts the lists and what each kind drew."""
    counts["requests"] += lists.num_requests
    counts["candidates"] += lists.candidates.num_rows
    sampled = recipe.mapping.options.ranks == "sampled"
    counts.update(findings(lists, sampled=sampled))
    yield from draw_kinds(recipe.kinds, lists, recipe.seed, counts)


def draw_kinds(
    kinds: Mapping[str, Any], lists: Lists, seed: int, counts: Counter[str], side: Side = NOTHING
) -> Iterator[tuple[str, Any]]:
    """(kind, drawn samples) of each kind; counts what it drew."""
    for kind, options in kinds.items():
        drawn = SAMPLERS[kind].draw(lists, options, seed, side)
        for name, number in drawn.counts.items():
            counts[f"{kind}.{name}"] += number
        counts[f"{kind}.at_most"] += int(options.most_rows(lists.lengths).sum())
        yield kind, drawn


def write_day(
    recipe: Recipe,
    dt: str,
    lists: Lists,
    writer: PartWriter,
    counts: Counter[str],
    watch: Watch,
) -> None:
    """The lists of one day and the samples of every configured kind."""
    watch.see("lists", dt, lists)
    if recipe.write_lists:
        writer.write("lists", dt, lists.rows())
    if "responses" in recipe.schemas:
        writer.write("responses", dt, responses_table(lists))
    for kind, drawn in draw_day(recipe, lists, counts):
        rows = sample_table(kind, lists, drawn, recipe.joins, counts)
        watch.see(kind, dt, lists, drawn, rows)
        writer.write(kind, dt, rows)


def sample_table(
    kind: str,
    lists: Lists,
    drawn: Any,
    joins: tuple[Join, ...],
    counts: Counter[str],
    side: Side = NOTHING,
) -> pa.RecordBatch:
    """The table of what was drawn, with the features that are joined."""
    rows = SAMPLERS[kind].gather(lists, drawn, side)
    return join(joins, kind, rows, lists, drawn.request, counts)


def collect(rows: Iterable[Row]) -> tuple[list[Part], Tally, RejectSample, States]:
    """(parts, the sum of all tallies, the merged sample of rejects, the sum of all states)."""
    parts: list[Part] = []
    tally, sample, states = Tally(), RejectSample(), States()
    for row in rows:
        value = json.loads(row["value"])
        if row["kind"] == "part":
            parts.append(Part(**value))
        elif row["kind"] == "tally":
            tally.add(Tally.read(value))
        elif row["kind"] == "states":
            states.add(States.of_json(value))
        else:
            sample.merge(value)
    return parts, tally, sample, states


def reject_parts(recipe: Recipe, sample: RejectSample) -> list[Part]:
    """The kept rejects of the whole build, written as parts of the table `rejects`."""
    with PartWriter(recipe.root, recipe.build_id, "rejects", schemas=recipe.schemas) as writer:
        for dt, batch in sample.tables():
            writer.write("rejects", dt or UNDATED, batch)
        return writer.close()
