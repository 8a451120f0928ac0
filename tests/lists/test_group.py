"""Whole requests from a torn stream, and batches of bounded size."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.lists.group import (
    bounded,
    num_candidates,
    request_starts,
    ungrouped,
    whole_requests,
)

ids = st.lists(st.sampled_from([None, 1, 2, 3, 4, 5]), max_size=60).map(
    lambda values: sorted(values, key=lambda v: (v is None, v or 0))
)


@given(ids, st.integers(1, 12))
def test_requests_are_never_torn_or_joined_or_lost(values, step):
    rows = pa.record_batch({"k": pa.array(values, pa.int64()), "n": list(range(len(values)))})
    stream = [rows.slice(i, step) for i in range(0, len(values), step)]
    found = []
    for grouped in whole_requests(stream, ("k",)):
        numbers = grouped.rows["n"].to_pylist()
        assert grouped.offsets[0] == 0 and grouped.offsets[-1] == len(numbers)
        spans = zip(grouped.offsets[:-1], grouped.offsets[1:], strict=True)
        found += [numbers[a:b] for a, b in spans]
    expected = [
        [i for i, v in enumerate(values) if v == key] for key in dict.fromkeys(values) if key
    ]
    expected += [[i] for i, v in enumerate(values) if v is None]  # null equals nothing
    assert found == expected


def test_what_lies_whole_in_a_batch_is_not_copied():
    rows = pa.record_batch({"k": [1, 1, 2, 2, 3, 3, 4]})
    torn, whole, last = whole_requests([rows.slice(0, 1), rows.slice(1)], ("k",))
    assert [g.rows["k"].to_pylist() for g in (torn, whole, last)] == [[1, 1], [2, 2, 3, 3], [4]]
    assert whole.rows["k"].buffers()[1].address == rows["k"].buffers()[1].address


def test_every_key_tells_requests_apart():
    rows = pa.record_batch({"a": [1, 1, 1, 2], "b": ["x", "x", "y", "y"]})
    assert request_starts(rows, ("a", "b")).tolist() == [0, 2, 3]


@given(st.lists(st.lists(st.integers(0, 9), max_size=7), max_size=30), st.integers(1, 20))
def test_rows_of_lists_come_in_batches_of_bounded_size(lists, max_rows):
    rows = pa.record_batch({"c": pa.array(lists, pa.list_(pa.int64()))})
    stream = [rows.slice(i, 4) for i in range(0, len(lists), 4)]
    batches = [batch.rows for batch in bounded(map(ungrouped, stream), max_rows)]
    found = [value for batch in batches for value in batch["c"].to_pylist()]
    assert sorted(found) == sorted(lists)
    longest = max([1, *map(len, lists)])
    assert all(num_candidates(batch) <= max(max_rows, longest) for batch in batches)
    assert np.all([batch.num_rows for batch in batches])
