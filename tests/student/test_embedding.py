"""The gradients of the embedding table, against autograd's of the whole of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from rankdistill.student.embedding import EmbeddingTable  # noqa: E402

NUM, DIM = 7, 3
CODES = st.integers(0, NUM - 1)
PLAIN = st.lists(CODES, max_size=6)
BAGS = st.lists(st.lists(CODES, max_size=4), max_size=4)


def table_of(seed: int) -> EmbeddingTable:
    draw = torch.Generator().manual_seed(seed)
    return EmbeddingTable(torch.rand(NUM, DIM, generator=draw), torch.rand(NUM, generator=draw))


def handed_out(table, plain, bags):
    """What the table gives for them, and the same by plain indexing of a weight."""
    codes = torch.tensor(plain, dtype=torch.int64)
    start = torch.tensor([0, *(len(bag) for bag in bags)]).cumsum(0)
    flat = torch.tensor([code for bag in bags for code in bag], dtype=torch.int64)
    weight = table.weight.clone().requires_grad_()
    means = [weight[bag].mean(0) if bag else weight.new_zeros(DIM) for bag in bags]
    both = torch.cat([weight[codes], *(mean[None] for mean in means)])
    return torch.cat([table.gather(codes), table.means(flat, start)]), both, weight


@given(PLAIN, BAGS, st.integers(0, 9))
def test_each_row_s_gradient_is_that_of_all_its_uses(plain, bags, seed):
    table = table_of(seed)
    own, other, weight = handed_out(table, plain, bags)
    assert torch.allclose(own, other)
    pull = torch.rand(len(own), DIM, generator=torch.Generator().manual_seed(seed + 1)) - 0.5
    for found in (own, other):
        if found.requires_grad:
            (found.square() * pull).sum().backward()
    touched = table.gradients()
    assert sorted(touched.row.tolist()) == sorted({*plain, *(c for bag in bags for c in bag)})
    whole = torch.zeros(NUM, DIM).index_copy(0, touched.row, touched.grads)
    wanted = weight.grad if weight.grad is not None else torch.zeros(NUM, DIM)
    assert torch.allclose(whole, wanted, atol=1e-6)
    assert torch.allclose(touched.squares, touched.grads.square().mean(1), atol=1e-6)


@given(PLAIN, BAGS)
def test_rows_outside_the_ranges_are_let_go_of(plain, bags):
    table, ranges = table_of(1), [(1, 3), (5, 6)]
    own, *_ = handed_out(table, plain, bags)
    own.sum().backward()
    touched = table.gradients(only=ranges)
    used = {*plain, *(code for bag in bags for code in bag)}
    assert sorted(touched.row.tolist()) == sorted(used & {1, 2, 5})


@given(st.lists(CODES, min_size=1, max_size=6), st.floats(0, 0.5))
def test_an_update_is_row_wise_adagrad(plain, l2):
    table = table_of(2)
    weight, state = table.weight.clone(), table.state.clone()
    table.gather(torch.tensor(plain)).square().sum().backward()
    touched = table.gradients()
    table.update(touched, 0.1, l2)
    for code in range(NUM):
        grad = 2 * plain.count(code) * weight[code]
        if code in plain:
            state[code] += grad.square().mean()
            weight[code] = weight[code] - 0.1 * l2 * weight[code] - 0.1 * grad / state[code].sqrt()
    assert torch.allclose(table.weight, weight, atol=1e-6)
    assert torch.allclose(table.state, state)
