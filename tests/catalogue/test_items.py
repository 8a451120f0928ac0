"""The catalogue: one entry per item, found by its key, whatever order its rows came in."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.catalogue import items as items_page
from rankdistill.catalogue.guide import Guide
from rankdistill.errors import InputError
from rankdistill.hashing import xxh64
from tests.side_kit import make_catalogue

ROWS = st.lists(st.tuples(st.integers(-5, 40), st.integers(0, 9), st.integers(0, 9)), max_size=60)


@given(ROWS, st.sampled_from([pa.int64(), pa.string()]))
def test_rows_of_one_item_add_up_and_stand_by_key(rows, kind):
    ids = pa.chunked_array([pa.array([row[0] for row in rows[:7]], pa.int64())])
    ids = pa.chunked_array([*ids.chunks, pa.array([row[0] for row in rows[7:]], pa.int64())])
    counts = {
        name: np.array([row[i] for row in rows], np.int64) for i, name in ((1, "a"), (2, "b"))
    }
    made = make_catalogue(ids.cast(kind), counts)

    expected = {}
    for item, a, b in rows:
        before = expected.get(item, (0, 0))
        expected[item] = (before[0] + a, before[1] + b)
    names = made.item_id.cast(pa.int64()).to_pylist()
    found = zip(names, made.counts["a"], made.counts["b"], strict=True)
    assert {item: (a, b) for item, a, b in found} == expected
    assert len(made) == len(expected) == len(made.item_id)
    assert (made.key == xxh64(made.item_id)).all() and (made.key[1:] > made.key[:-1]).all()


@given(st.sets(st.text(max_size=5), max_size=40), st.sets(st.text(max_size=5), max_size=10))
def test_items_are_found_by_key_and_others_are_not(known, asked):
    made = make_catalogue(pa.array(sorted(known), pa.string()), {})
    names = made.item_id.to_pylist()
    asked = sorted(asked | known)
    found = made.find(xxh64(pa.array(asked, pa.string())))
    assert found.tolist() == [names.index(name) if name in known else -1 for name in asked]


def test_two_ids_of_one_key_are_told(monkeypatch):
    monkeypatch.setattr(items_page, "xxh64", lambda ids: np.array([7, 3, 7, 3], dtype=np.uint64))
    with pytest.raises(InputError, match="E0314") as told:
        make_catalogue(pa.array(["b", "x", "a", "x"]), {})
    assert told.value.found == "'a' and 'b'"


CROWDED = st.one_of(st.integers(0, 2**10), st.integers(0, 40), st.just(2**10))


@given(st.lists(CROWDED, max_size=80), st.lists(st.integers(0, 2**10 - 1), max_size=20))
def test_a_guide_counts_like_a_binary_search(values, asked):
    values, asked = np.sort(np.array(values, np.int64)), np.array(asked, np.int64)
    counted = Guide.over(values, 10).num_up_to(asked)
    assert (counted == np.searchsorted(values, asked, side="right")).all()


@pytest.mark.parametrize("num", [0, 1, 2, 1000])
def test_a_guide_spans_all_64_bits(num):
    values = np.sort(np.random.default_rng(1).integers(0, 2**64, num, dtype=np.uint64))
    asked = np.concatenate([values, values + np.uint64(1), [np.uint64(0), np.uint64(2**64 - 1)]])
    counted = Guide.over(values, 64).num_up_to(asked)
    assert (counted == np.searchsorted(values, asked, side="right")).all()
