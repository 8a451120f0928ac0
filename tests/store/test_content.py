"""The content hash: equal for equal rows, unequal for anything else."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankdistill.store.content import content_hash, row_hashes

INT, TEXT, FLOATS = pa.int64(), pa.string(), pa.list_(pa.float32())
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-3, 3)),
        st.one_of(st.none(), st.sampled_from(["", "a", "b", "ab", "\u00e9"])),
        st.one_of(
            st.none(), st.lists(st.sampled_from([None, 0.0, -0.0, 1.0, math.nan]), max_size=3)
        ),
    ),
    max_size=12,
)


def batch(rows):
    x, s, fs = zip(*rows, strict=True) if rows else ((), (), ())
    columns = {"x": pa.array(x, INT), "s": pa.array(s, TEXT), "f": pa.array(fs, FLOATS)}
    return pa.RecordBatch.from_pydict(columns)


def canonical(rows):
    """Rows as values that compare like bits do: the oracle of equality."""
    return sorted(repr((x, s, None if fs is None else fs)) for x, s, fs in rows)


@given(ROWS, st.randoms(use_true_random=False), st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_order_batches_slices_and_encodings_do_not_count(rows, random, cut):
    shuffled = random.sample(rows, len(rows))
    one = batch(shuffled)
    encoded = one.set_column(1, "s", one["s"].dictionary_encode())
    sliced = batch([(9, "z", [1.0]), *shuffled]).slice(1)
    turned = one.select(["f", "x", "s"])
    halves = [one.slice(0, cut), one.slice(cut)]
    expected = content_hash([batch(rows)])
    assert {content_hash([b]) for b in (one, encoded, sliced, turned)} == {expected}
    assert content_hash(halves) == expected
    assert content_hash(halves[:1]) + content_hash(halves[1:]) == expected


@given(ROWS, ROWS)
@settings(max_examples=100, deadline=None)
def test_it_is_equal_just_where_the_rows_are(left, right):
    same = canonical(left) == canonical(right)
    assert (content_hash([batch(left)]) == content_hash([batch(right)])) == same


def one(value, kind, name="x"):
    return int(row_hashes(pa.RecordBatch.from_arrays([pa.array([value], kind)], [name]))[0])


def test_values_that_only_look_alike_differ():
    looks = [
        one(1, INT),
        one("1", TEXT),
        one(1.0, pa.float64()),
        one(None, INT),
        one([], FLOATS),
        one([None], FLOATS),
        one([0.0], FLOATS),
        one([-0.0], FLOATS),
        one([1.0, 2.0], FLOATS),
        one([2.0, 1.0], FLOATS),
        one(1, INT, "y"),
    ]
    assert len(set(looks)) == len(looks)


def test_widths_of_one_value_and_every_nan_are_alike():
    assert one(1, pa.int8()) == one(1, INT)
    assert one(0.5, pa.float32()) == one(0.5, pa.float64())
    bits = np.array([0x7FF8000000000000, 0xFFF8000000000001], np.uint64).view(np.float64)
    first, second = row_hashes(pa.RecordBatch.from_arrays([pa.array(bits)], ["x"]))
    assert first == second


def test_a_column_of_nulls_counts_like_none():
    rows = pa.RecordBatch.from_pydict({"x": pa.array([1, 2])})
    wide = rows.append_column("y", pa.nulls(2, pa.float64()))
    assert content_hash([wide]) == content_hash([rows])
    assert content_hash([]) == (0, 0)


@pytest.mark.parametrize("kind", [pa.bool_(), pa.timestamp("us", tz="UTC"), pa.large_string()])
def test_other_types_hash_too(kind):
    values = {pa.bool_(): [True, False]}.get(
        kind, ["a", "b"] if kind == pa.large_string() else [1, 2]
    )
    first, second = (one(value, kind) for value in values)
    assert first != second
