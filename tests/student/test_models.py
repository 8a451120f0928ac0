"""Students: their scores against the formulas, pair by pair, and what each side may see."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from rankdistill.student.chunk import Bag, Encoded
from rankdistill.student.drawing import Drawing, Outside
from rankdistill.student.fields.fit import fit_fields
from rankdistill.student.losses.options import BceLoss
from rankdistill.student.losses.schedule import Moment
from rankdistill.student.models.heads import Heads
from rankdistill.student.models.options import FmOptions, TwoTowerOptions
from rankdistill.student.objectives import Objectives
from rankdistill.student.reading import ListsSource
from rankdistill.student.scoring import Scorer
from rankdistill.student.views import view_of
from tests.student.fields_kit import EVERY_KIND, listed, tables

EVERY_MODEL = [
    FmOptions(dim=5),
    TwoTowerOptions(dim=4, towers=[6, 3]),
    TwoTowerOptions(dim=4, towers=[6, 3], network="dcn", similarity="cosine", temperature=0.5),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(fields, a batch of all their kinds)."""
    lists = listed(24)
    fields = fit_fields(EVERY_KIND, [lists], tables(tmp_path_factory.mktemp("models")))
    source = ListsSource((), (), "rank")
    return fields, Drawing(source, fields, {}, 0).chunk(lists, {}, Outside(lists))


def scorer_of(options, fields, objectives=("main",)):
    """With numbers far from 0 everywhere."""
    scorer = Scorer.new(options, fields, 3, 0.1, objectives)
    draw = torch.Generator().manual_seed(1)
    scorer.table.weight.copy_(torch.randn(scorer.table.weight.shape, generator=draw))
    for parameter in scorer.student.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=draw) / 3)
    return scorer


def side_rows(scorer, encoded, dense, at):
    """(vector, linear weight) of every field of a user or an item, as a list."""
    held = encoded.plain()
    weight = scorer.table.weight.double().numpy()
    rows = [weight[code] for code in held.codes[at]]
    for bag in held.bags:
        rows.append(weight[bag.codes[bag.start[at] : bag.start[at + 1]]].mean(0))
    dense = dense.detach().double().numpy()
    rows += [number * row for number, row in zip(held.dense[at], dense, strict=True)]
    return [(row[:-1], row[-1]) for row in rows]


def test_a_factorization_machine_is_the_sum_over_all_pairs_of_fields(made):
    fields, chunk = made
    scorer = scorer_of(FmOptions(dim=5), fields)
    with torch.no_grad():
        scores = scorer.score(chunk).slots.numpy()
    student = scorer.student
    for slot in range(0, chunk.num_slots, 5):
        of_user = side_rows(scorer, chunk.users, student.user_dense, chunk.request[slot])
        of_item = side_rows(scorer, chunk.items, student.item_dense, slot)
        assert (len(of_user), len(of_item)) == (6, 6)
        wanted = float(student.bias.detach()) + sum(linear for _, linear in of_user + of_item)
        wanted += sum(a @ b for (a, _), (b, _) in combinations(of_user + of_item, 2))
        assert scores[slot] == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def layers(parameters, tower, found, *, is_cross):
    """A tower by hand; parameters: its state, float64."""
    if is_cross:
        start = found
        for number in range(2):
            layer = f"{tower}.0.layers.{number}"
            product = parameters[f"{layer}.weight"] @ found + parameters[f"{layer}.bias"]
            found = start * product + found
    first = int(is_cross)
    for number in (first, first + 2):
        layer = f"{tower}.{number}"
        found = parameters[f"{layer}.weight"] @ found + parameters[f"{layer}.bias"]
        found = np.maximum(found, 0) if number == first else found
    return found


@pytest.mark.parametrize("options", EVERY_MODEL[1:], ids=lambda o: o.network)
def test_two_towers_are_their_layers_met_by_dot_or_cosine(made, options):
    fields, chunk = made
    scorer = scorer_of(options, fields)
    with torch.no_grad():
        scores = scorer.score(chunk).slots.numpy()
    state = {k: v.double().numpy() for k, v in scorer.student.state_dict().items()}
    weight, is_cross = scorer.table.weight.double().numpy(), options.network == "dcn"

    def vector(encoded, tower, at):
        held = encoded.plain()
        rows = [weight[code] for code in held.codes[at]]
        rows += [weight[b.codes[b.start[at] : b.start[at + 1]]].mean(0) for b in held.bags]
        found = np.concatenate([*rows, held.dense[at]])
        return layers(state, tower, found, is_cross=is_cross)

    for slot in range(0, chunk.num_slots, 7):
        user = vector(chunk.users, "user_tower", chunk.request[slot])
        item = vector(chunk.items, "item_tower", slot)
        wanted = user @ item
        if options.similarity == "cosine":
            wanted /= np.linalg.norm(user) * np.linalg.norm(item) * 0.5
        assert scores[slot] == pytest.approx(wanted + state["bias"][0], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("options", EVERY_MODEL, ids=lambda o: o.kind)
def test_every_logit_is_a_product_of_vectors_and_an_item_s_end_with_one(made, options):
    fields, chunk = made
    scorer = scorer_of(options, fields)
    with torch.no_grad():
        scored = scorer.score(chunk)
    assert scored.users.shape[1] == scored.items.shape[1] == scorer.student.size
    assert (scored.items[:, -1] == 1).all()
    product = (scored.users[chunk.request] * scored.items[scored.slot_item]).sum(1)
    assert torch.allclose(product, scored.slots, atol=1e-4)


@pytest.mark.parametrize("options", EVERY_MODEL, ids=lambda o: o.kind)
def test_an_item_is_the_same_to_every_user(made, options):
    fields, chunk = made
    scorer = scorer_of(options, fields)
    users = Encoded(
        chunk.users.codes[::-1].copy(),
        tuple(bag.take(np.arange(len(chunk.users))[::-1]) for bag in chunk.users.bags),
        chunk.users.dense[::-1].copy(),
    )
    with torch.no_grad():
        scored, other = (scorer.score(c) for c in (chunk, replace(chunk, users=users)))
    assert torch.equal(scored.items, other.items) and not torch.equal(scored.slots, other.slots)


@pytest.mark.parametrize("options", EVERY_MODEL, ids=lambda o: o.kind)
def test_equal_items_are_scored_once_and_alike(made, options):
    fields, chunk = made
    plain = replace(chunk, items=chunk.items.plain())
    scorer = scorer_of(options, fields)
    with torch.no_grad():
        once, each = scorer.score(chunk), scorer.score(plain)
    assert len(once.items) < len(each.items) == chunk.num_slots
    assert torch.allclose(once.slots, each.slots, rtol=1e-5, atol=1e-5)


def test_a_fresh_head_scores_as_the_first_and_a_trained_one_re_weights_the_user():
    users = torch.tensor([[1.0, 2.0, 3.0]])
    heads = Heads(1, 3)
    assert heads(users, 0) is users and torch.equal(heads(users, 1), users)
    heads.scale.data, heads.bias.data = torch.tensor([[1.0, 0.5, -1.0]]), torch.tensor([7.0])
    assert heads(users, 1).tolist() == [[2.0, 3.0, 7.0]]


@pytest.mark.parametrize("options", EVERY_MODEL, ids=lambda o: o.kind)
def test_the_losses_of_an_objective_see_its_own_head(made, options):
    fields, chunk = made
    columns = {**chunk.columns, "exposed": np.ones(chunk.num_slots, dtype=bool)}
    columns["responded"] = np.arange(chunk.num_slots) % 3 == 0
    chunk = replace(chunk, columns=columns)
    objectives = Objectives({"main": [BceLoss()], "click": [BceLoss(weight=0.0)]})
    scorer = scorer_of(options, fields, ("main", "click"))
    moment = Moment(1, 0.1)
    sum(loss for _, loss in objectives.losses(scorer.score(chunk), chunk, moment)).backward()
    assert scorer.student.heads.scale.grad is None
    scorer.table.gradients()
    scored = scorer.score(chunk)
    found = dict(Objectives({"click": [BceLoss()]}).losses(scored, chunk, moment))
    found["click.bce.feedback"].backward()
    assert scorer.student.heads.scale.grad.abs().sum() > 0
    with torch.no_grad():
        users = scored.users * (1 + scorer.student.heads.scale[0])
        bias = scorer.student.heads.bias[0]
        logits = (users[chunk.request] * scored.items[scored.slot_item]).sum(1) + bias
        wanted = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.tensor(columns["responded"]).float()
        )
    assert float(found["click.bce.feedback"].detach()) == pytest.approx(float(wanted), rel=1e-4)


def test_a_view_of_one_feedback_has_the_hits_of_that_alone(made):
    fields, chunk = made
    exposed, hits = np.arange(chunk.num_slots) % 2 == 0, np.arange(chunk.num_slots) % 3 == 0
    columns = {**chunk.columns, "exposed": exposed, "hit.like": hits}
    scored = scorer_of(FmOptions(dim=5), fields).score(chunk)
    sample = view_of("feedback.like").function(scored, replace(chunk, columns=columns))
    assert sample.targets[:, 0].tolist() == hits[exposed].astype(float).tolist()
    assert torch.equal(sample.scores[:, 0], scored.slots[torch.from_numpy(exposed)])


@pytest.mark.parametrize("options", EVERY_MODEL, ids=lambda o: o.kind)
def test_every_parameter_and_row_that_is_looked_up_is_trained(made, options):
    fields, chunk = made
    scorer = scorer_of(options, fields, ("main", "click"))
    before = scorer.table.weight.clone()
    scored = scorer.score(chunk)
    (scored.slots.square().sum() + scored.of("click").slots.sum()).backward()
    for name, parameter in scorer.student.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    scorer.table.update(scorer.table.gradients(), 0.1)
    moved = (scorer.table.weight != before).any(1).numpy()
    sides = [side.plain() for side in (chunk.users, chunk.items)]
    touched = [side.codes.ravel() for side in sides] + [b.codes for s in sides for b in s.bags]
    assert set(np.flatnonzero(moved)) == set(np.concatenate(touched).tolist())


def test_the_mean_of_a_bag_is_that_of_its_rows_one_after_the_other(made):
    fields, _ = made
    scorer = scorer_of(FmOptions(dim=5), fields)
    bag = Bag(np.array([0, 2, 3, 6]), np.array([1, 4, 2, 3, 3, 7]))
    with torch.no_grad():
        found = scorer.inputs(Encoded(np.zeros((3, 0), np.int64), (bag,))).rows
    weight = scorer.table.weight
    for at, rows in enumerate(([1, 4], [2], [3, 3, 7])):
        assert torch.allclose(found[at, 0], weight[rows].mean(0))
