"""The exact search against a search in plain Python, and its independence of blocks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankdistill.catalogue.nearest import Excluded, Vectors, block_sizes, nearest, score_pairs
from tests.catalogue.vector_kit import none_of, same, some_of, vectors

METRICS = ("inner_product", "cosine")
every_metric = pytest.mark.parametrize("metric", METRICS)


def brute_force(users, items, k, excluded, metric):
    """Sort every pair by the exact product, ties by index."""
    found = []
    for user in range(len(users.value)):
        out = set(excluded.item[excluded.offsets[user] : excluded.offsets[user + 1]].tolist())
        scored = []
        for item in range(len(items.value)):
            if item in out or (metric == "cosine" and not items.norm[item]):
                continue
            pairs = zip(users.value[user].tolist(), items.value[item].tolist(), strict=True)
            exact = sum(Fraction(a) * Fraction(b) for a, b in pairs)
            score = float(exact) / (
                users.norm[user] * items.norm[item] if metric == "cosine" else 1
            )
            scored.append((-score, item))
        found += [(user, i, -s, r) for r, (s, i) in enumerate(sorted(scored)[:k], start=1)]
    return found


@every_metric
@pytest.mark.parametrize("kind", ["normal", "wild"])
@settings(max_examples=25)
@given(num_items=st.integers(1, 40), k=st.integers(1, 12), seed=st.integers(0, 999))
def test_found_is_what_sorting_every_pair_finds(metric, kind, num_items, k, seed):
    users, items = vectors(4, 5, seed, kind), vectors(num_items, 5, seed + 1, kind)
    excluded = some_of(4, num_items, seed)
    got = nearest(users, items, k, excluded, metric, block_users=3, block_items=7)
    wanted = brute_force(users, items, k, excluded, metric)
    assert [(u, i, r) for u, i, _, r in wanted] == list(
        zip(got.user.tolist(), got.item.tolist(), got.rank.tolist(), strict=True)
    )
    assert got.score == pytest.approx([s for _, _, s, _ in wanted], rel=1e-12, abs=1e-18)


@every_metric
@pytest.mark.parametrize("kind", ["normal", "few", "near", "wild"])
@settings(max_examples=25)
@given(seed=st.integers(0, 999), block=st.tuples(st.integers(1, 40), st.integers(1, 400)))
def test_no_block_size_changes_a_bit(metric, kind, seed, block):
    users, items = vectors(30, 17, seed, kind), vectors(300, 17, seed + 1, kind)
    users = users.take(np.flatnonzero(users.norm > 0))
    excluded = some_of(len(users.norm), 300, seed)
    whole = nearest(users, items, 20, excluded, metric, block_users=64, block_items=512)
    parts = nearest(users, items, 20, excluded, metric, block_users=block[0], block_items=block[1])
    assert same(whole, parts)


def test_float32_alone_would_order_near_scores_by_block_or_not_at_all():
    """The law above has something to hold: float32 products do not tell these items apart."""
    users, items = vectors(30, 17, 1, "near"), vectors(300, 17, 2, "near")
    exact = nearest(users, items, 20, none_of(30), "inner_product")
    float32 = np.argsort(-(users.value @ items.value.T), axis=1, kind="stable")[:, :20]
    assert (exact.item.reshape(30, 20) != float32).any()


@every_metric
def test_a_user_gets_the_same_alone_as_among_others(metric):
    users, items = vectors(9, 8, 5), vectors(200, 8, 6)
    excluded = some_of(9, 200, 7)
    among = nearest(users, items, 10, excluded, metric)
    for user in range(9):
        rows = np.array([user])
        alone = nearest(users.take(rows), items, 10, excluded.take(rows), metric)
        of_user = among.user == user
        assert np.array_equal(alone.item, among.item[of_user])
        assert np.array_equal(alone.score, among.score[of_user])


def test_ties_go_to_the_lower_index_even_where_all_tie():
    items = Vectors.of(np.ones((50, 3), dtype=np.float32))
    users = Vectors.of(np.array([[1, 2, 3], [0, 0, 0]], dtype=np.float32))
    got = nearest(users, items, 4, none_of(2), "inner_product", block_items=9)
    assert got.item.tolist() == [0, 1, 2, 3] * 2
    assert got.score.tolist() == [6.0] * 4 + [0.0] * 4


def test_items_without_direction_have_no_cosine_but_an_inner_product():
    items = Vectors.of(np.array([[0, 0], [-1, 0]], dtype=np.float32))
    users = Vectors.of(np.array([[1, 0]], dtype=np.float32))
    assert nearest(users, items, 2, none_of(1), "cosine").item.tolist() == [1]
    assert nearest(users, items, 2, none_of(1), "inner_product").item.tolist() == [0, 1]


def test_a_user_of_whom_all_is_excluded_and_no_users_at_all_find_nothing():
    items = vectors(3, 2, 1)
    excluded = Excluded(np.array([0, 3]), np.array([0, 1, 2]))
    assert len(nearest(vectors(1, 2, 2), items, 2, excluded, "cosine").item) == 0
    assert len(nearest(vectors(0, 2, 2), items, 2, none_of(0), "cosine").item) == 0


@settings(max_examples=30)
@given(st.integers(1, 70), st.integers(0, 99))
def test_an_exact_score_does_not_depend_on_what_is_scored_beside_it(width, seed):
    users, items = vectors(5, width, seed, "wild"), vectors(6, width, seed + 1, "wild")
    user, item = np.divmod(np.arange(30), 6)
    together = score_pairs(users, items, user, item, "inner_product")
    for i in range(30):
        alone = score_pairs(users, items, user[i : i + 1], item[i : i + 1], "inner_product")
        assert alone[0] == together[i]


def test_the_memory_bound_sets_the_blocks():
    for k, limit in ((1, 16_000_000), (5000, 16_000_000), (100, 512_000_000)):
        num_users, num_items = block_sizes(k, limit)
        assert num_users * num_items * 60 <= limit
        assert num_users * k * 60 <= limit
