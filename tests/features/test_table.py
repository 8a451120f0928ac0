"""Look-ups in a feature table, against a search through all of its rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.errors import InputError
from rankdistill.features.table import ALWAYS, key_of_rows, make_features, micros, read_features
from rankdistill.hashing import hash_rows

KEYS = st.integers(0, 4)
TIMES = st.integers(-3, 6)
ROWS = st.lists(st.tuples(KEYS, TIMES, st.sampled_from(["a", "b", None])), max_size=12)
ASKED = st.lists(st.tuples(st.one_of(st.none(), KEYS), st.one_of(st.none(), TIMES)), max_size=8)


def newest(rows, key, time):
    """The feature of the newest row of `key` at or before `time`; of equal ones the last hash."""
    values = pa.record_batch({"c0": pa.array([row[2] for row in rows], pa.string())})
    known = [
        (row[1], lot, row[2])
        for row, lot in zip(rows, hash_rows(values).tolist(), strict=True)
        if time is not None and row[0] == key and row[1] <= time
    ]
    return max(known, key=lambda found: found[:2])[2] if known else None


def table(rows):
    key, _ = key_of_rows([pa.array([row[0] for row in rows], pa.int64())])
    time = np.array([row[1] for row in rows], dtype=np.int64)
    return make_features(key, time, (pa.array([row[2] for row in rows], pa.string()),))


def asked_of(features, asked):
    key, known = key_of_rows([pa.array([key for key, _ in asked], pa.int64())])
    times = pa.array([time for _, time in asked], pa.timestamp("us", tz="UTC"))
    row = np.where(known, features.find(key, micros(times)), -1)
    return features.take(row)[0].to_pylist()


@given(ROWS, ASKED)
def test_a_timed_look_up_is_the_newest_row_at_or_before_and_never_after(rows, asked):
    assert asked_of(table(rows), asked) == [newest(rows, *one) for one in asked]


@given(ROWS, ASKED, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, asked, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert asked_of(table(shuffled), asked) == asked_of(table(rows), asked)


def part(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "part.parquet")
    return (str(tmp_path / "part.parquet"),)


def test_an_untimed_row_holds_at_every_time_even_one_unknown(tmp_path):
    files = part(tmp_path, k0=["x", "y"], c0=[1.5, 2.5])
    found = read_features(files, 1, 1, timed=False, place="features.0")
    key, _ = key_of_rows([pa.array(["y", "x", "z"])])
    rows = found.find(key, np.array([-(10**15), ALWAYS, 0]))
    assert found.take(rows)[0].to_pylist() == [2.5, 1.5, None]


def test_rows_of_one_key_without_a_time_are_refused_with_their_number_and_one_of_them(tmp_path):
    files = part(tmp_path, k0=["a", "b", "b", "b"], k1=[1, 2, 2, 3], c0=[1, 2, 3, 4])
    with pytest.raises(InputError, match="2 rows of the feature table share 1 keys") as fault:
        read_features(files, 2, 1, timed=False, place="features.0")
    assert fault.value.code == "E0317"
    assert fault.value.found == "for example key b, 2"


def test_two_columns_make_one_key_and_a_null_in_either_makes_none():
    key, known = key_of_rows([pa.array(["a", "a", None, "a"]), pa.array([1, 2, 1, 1])])
    assert known.tolist() == [True, True, False, True]
    assert key[0] == key[3] != key[1]


def test_a_table_without_rows_knows_nothing():
    found = read_features((), 1, 2, timed=True, place="features.0")
    assert found.find(np.array([7], dtype=np.uint64), np.array([5])).tolist() == [-1]
