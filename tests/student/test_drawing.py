"""What a batch holds: the same samples from the tables as drawn afresh, and no slot too many."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

from rankdistill.errors import PlaceError
from rankdistill.settings import read_settings
from rankdistill.store.dataset import DataSet
from rankdistill.student.fields.fit import fit_fields
from rankdistill.student.fields.options import FieldsOptions
from rankdistill.student.losses.schedule import Moment
from rankdistill.student.objectives import Objectives
from rankdistill.student.plan import Plan
from rankdistill.student.reading import lists_source
from rankdistill.student.scoring import Scorer
from rankdistill.training import resolved_kinds
from tests.student.kit import built

ALL = """{main: [{kind: bce}, {kind: bce, on: pointwise}, {kind: bpr}, {kind: softmax},
    {kind: list_net}, {kind: list_kd}]}"""
SAMPLES = [
    "samples.pointwise={top_k: 3, negatives: {kind: ratio, ratio: 2}}",
    "samples.listwise={max_length: 6, tail: {num: 3}}",
    "samples.negatives={num: 6, top_k: 3, mix: {uniform: 0.5, tail: 0.5}}",
    "catalogue={window: 1d, own_day: true}",
    f"train.objectives={ALL}",
]


@pytest.fixture(scope="module", params=["request", "positive"])
def plan(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    overrides = [*SAMPLES, f"samples.negatives.per={request.param}"]
    config, _ = built(folder, overrides)
    chosen = read_settings(config, overrides)
    data_set = DataSet.open(chosen.output)
    build = data_set.newest()
    kinds = resolved_kinds(chosen, build)
    return Plan(data_set, build, chosen.train, Objectives(chosen.train.objectives), kinds, 20261121)


def drawing(plan, **changed):
    options = plan.options.model_copy(update=changed)
    source = plan.learned
    fields = fit_fields(FieldsOptions(), (source.read([piece]) for piece in source.pieces))
    return replace(plan, options=options).drawing(source, fields)


def rows_of(chunk, fields):
    """Every sample as the ids that it names."""
    ids = np.array([None, *fields.item[0].coder.id.to_pylist()], dtype=object)
    item = ids[chunk.items.codes[:, 0] - fields.item[0].first]
    found = []
    for kind, drawn in chunk.drawn.items():
        request = np.repeat(np.arange(chunk.num_requests), np.diff(drawn.start))
        for at in range(len(request)):
            slots = {n: item[s[at]] if s[at] >= 0 else None for n, s in drawn.slots.items()}
            values = {n: v[at] for n, v in drawn.values.items() if n != "margin"}
            key = chunk.request_id[int(request[at])].as_py()
            found.append((kind, key, *slots.values(), *values.values()))
    return sorted(found, key=str)


def test_the_tables_hold_what_is_drawn_afresh_in_the_first_epoch(plan):
    fresh, stored = drawing(plan), drawing(plan, samples="stored")
    pieces = fresh.source.pieces
    one, other = (rows_of(each(pieces, 0), each.fields) for each in (fresh, stored))
    assert one == other
    assert {row[0] for row in one} == {
        "pointwise",
        "pairwise",
        "listwise",
        "negatives",
        "positives",
    }


def test_graded_lists_of_the_table_stand_in_the_teacher_s_order_too(plan):
    fresh, stored = drawing(plan), drawing(plan, samples="stored")
    one, other = (each(fresh.source.pieces, 0) for each in (fresh, stored))
    for chunk in (one, other):
        drawn = chunk.drawn["listwise"]
        for first, last in pairwise(drawn.start.tolist()):
            ranks = chunk.columns["teacher_rank"][drawn.slots["item"][first:last]]
            assert (np.diff(np.where(ranks > 0, ranks, 99)) >= 0).all() and len(ranks) > 6
    names = ["grade", "weight"]
    found = [[chunk.drawn["listwise"].values[n].tolist() for n in names] for chunk in (one, other)]
    assert found[0] == found[1]


def test_row_groups_of_other_splits_are_not_read(plan):
    train, valid = plan.learned, plan.held_out
    both = lists_source(plan.data_set, plan.build)
    assert {piece.dt for piece in train.pieces} == {"2026-11-01"}
    assert {piece.dt for piece in valid.pieces} == {"2026-11-02"}
    assert sorted([*train.pieces, *valid.pieces], key=str) == sorted(both.pieces, key=str)


def test_negatives_are_those_of_the_table(plan):
    found = drawing(plan)
    chunk = found(found.source.pieces, 3)
    rows = [row[1:4] for row in rows_of(chunk, found.fields) if row[0] == "negatives"]
    known = set(found.fields.item[0].coder.id.to_pylist())
    there = []
    for file in plan.data_set.files("negatives", plan.build, "2026-11-01"):
        for row in pq.read_table(file).to_pylist():
            item = row["item_id"] if row["item_id"] in known else None
            there.append((row["request_id"], item, row["pos_item_id"]))
    assert sorted(rows, key=str) == sorted(there, key=str)


def test_slots_that_nobody_looks_at_are_left_out_and_change_no_loss(plan):
    lean = drawing(plan)
    full = replace(lean, looked_at=None)
    pieces = lean.source.pieces
    scorer = Scorer.new(plan.options.model, lean.fields, 1, 0.1)
    chunks = [each(pieces, 1) for each in (lean, full)]
    assert chunks[0].num_slots < chunks[1].num_slots
    told = [
        {
            n: float(loss.detach())
            for n, loss in plan.objectives.losses(scorer.score(chunk), chunk, Moment(1, 0.1))
        }
        for chunk in chunks
    ]
    assert told[0] == pytest.approx(told[1], rel=1e-6)
    assert len(told[0]) == 6 and all(loss > 0 for loss in told[0].values())


def test_a_batch_is_the_same_as_the_part_of_its_pool(plan):
    found = drawing(plan)
    chunk = found(found.source.pieces, 2)
    parts = [chunk.part(at, min(at + 7, chunk.num_requests)) for at in range(0, 100, 7)]
    rows = [row for part in parts for row in rows_of(part, found.fields)]
    assert sorted(rows, key=str) == rows_of(chunk, found.fields)


def test_a_table_that_was_not_built_is_told(plan):
    build = replace(
        plan.build,
        days={
            dt: replace(day, tables={t: v for t, v in day.tables.items() if t != "pairwise"})
            for dt, day in plan.build.days.items()
        },
    )
    with pytest.raises(PlaceError, match="no table pairwise"):
        drawing(replace(plan, build=build), samples="stored")


def test_a_column_that_lists_do_not_have_is_told(plan):
    with pytest.raises(PlaceError, match="no column colour"):
        lists_source(plan.data_set, plan.build, columns=["colour"])
