"""Sinkhorn's scaling by numbers against scaling the matrix itself, round by round."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from rankdistill.student.losses.sinkhorn import LEAST, TOLERANCE, sinkhorn  # noqa: E402


def matrices(num=3, n=5, seed=0, spread=2.0):
    """Rows of sum 1; the last matrix has three places only."""
    draw = torch.Generator().manual_seed(seed)
    found = (spread * torch.randn(num, n, n, generator=draw, dtype=torch.float64)).softmax(2)
    there = torch.ones(num, n, dtype=torch.bool)
    there[-1, 3:] = False
    found = found * (there[:, :, None] & there[:, None, :])
    return found / found.sum(2, keepdim=True).clamp(min=1e-300), there


def slow(matrix, rounds):
    """One matrix, scaled as it stands."""
    for _ in range(rounds):
        if ((matrix.sum(0) - 1).abs()[matrix.any(0)] < TOLERANCE).all():
            break
        for side in (0, 1):
            sums = matrix.sum(side, keepdim=True)
            matrix = matrix / torch.where(sums > 0, sums.clamp(min=LEAST), 1.0)
    return matrix


def scaled(matrix, there, rounds):
    rows, columns = sinkhorn(matrix, there, rounds)
    return rows[:, :, None] * matrix * columns[:, None, :]


@pytest.mark.parametrize("rounds", [0, 1, 4, 200])
def test_scales_and_gradient_are_those_of_the_matrix_scaled_itself(rounds):
    matrix, there = matrices()
    weight = torch.rand(matrix.shape, generator=torch.Generator().manual_seed(1)).double()
    found, wanted = (matrix.clone().requires_grad_() for _ in range(2))
    one = scaled(found, there, rounds)
    other = torch.stack([slow(each, rounds) for each in wanted])
    assert torch.allclose(one, other, atol=1e-12)
    for result in (one, other):
        (result * weight).sum().backward()
    assert torch.allclose(found.grad, wanted.grad, atol=1e-10)


def test_after_enough_rounds_rows_and_columns_have_sum_1():
    matrix, there = matrices(seed=2)
    found = scaled(matrix, there, 200)
    for side in (1, 2):
        assert torch.allclose(found.sum(side)[there], torch.ones(13).double(), atol=TOLERANCE)
    assert not found[~(there[:, :, None] & there[:, None, :])].any()


def test_a_column_of_nothing_stays_so_and_one_of_nearly_nothing_grows_by_steps():
    matrix = torch.tensor([[[1.0, 0, 0], [1.0, 0, 0], [1.0, 1e-25, 0]]], dtype=torch.float64)
    there = torch.ones(1, 3, dtype=torch.bool)
    matrix.requires_grad_()
    for rounds in (1, 2, 50):
        found, wanted = scaled(matrix, there, rounds)[0], slow(matrix[0], rounds)
        assert torch.allclose(found, wanted, rtol=1e-9, atol=0) and not found[:, 2].any()
        one, other = (torch.autograd.grad(each[2, 0], matrix)[0] for each in (found, wanted))
        assert one.any() and torch.allclose(one, other, rtol=1e-6, atol=1e-9)


def test_each_matrix_stops_by_itself():
    one, there = matrices(num=2, seed=3, spread=0.1)
    other, _ = matrices(num=2, seed=4, spread=6.0)
    both = scaled(torch.cat([one, other]), there.repeat(2, 1), 60)
    assert torch.equal(both[:2], scaled(one, there, 60))
