"""What distillation, sampling and adaptive losses are made for, shown on small cases."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from tests.student.loss_kit import Batch, parameters_of, random_batch


def unweighted(kind, **asked):
    """One row."""
    batch = random_batch(kind, 1, num=1, **asked)
    return batch.but(weights=torch.ones_like(batch.weights))


def test_with_t_squared_the_gradient_of_list_kd_tends_to_the_centred_difference_of_logits():
    batch = unweighted("list_kd", full=True)
    apart = batch.scores - batch.targets
    centred = (apart - apart.mean(1, keepdim=True)) / apart.shape[1]
    assert torch.allclose(batch.gradient("list_kd", temperature=1e4), centred, atol=1e-3)


def test_with_t_squared_the_gradient_of_binary_kd_tends_to_a_quarter_of_the_difference():
    batch = unweighted("binary_kd", width=1)
    quarter = (batch.scores - batch.targets) / 4
    assert torch.allclose(batch.gradient("binary_kd", temperature=1e4), quarter, atol=1e-6)


@pytest.mark.parametrize("kind", ["approx_ndcg", "neural_ndcg"])
def test_a_smooth_ndcg_tends_to_ndcg(kind):
    batch = unweighted(kind, full=True)
    gains = 2 ** batch.targets[0] - 1
    discounts = 1 / torch.log2(torch.arange(2, 7).double())
    placed = gains[batch.scores[0].argsort(descending=True)] @ discounts
    wanted = -placed / (gains.sort(descending=True).values @ discounts)
    assert torch.allclose(batch.loss(kind, temperature=1e-3), wanted, atol=1e-6)


def test_rrd_knows_no_order_of_the_uninteresting_and_one_of_the_interesting():
    scores = torch.tensor([[0.3, -1.0, 2.0, 0.5]], dtype=torch.float64)
    targets = torch.tensor([[2.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    batch = Batch(scores, targets, torch.ones(1), torch.ones(1, 4, dtype=torch.bool))
    rest = batch.but(scores=scores[:, [0, 1, 3, 2]]).loss("rrd")
    top = batch.but(scores=scores[:, [1, 0, 2, 3]]).loss("rrd")
    assert torch.allclose(rest, batch.loss("rrd")) and not torch.allclose(top, batch.loss("rrd"))


@pytest.mark.parametrize("calibration", ["zscore", "affine"])
def test_a_calibrated_teacher_may_have_any_scale_and_offset(calibration):
    batch = random_batch("margin_mse", 4, full=True)
    other = batch.but(targets=7 * batch.targets + 3)
    found = other.loss("margin_mse", calibration=calibration)
    assert torch.allclose(found, batch.loss("margin_mse", calibration=calibration))
    assert not torch.allclose(other.loss("margin_mse"), batch.loss("margin_mse"))


def negatives_by(counts):
    """One row: item 0 as the positive, each item j counts[j] times as a negative."""
    return torch.cat([torch.zeros(1, dtype=torch.int64), torch.arange(4).repeat_interleave(counts)])


def gradient_by_item(logits, item, log_q, beta):
    scores = logits[item][None].clone().requires_grad_()
    ones, mask = torch.ones(1), torch.ones(1, len(item), dtype=torch.bool)
    needs = {"log_q": log_q[item][None], "count": torch.ones_like(scores)}
    batch = Batch(scores, scores.detach(), ones, mask, needs)
    (found,) = torch.autograd.grad(batch.loss("sampled_softmax", beta=beta), scores)
    return torch.zeros(4, dtype=torch.float64).index_add(0, item, found[0])


LOGITS = torch.tensor([0.5, 1.0, -0.5, 0.0], dtype=torch.float64)
FULL = LOGITS.softmax(0) - torch.tensor([1.0, 0, 0, 0])


def test_with_the_correction_many_negatives_by_popularity_teach_as_the_full_softmax():
    counts = torch.tensor([5000, 2500, 1500, 1000])
    log_q = (counts / counts.sum()).double().log()
    item = negatives_by(counts)
    assert torch.allclose(gradient_by_item(LOGITS, item, log_q, 1.0), FULL, atol=1e-3)
    for beta in (0.0, 0.25, 0.75):
        assert not torch.allclose(gradient_by_item(LOGITS, item, log_q, beta), FULL, atol=0.02)
    assert not torch.allclose(gradient_by_item(LOGITS, item, -log_q, 1.0), FULL, atol=0.02)


def test_with_the_law_of_a_mixture_of_sources_too():
    popular, uniform = torch.tensor([3000, 1500, 1000, 500]), torch.tensor([1000] * 4)
    counts = popular + uniform
    share = [6000 / 10000, 4000 / 10000]
    q = share[0] * popular / 6000 + share[1] * uniform / 4000
    item = negatives_by(counts)
    assert torch.allclose(gradient_by_item(LOGITS, item, q.double().log(), 1.0), FULL, atol=1e-3)
    one = (popular / 6000).double().log()
    assert not torch.allclose(gradient_by_item(LOGITS, item, one, 1.0), FULL, atol=0.02)


def test_a_partial_correction_turns_a_law_of_counts_into_a_power_of_it():
    """beta 0.25: as if negatives were drawn by count^0.75 and not corrected."""
    counts = torch.tensor([10000, 4096, 1296, 256])
    log_q = (counts / counts.sum()).double().log()
    found = gradient_by_item(LOGITS, negatives_by(counts), log_q, 0.25)
    powered = (100 * counts**0.75).round().long()
    wanted = gradient_by_item(LOGITS, negatives_by(powered), log_q, 0.0)
    assert torch.allclose(found, wanted, atol=1e-3)


def test_a_constant_temperature_makes_the_adaptive_softmax_the_ordinary_one():
    batch = random_batch("adaptive_softmax", 5)
    found = batch.loss("adaptive_softmax", temperature=0.1, alpha=0.0, symmetric=0.0)
    plain = batch.but(needs={})
    assert torch.allclose(found, plain.loss("softmax", temperature=0.1))


def test_the_positive_s_duplicate_needs_the_least_margin_only():
    scores = torch.tensor([[0.3, 0.3]], dtype=torch.float64)
    needs = {"similarity": torch.ones(1, 2, dtype=torch.float64)}
    batch = Batch(scores, scores, torch.ones(1), torch.ones(1, 2, dtype=torch.bool), needs)
    found = batch.loss("adaptive_margin", alpha=0.5, margin=0.01, symmetric=0.0)
    assert float(found) == pytest.approx(0.01)


@pytest.mark.parametrize("kind", ["adaptive_margin", "adaptive_softmax"])
def test_no_gradient_flows_through_what_adapts(kind):
    """Held against the loss with the adapting part handed over as numbers."""
    given = parameters_of(kind, symmetric=0.3)
    batch = random_batch(kind, 6)
    scores = batch.scores.clone().requires_grad_()
    alike = batch.needs["similarity"].clone().requires_grad_()
    loss = batch.but(scores=scores, needs={"similarity": alike}).loss(kind, **given)
    found = torch.autograd.grad(loss, (scores, alike))

    negative = batch.mask & (torch.arange(5) > 0)
    gaps = {"by_user": scores - scores[:, :1], "by_item": alike - scores[:, :1]}
    adapting = {"by_user": batch.needs["similarity"], "by_item": batch.scores}
    total = torch.zeros(4, dtype=torch.float64)
    for side, weight in (("by_user", 1.0), ("by_item", 0.3)):
        apart = given["alpha"] * (1 - adapting[side])
        if kind == "adaptive_margin":
            terms = (apart + given["margin"] + gaps[side]).clamp(min=0)
            total = total + weight * (terms * negative).sum(1)
        else:
            odds = (gaps[side] / (given["temperature"] + apart)).exp()
            total = total + weight * (1 + (odds * negative).sum(1)).log()
    wanted = torch.autograd.grad((total * batch.weights).mean(), (scores, alike))
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other) and one.abs().sum() > 0


def test_without_the_symmetric_term_similarity_gets_no_gradient_at_all():
    batch = random_batch("adaptive_margin", 6)
    alike = batch.needs["similarity"].clone().requires_grad_()
    scores = batch.scores.clone().requires_grad_()
    loss = batch.but(scores=scores, needs={"similarity": alike})
    loss = loss.loss("adaptive_margin", symmetric=0.0)
    (found,) = torch.autograd.grad(loss, alike, allow_unused=True)
    assert found is None or not found.any()


def likeness_of_items():
    """Mean cosine between items after eight users have learned one item each against all others."""
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(2, 8, 4, generator=draw).requires_grad_()
    row = torch.stack([(torch.arange(8) + at) % 8 for at in range(8)])
    ones, mask = torch.ones(8), torch.ones(8, 8, dtype=torch.bool)
    for _ in range(300):
        users, items = torch.nn.functional.normalize(vectors, dim=2)
        needs = {"similarity": (items[:, None] * items[row]).sum(2)}
        batch = Batch((users[:, None] * items[row]).sum(2), mask.float(), ones, mask, needs)
        (gradient,) = torch.autograd.grad(batch.loss("adaptive_margin", alpha=2.0), vectors)
        with torch.no_grad():
            vectors -= 0.05 * gradient
    items = torch.nn.functional.normalize(vectors.data[1], dim=1)
    return float((items @ items.T)[~torch.eye(8, dtype=torch.bool)].mean())


def test_were_the_gradient_of_the_margin_not_stopped_items_would_collapse(monkeypatch):
    assert likeness_of_items() < 0.1
    monkeypatch.setattr(torch.Tensor, "detach", lambda tensor: tensor)
    assert likeness_of_items() > 0.8
