"""faiss proposes, exact scores decide; skipped where faiss does not install."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from pydantic import TypeAdapter

from rankdistill.catalogue.ann import Search, build_index, faiss_package, proposed
from rankdistill.catalogue.nearest import nearest
from rankdistill.errors import ResourceError
from tests.catalogue.vector_kit import none_of, same, some_of, vectors

INDEXES = [
    {"kind": "flat"},
    {"kind": "hnsw", "neighbours": 16, "ef_search": 400},
    {"kind": "ivf", "lists": 8, "probes": 8},
]


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ResourceError, match="faiss") as caught:
        faiss_package()
    assert "rankdistill[ann]" in str(caught.value.help)


@pytest.mark.parametrize("metric", ["inner_product", "cosine"])
@pytest.mark.parametrize("options", INDEXES, ids=lambda options: options["kind"])
def test_an_index_that_looks_everywhere_finds_what_the_exact_search_finds(options, metric):
    pytest.importorskip("faiss")
    users, items = vectors(20, 8, 1), vectors(400, 8, 2)
    excluded = some_of(20, 400, 3)
    index = build_index(items, TypeAdapter(Search).validate_python(options), metric)
    found = proposed(users, items, index, 15, excluded, metric)
    assert same(found, nearest(users, items, 15, excluded, metric))


@pytest.mark.parametrize("options", INDEXES, ids=lambda options: options["kind"])
def test_a_user_gets_the_same_of_an_index_alone_as_among_others(options):
    pytest.importorskip("faiss")
    users, items = vectors(12, 8, 1), vectors(500, 8, 2)
    excluded = some_of(12, 500, 3)
    chosen = TypeAdapter(Search).validate_python(options)
    among = proposed(users, items, build_index(items, chosen, "cosine"), 5, excluded, "cosine")
    again = build_index(items, chosen, "cosine")
    for user in range(12):
        rows = np.array([user])
        alone = proposed(users.take(rows), items, again, 5, excluded.take(rows), "cosine")
        assert np.array_equal(alone.item, among.item[among.user == user])


def test_probes_and_ef_search_decide_how_much_is_found():
    pytest.importorskip("faiss")
    users, items = vectors(40, 16, 1), vectors(3000, 16, 2)
    exact = nearest(users, items, 10, none_of(40), "inner_product")
    wanted = set(zip(exact.user.tolist(), exact.item.tolist(), strict=True))

    def share(**options) -> float:
        index = build_index(items, TypeAdapter(Search).validate_python(options), "inner_product")
        found = proposed(users, items, index, 10, none_of(40), "inner_product")
        return len(wanted & set(zip(found.user.tolist(), found.item.tolist(), strict=True))) / 400

    assert share(kind="ivf", lists=64, probes=2) < share(kind="ivf", lists=64, probes=32)
    small = {"kind": "hnsw", "neighbours": 4, "ef_construction": 8}
    assert share(**small, ef_search=1) < share(**small, ef_search=500)
    assert share(**small, ef_search=1) < share(kind="hnsw", ef_search=1)
    assert share(kind="flat") == 1
