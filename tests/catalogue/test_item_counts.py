"""Item counts against a count by hand, however the lists are cut into batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.catalogue import counts as module
from rankdistill.catalogue.counts import (
    Counts,
    ItemCounts,
    count_names,
    counted,
    marked,
    segment_totals,
)
from rankdistill.lists.batch import STAGES, Lists
from rankdistill.lists.group import Grouped
from tests.builders import large_lists, make_lists
from tests.samples.logs import logs


def by_hand(rows: list[dict]) -> dict:
    found: dict = {}
    for row in rows:
        if "item_id" not in row:
            continue
        count = found.setdefault(row["item_id"], Counter())
        for stage, least in STAGES.items():
            count[f"num_{stage}"] += STAGES[row["stage"]] >= least
        count["num_click"] += (row["click"] or 0) >= 1
        count["num_positive"] += row["rank"] is not None and row["rank"] <= 2
    return found


def positive(lists: Lists) -> np.ndarray:
    return (lists.teacher_rank > 0) & (lists.teacher_rank <= 2)


def as_dict(counts: Counts) -> dict:
    names = count_names(("click",))
    rows = zip(counts.item_id.to_pylist(), counts.number.T.tolist(), strict=True)
    return {item: dict(zip(names, numbers, strict=True)) for item, numbers in rows}


def far_apart(rows: list[dict]) -> list[dict]:
    """The same with integer ids so far apart that no mark fits beside them in a word."""
    far = [dict(row) for row in rows]
    for row in far:
        if isinstance(row.get("item_id"), int):
            row["item_id"] = row["item_id"] * 2**55 - 2**61
    return far


@given(rows=logs(), spread=st.sampled_from([list, far_apart]))
def test_counts_are_those_by_hand(rows, spread):
    rows = spread(rows)
    lists = make_lists(rows)
    assert as_dict(counted([marked(lists, positive(lists))], 7)) == by_hand(rows)


@given(logs(), st.integers(1, 3), st.sampled_from([1, 5, 1000]), st.sampled_from([1, 1000]))
def test_counts_add_up_over_any_batches(rows, size, max_marked, max_partial):
    lists, running = make_lists(rows), ItemCounts()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_MARKED", max_marked)
        patch.setattr(module, "MAX_PARTIAL", max_partial)
        for first in range(0, lists.num_requests, size):
            batch = lists.take(np.arange(first, min(first + size, lists.num_requests)))
            running.add(batch, positive(batch))
    rows_of = {row.pop("item_id"): row for row in running.total(("click",)).to_pylist()}
    assert rows_of == by_hand(rows)


def test_partial_counts_are_put_together_when_they_grow_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_MARKED", 1)
    monkeypatch.setattr(module, "MAX_PARTIAL", 2)
    lists = make_lists([{"request_id": 1, "item_id": name} for name in "ba"])
    running = ItemCounts()
    for _ in range(5):
        running.add(lists, positive(lists))
        assert len(running._parts) <= 2 and not running._marked
    total = running.total(("click",)).select(["item_id", "num_recalled"]).to_pydict()
    assert dict(zip(*total.values(), strict=True)) == {"a": 5, "b": 5}


def test_an_item_in_every_request_does_not_overflow():
    lists = large_lists(70_000, 1)
    same = lists.candidates.set_column(0, "item_id", pa.array(np.full(70_000, 7)))
    lists = replace(lists, candidates=same)
    found = counted([marked(lists, np.ones(70_000, dtype=bool))], 6)
    assert found.item_id.to_pylist() == [7]
    assert found.number.T.tolist() == [[70_000, 70_000, 70_000, 0, 0, 70_000]]


def test_rows_that_an_engine_brought_together_add_up():
    rows = pa.RecordBatch.from_pydict({"item_id": [7, 7, 9], "num_recalled": [1, 4, 2]})
    totals = segment_totals(Grouped(rows, np.array([0, 2, 3])))
    assert totals.to_pydict() == {"item_id": [7, 9], "num_recalled": [5, 2]}
