"""The logits of slots and their gradients, against what autograd makes of the plain products."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch")

from rankdistill.student.chunk import Bag, Chunk, Encoded, Links  # noqa: E402
from rankdistill.student.meeting import meet  # noqa: E402


def chunk_of(lengths, items):
    codes = np.array(items, dtype=np.int64)[:, None]
    offsets = np.concatenate([[0], np.cumsum(np.array(lengths, dtype=np.int64))])
    ids = pa.array(range(len(lengths)))
    users = Encoded(np.zeros((len(lengths), 1), np.int64))
    return Chunk(ids, offsets, users, Encoded(codes), {}, {})


@pytest.mark.parametrize("num_items", [1, 2, 9, 100])
@pytest.mark.parametrize("seed", range(5))
def test_logits_and_gradients_are_those_of_the_plain_products(seed, num_items):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 6, 20)
    chunk = chunk_of(lengths, rng.integers(0, num_items, lengths.sum()))
    links = chunk.links
    users = torch.randn(20, 4, dtype=torch.float64, requires_grad=True)
    items = torch.randn(len(links.row), 4, dtype=torch.float64, requires_grad=True)
    pull = torch.randn(chunk.num_slots, dtype=torch.float64)
    scores = meet(users, items, chunk)
    own = torch.autograd.grad((scores * pull).sum(), (users, items))
    plain = (users[torch.from_numpy(chunk.request)] * items[torch.from_numpy(links.item)]).sum(1)
    assert torch.allclose(scores, plain)
    for one, other in zip(
        own, torch.autograd.grad((plain * pull).sum(), (users, items)), strict=True
    ):
        assert torch.allclose(one, other)
    assert torch.autograd.gradcheck(lambda u, v: meet(u, v, chunk), (users, items))


@pytest.mark.parametrize("width", [1, 3])
def test_slots_of_equal_codes_are_one_item(width):
    rng = np.random.default_rng(width)
    codes = rng.integers(0, 3, (50, width))
    links = Links.of(Encoded(codes))
    rows = [tuple(row) for row in codes.tolist()]
    assert [rows[row] for row in links.row[links.item]] == rows
    assert len(links.row) == len(set(rows))
    for item, (first, last) in enumerate(zip(links.start, links.start[1:], strict=False)):
        assert links.order[first:last].tolist() == np.flatnonzero(links.item == item).tolist()


def test_codes_too_large_to_be_packed_are_sorted_as_well():
    codes = np.array([[2**62], [5], [2**62], [5]])
    assert Links.of(Encoded(codes)).item.tolist() == [1, 0, 1, 0]


def test_items_with_several_values_are_each_their_own():
    bag = Bag(np.array([0, 1, 2]), np.array([4, 4]))
    assert Links.of(Encoded(np.zeros((2, 1), np.int64), (bag,))).item.tolist() == [0, 1]


def test_a_batch_without_slots_has_no_logits():
    chunk = chunk_of([0, 0], [])
    scores = meet(torch.zeros(2, 3, requires_grad=True), torch.zeros(0, 3), chunk)
    assert scores.shape == (0,)
    scores.sum().backward()
