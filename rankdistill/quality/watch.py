"""Adds up the measures' states while a task writes its parts.

Both passes of a build hand every batch to one `Watch`; so does a recount from the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.history import History
from rankdistill.lists.batch import Lists
from rankdistill.log.rejects import Shown
from rankdistill.quality.across import Across
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import Measure, Seen
from rankdistill.quality.measures import MEASURES
from rankdistill.quality.measures.door import EXAMPLES
from rankdistill.quality.state import Adder, Segments, States
from rankdistill.samples.catalogue import NOTHING
from rankdistill.samples.side import Side

# Values of a column beyond which it makes no segments: `settled` takes them out of the states.
MAX_SEGMENTS = 200
TOO_MANY = " has too many values"
DOOR = "door"  # the state of what came in at the door, by day


class Watch:
    """states: what the measures that apply have found in the batches so far; across: rows for
    those that need other requests, too."""

    def __init__(self, facts: Facts | None) -> None:
        """facts: None where nothing is measured."""
        self.states, self.across = States(), Across(facts)
        self._by_table: dict[str, list[Measure]] = {}
        if facts is not None:
            self._facts, self._columns = facts, tuple(facts.measures["segments"])
            for measure in MEASURES.values():
                if measure.applies(facts) is None:
                    for table in measure.watch:
                        self._by_table.setdefault(table, []).append(measure)

    def see(
        self,
        table: str,
        dt: str,
        lists: Lists,
        drawn: Any = None,
        rows: pa.RecordBatch | None = None,
        side: Side = NOTHING,
        responses: History | None = None,
    ) -> None:
        """A batch of `lists`, or of a sample kind: what was drawn, and the rows written of it."""
        if self._by_table and lists.num_requests:
            self.across.see(table, dt, lists, drawn, rows, side)
        watching = self._by_table.get(table)
        if not watching or not lists.num_requests:
            return
        seen = Seen(lists, drawn, rows, side, responses)
        segments = segments_of(lists, self._columns)
        for measure in watching:
            found = self.states.of(dt, measure.id)
            adder = Adder(found, segments if measure.by_segment else Segments())
            measure.watch[table](seen, adder, self._facts)

    def fates(self, by_dt: Mapping[str, Mapping[str, int]]) -> None:
        """What the door made of the rows of each day: rows_in, rejected.<reason>."""
        if self._by_table:
            for dt, rows in by_dt.items():
                self.states.of(dt, DOOR).add_numbers(rows)

    def set_aside(self, rows: Iterable[Shown]) -> None:
        """Examples of what the door set aside."""
        if self._by_table:
            for dt, reason, key, request_id, item_id in rows:
                measure, note = EXAMPLES[reason]
                add = Adder(self.states.of(dt, measure), Segments())
                add.examples(key, request_id, item_id, [note] * len(key))


def crowded(states: States, columns: Sequence[str]) -> list[str]:
    """The columns with too many values to make segments."""
    found_so = []
    for column in columns:
        found = {s for _, _, r in states for s in r.segments if s.startswith(f"{column}=")}
        marked = any(f"{column}{TOO_MANY}" in r.segments for _, _, r in states)
        if marked or len(found) > MAX_SEGMENTS:
            found_so.append(column)
    return found_so


def settled(states: States, columns: Sequence[str]) -> States:
    """The states of a whole build without the segments of columns with too many values. However
    the rows were dealt to batches, the same are left."""
    ends = tuple(f"{c}{end}" for c in crowded(states, columns) for end in ("=", TOO_MANY))
    for _, _, remembered in states:
        for segment in list(remembered.segments):
            if segment.startswith(ends):
                del remembered.segments[segment]
    return states


def segments_of(lists: Lists, columns: Sequence[str]) -> Segments:
    """The segments that request columns make: "scene=home" and so on."""
    names, codes = [], []
    for column in columns:
        encoded = lists.requests.column(column).cast(pa.string()).dictionary_encode()
        values = [*encoded.dictionary.to_pylist(), None]
        code = encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
        used, code = np.unique(code, return_inverse=True)
        if len(used) > MAX_SEGMENTS:
            used, code = used[:0], np.zeros(len(code))
        texts = tuple(f"{column}={values[i]}" for i in used) or (f"{column}{TOO_MANY}",)
        names.append(texts)
        codes.append(code.astype(np.int64))
    return Segments(tuple(names), tuple(codes))
