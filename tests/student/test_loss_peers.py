"""Losses against numbers that other libraries publish or gave, and against torch's own.

allRank 1.4.3: its functions on PLACES and GRADES, and the expected values of its tests.
TensorFlow Ranking 0.5: the examples in the docstrings of its keras losses, and cases of its
losses_impl_test.py, whose expected values are formulas.
"""

from __future__ import annotations

from math import log, log2

import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional

from tests.student.loss_kit import Batch, random_batch

PLACES = [0.5, 0.2, 0.1, 0.4, 1.0, -1.0, 0.63]
GRADES = [1.0, 2.0, 2.0, 4.0, 1.0, 4.0, 3.0]
ORDER = [1.0, 2.0, 6.0, 4.0, 5.0, 0.0, 3.0]


def told(kind, scores, targets, **given):
    """The loss of rows of any lengths."""
    width = max(map(len, scores))
    held = torch.zeros(2, len(scores), width, dtype=torch.float64)
    mask = torch.zeros(len(scores), width, dtype=torch.bool)
    for row, (s, t) in enumerate(zip(scores, targets, strict=True)):
        held[:, row, : len(s)] = torch.tensor([s, t])
        mask[row, : len(s)] = True
    weights = torch.ones(len(scores), dtype=torch.float64)
    return float(Batch(held[0], held[1], weights, mask).loss(kind, **given))


ALLRANK = [
    ("neural_ndcg", GRADES, {}, -0.66788828),
    ("neural_ndcg", GRADES, {"temperature": 0.5, "gain": "linear"}, -0.78458911),
    ("approx_ndcg", GRADES, {"temperature": 1.0}, -0.60353529),
    ("lambda_loss", GRADES, {"scheme": "ndcg2"}, 1.11151504),
    ("lambda_loss", GRADES, {"scheme": "ndcg2pp"}, 13.31915855),
    ("lambda_loss", GRADES, {"scheme": "lambdarank"}, 2.20400786),
    ("list_net", GRADES, {}, 2.43715429),
    ("list_mle", ORDER, {}, 7.14441204),
]


@pytest.mark.parametrize(("kind", "targets", "given", "wanted"), ALLRANK)
def test_a_list_loss_is_that_of_allrank(kind, targets, given, wanted):
    assert told(kind, [PLACES], [targets], **given) == pytest.approx(wanted, rel=1e-6)


def pairs_of_one_with_itself(scores, grades):
    """What allRank adds to NDCG-Loss1 for i = j: G_i / D_i, as -log2 sigmoid(0) is 1."""
    gains = [2**g - 1 for g in grades]
    ideal = sum(g / log2(1 + r) for r, g in enumerate(sorted(gains, reverse=True), 1))
    by_score = sorted(range(len(scores)), key=lambda i: -scores[i])
    return sum(gains[i] / ideal / log2(1 + r) for r, i in enumerate(by_score, 1))


@pytest.mark.parametrize(
    ("scores", "grades", "wanted"),
    [(PLACES, GRADES, 5.52064896), ([0.5, 0.3, 0.5], [0.5, 0.3, 0.5], 2.9272110462)],
)
def test_ndcg_loss_1_is_that_of_allrank_without_the_pairs_of_one_with_itself(
    scores, grades, wanted
):
    found = told("lambda_loss", [scores], [grades], scheme="ndcg1")
    assert found + pairs_of_one_with_itself(scores, grades) == pytest.approx(wanted, rel=1e-6)


def test_tests_of_allrank():
    held = [[0.5, 0.3, 0.5]], [[0.5, 0.3, 0.5]]
    assert told("lambda_loss", *held, scheme="ndcg2pp") == pytest.approx(1.1244146823)
    assert told("approx_ndcg", *held, temperature=1.0) == pytest.approx(-0.8499219417)
    assert told("list_mle", [[0.5, 0.3]], [[1.0, 0.0]]) == pytest.approx(0.5981389284)


TWO = [[0.6, 0.8]], [[1.0, 0.0]]
FIVE = [[0.6, 0.8], [0.5, 0.8, 0.4]], [[1.0, 0.0], [0.0, 1.0, 0.0]]
FIRST = [[0.6, 0.8], [0.8, 0.5, 0.4]], [[1.0, 0.0], [1.0, 0.0, 0.0]]  # the positive first


@pytest.mark.parametrize(
    ("kind", "batch", "given", "wanted"),
    [
        ("approx_ndcg", TWO, {}, -0.655107),
        ("approx_ndcg", FIVE, {}, -0.80536866),
        ("list_mle", TWO, {}, 0.7981389),
        ("softmax", TWO, {}, 0.7981389),
        ("softmax", FIRST, {}, 0.83911896),
        ("bce", TWO, {}, 0.8042943),
        ("logit_mse", TWO, {}, 0.4),
    ],
)
def test_examples_in_the_docstrings_of_tensorflow_ranking(kind, batch, given, wanted):
    assert told(kind, *batch, **given) == pytest.approx(wanted, rel=1e-5)


def test_list_mle_by_places_as_in_the_tests_of_tensorflow_ranking():
    scores, labels = [0.0, log(3), log(2)], [0.0, 2.0, 1.0]
    plain = -(log(3 / 6) + log(2 / 3))
    weighted = -(3 * log(3 / 6) + 1 * log(2 / 3))  # 2^(3-k) - 1
    assert told("list_mle", [scores], [labels]) == pytest.approx(plain)
    by_place = told("p_list_mle", [scores], [labels], place_weight="exponential")
    assert 2 ** (3 - 1) * by_place == pytest.approx(weighted)


def test_ndcg_of_neural_sort_as_in_the_tests_of_tensorflow_ranking():
    scores = [[1.4, -2.8, -0.4], [0.0, 1.8]]
    labels = [[0.0, 2.0, 1.0], [1.0, 0.0]]
    first = (3 / log(4) + 1 / log(3)) / (3 / log(2) + 1 / log(3))
    second = log(2) / log(3)
    found = told("neural_ndcg", scores, labels, temperature=0.1, sinkhorn=0)
    assert found == pytest.approx(-(first + second) / 2, abs=1e-4)


def rows(kind):
    batch = random_batch(kind, 11, full=True)
    return batch.scores, batch.targets, batch.but(weights=torch.ones_like(batch.weights))


def test_losses_that_torch_has_too():
    s, t, batch = rows("bce")
    wanted = functional.binary_cross_entropy(s.sigmoid(), t)
    assert torch.allclose(batch.loss("bce"), wanted)
    s, t, batch = rows("triplet_hinge")
    wanted = functional.margin_ranking_loss(s[:, 0], s[:, 1], torch.ones(4), margin=0.1)
    assert torch.allclose(batch.loss("triplet_hinge"), wanted)
    s, t, batch = rows("list_kd")
    log_s, log_t = (s / 3).log_softmax(1), (t / 3).log_softmax(1)
    wanted = 9 * functional.kl_div(log_s, log_t, reduction="batchmean", log_target=True)
    assert torch.allclose(batch.loss("list_kd", temperature=3.0), wanted)
    s, t, batch = rows("softmax")
    wanted = functional.cross_entropy(s / 0.5, torch.zeros(4, dtype=torch.int64))
    assert torch.allclose(batch.loss("softmax", temperature=0.5), wanted)
    s, t, batch = rows("margin_mse")
    wanted = functional.mse_loss(s[:, 0] - s[:, 1], t[:, 0] - t[:, 1])
    assert torch.allclose(batch.loss("margin_mse"), wanted)


@pytest.mark.parametrize("margin", [-1.0, 0.2])
def test_cosine_is_torch_s_cosine_embedding_loss(margin):
    users, items = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1)).double()
    label = torch.tensor([1.0, 0, 1, 0, 0, 1]).double()
    wanted = functional.cosine_embedding_loss(users, items, 2 * label - 1, margin=margin)
    cosines = functional.cosine_similarity(users, items)
    ones = torch.ones(6, dtype=torch.float64)
    batch = Batch(cosines[:, None], label[:, None], ones, torch.ones(6, 1, dtype=torch.bool))
    assert torch.allclose(batch.loss("cosine", margin=margin), wanted)
