"""A run that starts from another knows what that one knew, and goes on from there."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

pytest.importorskip("torch")

import torch

from rankdistill.errors import ConfigError, TrainingError
from rankdistill.student.fields.fit import fit_fields
from rankdistill.student.fields.kept import load_fields
from rankdistill.student.fields.snapshot import Snapshot
from rankdistill.student.folder import load_student, read_run
from rankdistill.student.scoring import Scorer
from rankdistill.student.warm import STATE, WEIGHT, Before, grown, same_values, take_over
from tests.student.kit import built, last_checkpoint, plan_of, train, train_until

FIRST, SECOND = "2026-11-01", "2026-11-02"
WHOLE = ("split={}", "train.validation=null")
TOWERS = (
    *WHOLE,
    "train.model={kind: two_tower, dim: 4, towers: [8, 4]}",
    "train.fields.user=[{kind: id, column: user_id, min_count: 2}, "
    "{kind: category, column: scene}]",
    "train.fields.item=[{kind: id, column: item_id}, {kind: category, column: category}, "
    "{kind: quantiles, column: item_id, num: 3}, {kind: number, column: item_id}]",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warm")
    config, _ = built(folder, WHOLE[:1])
    for name, own in (("fm", WHOLE), ("towers", TOWERS)):
        train(plan_of(config, *own, dts=(FIRST,)), folder / name)
    return folder, config


def next_day(place, own, name, **asked):
    """(plan of a run on the second day from the run `name`, that run)."""
    folder, config = place
    plan = plan_of(config, *own, f"train.start.run={folder / name}", dts=(SECOND,), **asked)
    return plan, Before.open(folder / name, plan.options, list(plan.objectives.terms))


def fitted(plan):
    source = plan.learned
    batches = (source.read([piece]) for piece in source.pieces)
    return fit_fields(plan.options.fields, batches)


def rows_by_value(fields, weight):
    """(field, value) -> row of the embedding table, as lists; brute force."""
    found = {}
    for field in fields.own_rows():
        ids = getattr(field.coder, "id", pa.array(range(1, field.coder.size))).to_pylist()
        for code, value in enumerate([None, *ids]):
            found[field.name, value] = weight[field.first + code].tolist()
    return found


@pytest.mark.parametrize(("name", "own"), [("fm", WHOLE), ("towers", TOWERS)])
def test_a_grown_vocabulary_keeps_what_it_knew_by_field_and_value(place, name, own):
    plan, before = next_day(place, own, name)
    fields = grown(fitted(plan), before, plan.options)
    fresh = Scorer.new(plan.options.model, fields, 3, 0.0)
    drawn = rows_by_value(fields, fresh.table.weight)
    tensors, told = take_over(fresh.tensors(), fields, before)
    old = rows_by_value(before.fields, before.tensors[WEIGHT])
    new = rows_by_value(fields, tensors[WEIGHT])
    assert old.keys() < new.keys()
    assert new == {key: old.get(key, drawn[key]) for key in new}
    states = rows_by_value(before.fields, before.tensors[STATE][:, None])
    assert rows_by_value(fields, tensors[STATE][:, None]).items() >= states.items()
    for key, tensor in before.tensors.items():
        assert key.startswith("table.") or torch.equal(tensors[key], tensor)
    known = {(f, v) for f, v in old if v is not None}
    for field, each in told["fields"].items():
        assert each["found"] == sum(f == field for f, _ in known)
    assert told["dense"]["found"] == told["dense"]["weights"] > 0


def test_edges_and_means_stay_those_that_the_weights_were_learned_with(place):
    plan, before = next_day(place, TOWERS, "towers")
    new, old = fitted(plan), before.fields
    found = grown(new, before, plan.options)
    assert new.item[3].standard != old.item[3].standard == found.item[3].standard
    assert found.item[2].coder is old.item[2].coder


def test_codes_of_other_edges_or_buckets_are_not_taken_for_the_same_values(place):
    *_, before = next_day(place, TOWERS, "towers")
    old = before.fields.item[2]
    other = type(old)(old.name, old.kind, old.column, type(old.coder)(old.coder.edge + 1), 7)
    assert len(same_values(other, old)[0]) == 0
    assert same_values(old, old)[0].tolist() == list(range(old.first, old.first + old.coder.size))


def test_items_seen_in_either_run_are_known_with_their_newest_columns():
    def seen(*rows):
        batch = pa.RecordBatch.from_pylist([{"item_id": item, "a": a} for item, a in rows])
        return Snapshot(pa.RecordBatch.from_pydict({"item_id": [], "a": []})).after(Snapshot(batch))

    found = seen((4, "new")).after(seen((4, "old"), (1, "only")))
    assert dict(zip(*found.rows.to_pydict().values(), strict=True)) == {4: "new", 1: "only"}


def test_a_daily_update_passes_once_and_is_better_than_a_fresh_start(place, tmp_path):
    folder, config = place
    plan, _ = next_day(place, (*WHOLE, "train.epochs=null"), "fm")
    said = train(plan, tmp_path / "warm")
    train(plan_of(config, *WHOLE, "train.epochs=1", dts=(SECOND,)), tmp_path / "cold")
    (warm,), (cold,) = (
        last_checkpoint(tmp_path / name).facts["history"] for name in ("warm", "cold")
    )
    assert warm["losses"]["main.bpr.pairwise"] < cold["losses"]["main.bpr.pairwise"]
    facts = read_run(tmp_path / "warm")
    assert facts["start"]["run"] == facts["start"]["full"] == str(folder / "fm")
    told = facts["start"]["fields"]["item.item_id"]
    assert f"item.item_id: {told['found']} of {told['values']} values go on from" in said[2]
    fields = load_fields(tmp_path / "warm", facts)
    assert fields.num_rows == load_student(tmp_path / "warm")[0].table.weight.shape[0]


def test_what_it_starts_from_is_part_of_what_the_run_is(place, tmp_path):
    folder, config = place
    plan, _ = next_day(place, WHOLE, "fm")
    train(plan, tmp_path / "run")
    other = plan_of(config, *WHOLE, "seed=5", dts=(FIRST,))
    train(other, tmp_path / "other")
    start = f"train.start.run={tmp_path / 'other'}"
    changed = plan_of(config, *WHOLE, start, dts=(SECOND,))
    with pytest.raises(TrainingError, match="E0503"):
        train(changed, tmp_path / "run")
    (folder / "fm").rename(folder / "moved")
    moved = plan_of(config, *WHOLE, f"train.start.run={folder / 'moved'}", dts=(SECOND,))
    assert moved.hash() == plan.hash()
    (folder / "moved").rename(folder / "fm")


def test_killed_and_resumed_it_ends_with_the_same_bytes(place, tmp_path):
    plan, _ = next_day(place, TOWERS, "towers")
    train(plan, tmp_path / "whole")

    train_until(plan, tmp_path / "run", 4)
    train(plan, tmp_path / "run")
    shas = [last_checkpoint(tmp_path / name).facts["sha256"] for name in ("whole", "run")]
    assert shas[0] == shas[1]


def test_embeddings_of_another_width_are_refused(place, tmp_path):
    folder, config = place
    start = f"train.start.run={folder / 'fm'}"
    plan = plan_of(config, *WHOLE, start, "train.model.dim=3", dts=(SECOND,))
    with pytest.raises(ConfigError, match="E0105") as refused:
        train(plan, tmp_path / "run")
    assert "9 wide" in str(refused.value) and "4" in str(refused.value)


def test_a_run_that_has_not_finished_is_no_start(place, tmp_path):
    folder, config = place
    facts = read_run(folder / "fm")
    (tmp_path / "run.json").write_text(json.dumps(facts | {"student": None}))
    plan = plan_of(config, *WHOLE, f"train.start.run={tmp_path}", dts=(SECOND,))
    with pytest.raises(TrainingError, match=r"E0503.*has not finished"):
        train(plan, tmp_path / "run")
