"""Fixed bins and the look-up without sorts, against plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rankdistill.hashing import splitmix64
from rankdistill.quality.among import Places, first_found
from rankdistill.quality.scale import RANK_LABELS, RANKS, Octaves, rank_bins

SCALE = Octaves(-4, 6)


@given(st.lists(st.one_of(st.floats(0, 100), st.integers(0, 70).map(float)), max_size=30))
def test_a_value_stands_between_the_edges_of_its_bin(values):
    for value, code in zip(values, SCALE.bins(np.array(values)).tolist(), strict=True):
        assert SCALE.edge(code) <= value
        assert code == SCALE.size - 1 or value < SCALE.edge(code + 1)


@given(st.lists(st.integers(1, 16), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_of_small_whole_numbers_are_exact(values, share):
    scale = Octaves(0, 20)
    counts = np.bincount(scale.bins(np.array(values, dtype=float)), minlength=scale.size).tolist()
    place = min(int(share * len(values)), len(values) - 1)
    assert scale.quantile(counts, share) == sorted(values)[place]


def test_octaves_hold_every_count_once():
    counts = list(range(1, SCALE.size + 1))
    labels, whole = SCALE.by_octave(counts)
    assert sum(whole) == sum(counts) and len(labels) == len(whole) == 12
    assert SCALE.by_octave([0] * SCALE.size) == ([], [])
    assert SCALE.quantile([0] * SCALE.size, 0.5) is None


def test_octaves_are_called_as_a_person_reads_them():
    labels, _ = SCALE.by_octave([1] * SCALE.size)
    assert [*labels[:3], *labels[-2:]] == [
        *("< 0.062", "0.062 to 0.12", "0.12 to 0.25", "32 to 64", ">= 64")
    ]
    whole = Octaves(0, 11)
    labels, _ = whole.by_octave([1] * whole.size)
    assert [*labels[:4], *labels[-2:]] == ["0", "1", "2-3", "4-7", "1,024-2,047", ">= 2,048"]


def test_ranks_fall_into_the_bin_of_their_label():
    told = {r: RANK_LABELS[b] for r, b in zip(RANKS, rank_bins(np.array(RANKS)), strict=True)}
    assert told[0] == "none" and told[1] == "1" and told[4] == "4-5" and told[501] == "501+"
    assert [RANK_LABELS[b] for b in rank_bins(np.array([5, 500, 9999]))] == [
        *("4-5", "201-500", "501+")
    ]


PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=40)


@given(PAIRS, PAIRS)
def test_the_first_entry_of_a_request_and_key_is_found(rows, held):
    columns = [np.array([p[i] for p in of], np.int64) for of in (rows, held) for i in (0, 1)]
    request, key, held_request, held_key = columns
    found = first_found(request, key.astype(np.uint64), held_request, held_key.astype(np.uint64))
    assert found.tolist() == [held.index(row) if row in held else -1 for row in rows]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_places_are_those_of_a_dictionary(data):
    entry = st.tuples(st.integers(0, 3), st.integers(0, 9))
    held = data.draw(st.lists(entry, max_size=40, unique=True))
    asked = data.draw(st.lists(entry, max_size=40))
    sides = [np.array(side, dtype=np.int64).reshape(-1, 2) for side in (held, asked)]
    (request, key), (of, wanted) = (side.T.copy() for side in sides)
    # Hashes, as keys are.
    places = Places(request, splitmix64(key.astype(np.uint64)))
    found = places.of(of, splitmix64(wanted.astype(np.uint64)))
    known = {pair: place for place, pair in enumerate(held)}
    assert found.tolist() == [known.get(pair, -1) for pair in asked]
