"""Laws of every loss, with every choice of its options."""

from __future__ import annotations

from typing import get_args

import pytest

pytest.importorskip("torch")

import torch

from rankdistill.student.catalogue import LOSSES
from rankdistill.student.losses.loss import Law
from tests.student.loss_kit import OPTIONS, Batch, named, random_batch, variants

SEEDS = range(3)
# A calibrated teacher is no longer the one that stands in the targets.
BUT = {
    ("margin_mse-calibration=zscore", "at_target"),
    ("margin_mse-calibration=affine", "at_target"),
}
EVERY = pytest.mark.parametrize("variant", variants(), ids=named)


def near(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return torch.allclose(found, wanted, rtol=1e-9, atol=1e-9)


def shift(kind, given, batch):
    by = torch.arange(1.0, len(batch.scores) + 1)[:, None]
    return near(batch.but(scores=batch.scores + by).loss(kind, **given), batch.loss(kind, **given))


def permutation(kind, given, batch):
    first = LOSSES[kind].rows == "contrast"
    order = [*range(first), *reversed(range(first, batch.scores.shape[1]))]
    return near(batch.map(lambda t: t[:, order]).loss(kind, **given), batch.loss(kind, **given))


def order_of_targets(kind, given, batch):
    other = batch.but(targets=2 * batch.targets**3)
    return near(other.loss(kind, **given), batch.loss(kind, **given))


def at_target(kind, given, batch):
    there = batch.but(scores=batch.targets + ("shift" in LOSSES[kind].laws))
    return near(there.gradient(kind, **given), torch.zeros_like(batch.scores))


def not_negative(kind, given, batch):
    return bool(batch.loss(kind, **given) >= -1e-12)


def scale(kind, given, batch):
    return near(batch.but(scores=3 * batch.scores).loss(kind, **given), batch.loss(kind, **given))


CHECKS = {
    "shift": shift,
    "permutation": permutation,
    "order_of_targets": order_of_targets,
    "at_target": at_target,
    "not_negative": not_negative,
    "scale": scale,
}


def keeps(law, kind, given):
    return all(CHECKS[law](kind, given, random_batch(kind, seed)) for seed in SEEDS)


def test_every_loss_has_options_and_every_law_a_check():
    assert OPTIONS.keys() == LOSSES.keys()
    assert CHECKS.keys() == set(get_args(Law))


@EVERY
@pytest.mark.parametrize("law", CHECKS)
def test_a_loss_keeps_the_laws_it_declares(variant, law):
    kind, given = variant
    if law in LOSSES[kind].laws and (named(variant), law) not in BUT:
        assert keeps(law, kind, given)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("law", CHECKS)
def test_a_law_that_is_not_declared_is_broken(kind, law):
    if law not in LOSSES[kind].laws:
        assert not keeps(law, kind, {})


@EVERY
def test_what_is_masked_changes_nothing_and_gets_no_gradient(variant):
    kind, given = variant
    batch = random_batch(kind, 5, num=6)
    mask = batch.mask.clone()
    mask[2], mask[4, -1] = False, False
    batch = batch.but(mask=mask)
    loss, gradient = batch.loss(kind, **given), batch.gradient(kind, **given)
    assert loss.isfinite() and gradient[mask].abs().sum() > 0
    for garbage in (torch.nan, torch.inf, -1e38):
        other = Batch(
            *(torch.where(mask, t, garbage) for t in (batch.scores, batch.targets)),
            torch.where(mask.any(1), batch.weights, garbage),
            mask,
            {name: torch.where(mask, t, garbage) for name, t in batch.needs.items()},
        )
        assert torch.equal(other.loss(kind, **given), loss)
        assert torch.equal(other.gradient(kind, **given), gradient)
        assert not other.gradient(kind, **given)[~mask].any()


@EVERY
def test_entries_that_are_masked_count_as_if_they_were_not_there(variant):
    kind, given = variant
    batch = random_batch(kind, 6, num=1, width=6, full=True)
    if LOSSES[kind].rows == "pairs":
        return
    mask = batch.mask.clone()
    mask[0, 4:] = False
    short = batch.map(lambda tensor: tensor[:, :4])
    assert near(batch.but(mask=mask).loss(kind, **given), short.loss(kind, **given))


@EVERY
@pytest.mark.parametrize("num", [0, 3])
def test_a_batch_of_nothing_gives_0_and_no_gradient(variant, num):
    kind, given = variant
    batch = random_batch(kind, 7, num=num)
    batch = batch.but(mask=torch.zeros_like(batch.mask), scores=batch.scores * torch.nan)
    assert batch.loss(kind, **given) == 0
    assert not batch.gradient(kind, **given).any()


@EVERY
def test_a_row_without_what_it_needs_does_not_count(variant):
    kind, given = variant
    batch = random_batch(kind, 8, num=3, full=True)
    two = Batch(
        *(t[:2] for t in (batch.scores, batch.targets, batch.weights, batch.mask)),
        {name: tensor[:2] for name, tensor in batch.needs.items()},
    )
    least = {"points": 0}.get(LOSSES[kind].rows, 1)
    mask = batch.mask.clone()
    mask[2, least:] = False
    assert near(batch.but(mask=mask).loss(kind, **given), two.loss(kind, **given))


@EVERY
def test_a_row_s_gradient_does_not_depend_on_the_other_rows(variant):
    kind, given = variant
    if "calibration" in given:
        return  # which is of the batch
    batch = random_batch(kind, 12, num=8)
    whole = len(batch.scores) * batch.gradient(kind, **given)
    for row in range(len(batch.scores)):
        needs = {name: tensor[[row]] for name, tensor in batch.needs.items()}
        kept = (t[[row]] for t in (batch.scores, batch.targets, batch.weights, batch.mask))
        alone = Batch(*kept, needs).gradient(kind, **given)
        assert torch.allclose(alone[0], whole[row], rtol=1e-12, atol=1e-14)


@EVERY
def test_weights_scale_a_loss_and_a_row_of_weight_0_gets_no_gradient(variant):
    kind, given = variant
    batch = random_batch(kind, 9)
    thrice = batch.but(weights=3 * batch.weights)
    assert near(thrice.loss(kind, **given), 3 * batch.loss(kind, **given))
    weights = batch.weights.clone()
    weights[1] = 0
    assert not batch.but(weights=weights).gradient(kind, **given)[1].any()


@EVERY
def test_a_gradient_is_that_of_differences(variant):
    kind, given = variant
    if kind.startswith("adaptive"):
        given = {**given, "symmetric": 0.0}  # its stopped gradient is no derivative: see below
    for seed in SEEDS:
        batch = random_batch(kind, seed)
        scores = batch.scores.clone().requires_grad_()

        def loss(scores, batch=batch):
            return batch.but(scores=scores).loss(kind, **given)

        assert torch.autograd.gradcheck(loss, scores)


@EVERY
@pytest.mark.parametrize("width", [1, 2, 1000])
def test_large_scores_and_lists_of_any_length_stay_finite(variant, width):
    kind, given = variant
    draw = torch.Generator().manual_seed(width)
    batch = random_batch(kind, 10, num=1, width=width, full=True)
    batch = batch.map(lambda t: t if t.dtype == torch.bool else t.float())
    if LOSSES[kind].rows == "lists":  # grades, up to the largest that a ranker takes
        batch = batch.but(targets=batch.targets % 31)
    for size in (1.0, 1e4):
        lots = torch.empty_like(batch.scores).uniform_(-1, 1, generator=draw)
        for scores in (size * lots, size * lots.sign()):
            found = batch.but(scores=scores, weights=batch.weights.float())
            assert found.loss(kind, **given).isfinite()
            assert found.gradient(kind, **given).isfinite().all()
