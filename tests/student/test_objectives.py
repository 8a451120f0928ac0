"""What a step minimises: terms, their views and the moments at which they count."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

import torch
from typer.testing import CliRunner

from rankdistill import cli
from rankdistill.lists.batch import logits
from rankdistill.samples.listwise import ListwiseOptions
from rankdistill.settings import read_settings
from rankdistill.store.dataset import DataSet
from rankdistill.student import objectives as objectives_module
from rankdistill.student.catalogue import LOSSES
from rankdistill.student.drawing import HAIR
from rankdistill.student.dynamic import dynamic_weights
from rankdistill.student.fields.fit import fit_fields
from rankdistill.student.fields.options import FieldsOptions
from rankdistill.student.losses.options import (
    AdaptiveMarginLoss,
    BceLoss,
    BprLoss,
    LambdaLoss,
    ListKdLoss,
    ListNetLoss,
    MarginMseLoss,
    RrdLoss,
    Term,
)
from rankdistill.student.losses.schedule import LateSchedule, Moment, StepSchedule
from rankdistill.student.objectives import Objectives
from rankdistill.student.plan import Plan
from rankdistill.student.scoring import Scorer
from rankdistill.student.views import VIEWS, as_cosines
from rankdistill.training import resolved_kinds
from tests.student.kit import built

TERMS = get_args(get_args(Term)[0])
OVERRIDES = [
    "samples.pointwise={top_k: 3, negatives: {kind: ratio, ratio: 2}}",
    "samples.listwise={max_length: 6}",
    "samples.negatives={num: 6, top_k: 3, mix: {uniform: 0.5, tail: 0.5}}",
    "catalogue={window: 1d, own_day: true}",
]
SAMPLED = RrdLoss(interesting="sampled", num=3, top=6, decay=4, others=5)
EVERY = {
    "main": [
        *(term(on=on) for term in TERMS for on in get_args(term.model_fields["on"].annotation)),
        BceLoss(on="pointwise", weighting="dynamic"),
        SAMPLED,
    ]
}
NOON = Moment(10, 0.5)


@pytest.fixture(scope="module")
def chunk_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objectives")
    config, _ = built(folder, OVERRIDES)
    chosen = read_settings(config, OVERRIDES)
    data_set = DataSet.open(chosen.output)
    build = data_set.newest()

    def made(terms):
        kinds = resolved_kinds(chosen, build)
        plan = Plan(data_set, build, chosen.train, Objectives(terms).for_kinds(kinds), kinds, 1)
        source = plan.learned
        fields = fit_fields(FieldsOptions(), (source.read([piece]) for piece in source.pieces))
        chunk = plan.drawing(source, fields)(source.pieces, 0)
        return Scorer.new(plan.options.model, fields, 1, 0.01), chunk, plan.objectives

    return made


def test_every_loss_looks_at_views_of_its_rows_that_give_what_it_needs(chunk_of):
    scorer, chunk, _ = chunk_of(EVERY)
    for term in EVERY["main"]:
        loss, view = LOSSES[term.kind], VIEWS[term.view]
        assert view.rows == loss.rows, term
        sample = view.function(scorer.score(chunk), chunk, **term.looks())
        assert set(loss.needs) <= set(sample.gives), term


def test_gains_are_those_of_the_graded_lists_where_not_told():
    terms = {"main": [LambdaLoss(), LambdaLoss(gain="linear"), BprLoss()]}
    kinds = {"listwise": ListwiseOptions()}
    one, two, _ = Objectives(terms).for_kinds(kinds).terms["main"]
    assert (one.gain, two.gain) == ("exponential", "linear")
    real = {"listwise": ListwiseOptions(grade={"kind": "log_rank"})}
    assert Objectives(terms).for_kinds(real).terms["main"][0].gain == "linear"


def test_every_view_is_looked_at_by_a_loss():
    assert {term.view for term in EVERY["main"]} == VIEWS.keys()


def leaves(scored):
    """The batch cut off the student: gradients stop at scores and vectors."""
    cut = {n: getattr(scored, n).detach().requires_grad_() for n in ("users", "items", "slots")}
    return replace(scored, **cut), list(cut.values())


def gradients(objectives, scorer, chunk, moment=NOON):
    scored, cut = leaves(scorer.score(chunk))
    total = sum(loss for _, loss in objectives.losses(scored, chunk, moment))
    return torch.autograd.grad(total, cut, allow_unused=True)


def test_every_loss_on_each_of_its_views_teaches_a_student(chunk_of):
    for term in EVERY["main"]:
        scorer, chunk, objectives = chunk_of({"main": [term]})
        found = [g for g in gradients(objectives, scorer, chunk) if g is not None]
        assert any(g.abs().sum() > 0 for g in found), term
        assert all(g.isfinite().all() for g in found), term


def test_the_same_loss_twice_counts_twice(chunk_of):
    scorer, chunk, objectives = chunk_of({"main": [BprLoss(), BprLoss(weight=2)], "b": [BprLoss()]})
    found = dict(objectives.losses(scorer.score(chunk), chunk, NOON))
    one, two, three = found.values()
    assert list(found) == ["main.bpr.pairwise", "main.bpr.pairwise.2", "b.bpr.pairwise"]
    assert two == 2 * one and three == one


def test_after_the_switch_the_own_loss_is_not_even_computed(chunk_of, monkeypatch):
    own = BceLoss(schedule=StepSchedule(at=0.5))
    taught = BprLoss(schedule=LateSchedule(start=0.2, end=0.5, before=0.25, after=2.0))
    scorer, chunk, objectives = chunk_of({"main": [own, taught]})
    only = Objectives({"main": [BprLoss(weight=2.0)]})
    before = gradients(objectives, scorer, chunk, Moment(5, 0.5))
    wanted = gradients(only, scorer, chunk)
    assert not torch.equal(before[2], wanted[2])
    monkeypatch.setitem(objectives_module.LOSSES, "bce", None)
    monkeypatch.setitem(VIEWS, "feedback", None)
    after = gradients(objectives, scorer, chunk, Moment(6, 0.5000001))
    assert torch.equal(after[2], wanted[2])


def test_cosines_are_of_the_vectors_without_bias_whatever_the_student_serves(chunk_of):
    scorer, chunk, _ = chunk_of({"main": [BprLoss()]})
    with torch.no_grad():
        scored = scorer.score(chunk)
        found = as_cosines(scored, chunk).slots
    for slot in (0, 7, chunk.num_slots - 1):
        user = scored.users[chunk.request[slot]][:-1]
        item = scored.items[scored.slot_item[slot]][:-1]
        assert float(found[slot]) == pytest.approx(float(user @ item / user.norm() / item.norm()))


def test_a_list_of_scores_is_what_the_teacher_scored_of_a_request(chunk_of):
    scorer, chunk, _ = chunk_of({"main": [ListKdLoss()]})
    scored = scorer.score(chunk)
    sample = VIEWS["scores"].function(scored, chunk)
    row = 0
    for first, last in pairwise(chunk.offsets.tolist()):
        slots = [s for s in range(first, last) if np.isfinite(chunk.columns["score"][s])]
        if slots:
            num = len(slots)
            assert sample.mask[row].tolist() == [True] * num + [False] * (10 - num)
            assert torch.equal(sample.scores[row, :num], scored.slots[slots])
            wanted = chunk.columns["score"][slots].astype(np.float32)
            assert sample.targets[row, :num].numpy().tolist() == wanted.tolist()
            row += 1
    assert row == len(sample.scores) == 100


def test_graded_lists_stand_in_the_teacher_s_order(chunk_of):
    scorer, chunk, _ = chunk_of({"main": [ListNetLoss()]})
    scored = scorer.score(chunk)
    sample = VIEWS["listwise"].function(scored, chunk)
    drawn = chunk.drawn["listwise"]
    assert sample.scores.shape == (100, 6)
    for row, (first, last) in enumerate(pairwise(drawn.start.tolist())):
        slots = drawn.slots["item"][first:last]
        assert chunk.columns["teacher_rank"][slots].tolist() == [1, 2, 3, 4, 5, 6]
        assert torch.equal(sample.scores[row], scored.slots[slots])
        assert sample.targets[row].tolist() == drawn.values["grade"][first:last].tolist()


def test_an_order_sample_stands_in_the_teacher_s_order_the_others_behind(chunk_of):
    scorer, chunk, objectives = chunk_of({"main": [SAMPLED], "other": [SAMPLED, RrdLoss()]})
    scored = scorer.score(chunk)
    (name,) = objectives.draws
    sample = VIEWS["order_sample"].function(scored, chunk, name)
    assert sample.targets[0].tolist() == pytest.approx([1, 1 / 2, 1 / 3, 0, 0, 0, 0, 0])
    assert (sample.targets == sample.targets[0]).all()
    assert sample.mask.all() and sample.scores.shape == (100, 8)
    drawn = chunk.drawn[name]
    for row, (first, last) in enumerate(pairwise(drawn.start.tolist())):
        slots = drawn.slots["item"][first:last]
        ranks = chunk.columns["teacher_rank"][slots]
        assert (np.diff(ranks[:3]) > 0).all() and ranks[2] <= 6
        assert ((ranks[3:] > 6) | (ranks[3:] == 0)).all()
        assert torch.equal(sample.scores[row], scored.slots[slots])


def test_dynamic_weights_multiply_those_of_the_kernel(chunk_of):
    static, dynamic = BceLoss(on="pointwise"), BceLoss(on="pointwise", weighting="dynamic", mu=0.3)
    scorer, chunk, _ = chunk_of({"main": [static, dynamic]})
    scored = scorer.score(chunk)
    one, other = (
        VIEWS["pointwise"].function(scored, chunk, **t.looks()) for t in (static, dynamic)
    )
    factor = dynamic_weights(scored.slots, chunk, 0.3)
    assert torch.equal(other.weights, one.weights * factor) and len(factor.unique()) > 2
    assert not other.weights.requires_grad


def test_dynamic_weights_are_refused_where_there_are_no_places():
    with pytest.raises(ValueError, match="weighting dynamic"):
        BceLoss(weighting="dynamic")


def test_pairs_of_unscored_candidates_teach_no_margin(chunk_of):
    scorer, chunk, objectives = chunk_of({"main": [MarginMseLoss()]})
    scored = scorer.score(chunk)
    ((_, whole),) = objectives.losses(scored, chunk, NOON)
    lost = chunk.drawn["pairwise"].slots["pos"][0]
    columns = {name: column.copy() for name, column in chunk.columns.items()}
    columns["has_score"][lost], columns["logit"][lost] = False, np.nan
    other = replace(chunk, columns=columns)
    sample = VIEWS["scores_pairwise"].function(scored, other)
    assert not sample.mask.all()
    ((_, rest),) = objectives.losses(scored, other, NOON)
    assert rest.isfinite() and rest != whole


def test_similarity_is_that_of_positive_and_negative_items(chunk_of):
    scorer, chunk, _ = chunk_of({"main": [AdaptiveMarginLoss()]})
    scored = as_cosines(scorer.score(chunk), chunk)
    sample = VIEWS["negatives"].function(scored, chunk)
    found = sample.gives["similarity"]()
    assert found.shape == sample.scores.shape
    assert torch.allclose(found[:, 0], torch.ones(len(found)))
    drawn, positive = chunk.drawn["negatives"], chunk.drawn["positives"].slots["item"][0]
    vectors = scored.items[scored.slot_item]
    wanted = vectors[drawn.slots["item"][: drawn.start[1]]] @ vectors[positive]
    assert torch.allclose(found[0, 1 : 1 + len(wanted)], wanted)


def test_probabilities_of_the_teacher_become_logits():
    found = logits(np.array([0.5, 0.8, 0.0, 1.0, np.nan], np.float32), HAIR)
    assert found[:2].tolist() == pytest.approx([0.0, np.log(4)])
    assert found[2:4].tolist() == pytest.approx([-24 * np.log(2), 24 * np.log(2)])
    assert np.isnan(found[4])


def test_a_loss_of_scores_is_refused_where_the_log_has_none(tmp_path):
    config, _ = built(tmp_path)
    for file in (tmp_path / "sim" / "log").rglob("*.parquet"):
        rows = pq.ParquetFile(file).read()
        pq.write_table(rows.drop_columns(["teacher_score"]), file)
    where = ["--config", str(config), "--set", f"output={tmp_path / 'unscored'}"]
    assert CliRunner().invoke(cli.app, ["build", *where]).exit_code == 0
    asked = ["train", *where, "--out", str(tmp_path / "run")]
    asked += ["--set", "train.objectives={main: [{kind: list_kd}]}"]
    told = CliRunner().invoke(cli.app, asked)
    assert told.exit_code == 2 and "E0105" in told.stderr and "looks at scores" in told.stderr


def test_a_loss_of_negatives_is_refused_where_the_config_has_none(tmp_path):
    config, _ = built(tmp_path)
    asked = ["train", "--config", str(config), "--out", str(tmp_path / "run")]
    told = CliRunner().invoke(cli.app, [*asked, "--set", "train.objectives={a: [{kind: softmax}]}"])
    assert told.exit_code == 2 and "E0105" in told.stderr and "samples.negatives" in told.stderr


def test_losses_of_gains_train_by_the_gain_of_the_lists(tmp_path):
    config, _ = built(tmp_path)
    asked = ["train", "--config", str(config), "--out", str(tmp_path / "run")]
    terms = "[{kind: lambda_loss}, {kind: approx_ndcg}, {kind: neural_ndcg, gain: linear}]"
    asked += ["--set", f"train.objectives={{main: {terms}}}", "--set", "train.epochs=1"]
    told = CliRunner().invoke(cli.app, asked)
    assert told.exit_code == 0, told.output
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["objectives"]["main"]
    assert [term["gain"] for term in kept] == ["exponential", "exponential", "linear"]


def test_sampled_orders_and_dynamic_weights_train_the_same_from_the_tables(tmp_path):
    """Of the tables are the points; orders are drawn anew."""
    config, _ = built(tmp_path, ["samples.pointwise={top_k: 3}"])
    terms = "{kind: rrd, interesting: sampled, num: 3, top: 6}, {kind: bce, on: pointwise}, "
    terms += "{kind: bce, on: pointwise, weighting: dynamic}"
    found = []
    for samples in ("fresh", "stored"):
        out = tmp_path / samples
        asked = ["train", "--config", str(config), "--out", str(out)]
        for chosen in (
            f"train.objectives={{main: [{terms}]}}",
            "samples.pointwise={top_k: 3}",
            f"train.samples={samples}",
            "train.epochs=1",
        ):
            asked += ["--set", chosen]
        told = CliRunner().invoke(cli.app, asked)
        assert told.exit_code == 0, told.output
        lines = (out / "metrics.jsonl").read_text().splitlines()
        found.append(json.loads(lines[0])["losses"])
    names = ["main.rrd.order_sample", "main.bce.pointwise", "main.bce.pointwise.2"]
    assert found[0] == pytest.approx(found[1], rel=1e-6) and list(found[0]) == names
    assert 0 < found[0][names[2]] < found[0][names[1]]
