"""A student that starts from the teacher's embeddings, and runs with fields of feature tables."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from rankdistill import cli
from rankdistill.errors import UserError
from rankdistill.log.vectors import VectorTable
from rankdistill.student.embedding import EmbeddingTable
from rankdistill.student.fields.fit import fit_fields
from rankdistill.student.fields.options import FieldsOptions
from rankdistill.student.folder import load_student
from rankdistill.student.start import start_from
from tests.student.fields_kit import listed
from tests.student.kit import built

FIELDS = [
    "features=[{of: user, path: USERS}, {of: item, path: ITEMS, columns: [duration]}]",
    "train.fields.user=[{kind: id, column: user_id}, {kind: category, column: scene}, "
    "{kind: category, column: user_city, buckets: 8}, {kind: history, column: responses, last: 5}]",
    "train.fields.item=[{kind: id, column: item_id}, {kind: category, column: category}, "
    "{kind: quantiles, column: item_duration, num: 4}, {kind: number, column: item_duration}]",
    "train.objectives={main: [{kind: bpr}], click: [{kind: bce, feedback: click}]}",
]


def fields_of():
    return fit_fields(FieldsOptions(), [listed(40)])


def fresh(fields, width):
    return EmbeddingTable.new(fields.row_keys(), width, 1, 0.1, 0.0)


def vectors(folder, ids, found, name="vectors.parquet"):
    table = pa.table({"id": ids, "vector": pa.array(found.tolist(), pa.list_(pa.float32()))})
    pq.write_table(table, folder / name)
    return VectorTable(path=str(folder / name), id="id", vector="vector")


def test_narrow_vectors_are_taken_over_as_they_are_and_the_rest_stays_drawn(tmp_path):
    fields = fields_of()
    draw = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    given = {"item_id": vectors(tmp_path, [4, 9, 1000, 2, 1], draw)}
    table, before = fresh(fields, 6), fresh(fields, 6).weight
    facts = start_from(table, fields, 5, given)
    field = fields.item[0]
    rows = {item: field.first + 1 + at for at, item in enumerate(field.coder.id.to_pylist())}
    for item, vector in zip([4, 9, 2, 1], draw[[0, 1, 3, 4]], strict=True):
        assert table.weight[rows[item], :3].tolist() == vector.tolist()
    assert (table.weight[:, 3:] == before[:, 3:]).all()
    rest = np.setdiff1d(np.arange(len(before)), [rows[item] for item in (4, 9, 2, 1)])
    assert (table.weight[rest] == before[rest]).all()
    (told,) = facts.values()
    assert told == {"values": 30, "found": 4, "given": 5, "width": 3, "projected": False}


def test_wide_vectors_of_all_fields_are_projected_together_as_well_as_can_be(tmp_path):
    """Against the best approximation of all inner products of that rank (Eckart and Young)."""
    fields, rng = fields_of(), np.random.default_rng(1)
    draw = (rng.normal(size=(38, 4)) @ rng.normal(size=(4, 9))).astype(np.float32)
    draw += rng.normal(size=draw.shape).astype(np.float32) / 10
    users = [f"u{n}" for n in range(8)]
    given = {
        "user_id": vectors(tmp_path, users, draw[:8], "users.parquet"),
        "item_id": vectors(tmp_path, list(range(30)), draw[8:], "items.parquet"),
    }
    table = fresh(fields, 4)
    facts = start_from(table, fields, 4, given)
    assert all(each["found"] == each["values"] and each["projected"] for each in facts.values())
    row = {
        str(value): field.first + 1 + at
        for field in (fields.user[0], fields.item[0])
        for at, value in enumerate(field.coder.id.to_pylist())
    }
    found = table.weight[[row[name] for name in [*users, *map(str, range(30))]]].numpy()
    left, size, right = np.linalg.svd(draw.astype(np.float64), full_matrices=False)
    best = (left[:, :4] * size[:4]) @ right[:4]
    assert np.allclose(found @ found.T, best @ best.T, atol=1e-3)


def test_vectors_of_a_field_that_is_not_there_are_refused(tmp_path):
    given = {"scene": vectors(tmp_path, ["a"], np.ones((1, 2)))}
    with pytest.raises(UserError, match="E0107") as refused:
        start_from(fresh(fields_of(), 2), fields_of(), 2, given)
    assert "user_id, item_id" in str(refused.value.found)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """(folder, config, overrides) of a build, and the sets of fields over its users and items."""
    folder = tmp_path_factory.mktemp("fields_run")
    # Negatives with a history keep the responses, which fields may read, too.
    negatives = "samples.negatives={num: 4, mix: {tail: 1}, history_window: 1d}"
    config, _ = built(folder, [negatives])
    own = [
        text.replace("USERS", str(folder / "sim" / "users.parquet")).replace(
            "ITEMS", str(folder / "sim" / "items.parquet")
        )
        for text in FIELDS
    ]
    return folder, config, own


def train(config, out, overrides, expect=0):
    sets = [part for text in overrides for part in ("--set", text)]
    result = CliRunner().invoke(
        cli.app, ["train", "--config", str(config), "--out", str(out), *sets]
    )
    assert result.exit_code == expect, result.stderr
    return result


def last_hash(out):
    return json.loads(max((out / "checkpoints").glob("*.json")).read_text())["sha256"]


def test_negatives_of_the_batch_are_held_against_histories(place, tmp_path):
    _, config, _ = place
    fields = "[{kind: id, column: user_id}, {kind: history, column: responses, last: 1}]"
    terms = "train.objectives={main: [{kind: sampled_softmax, uniform: 2}]}"
    train(config, tmp_path / "run", [f"train.fields.user={fields}", terms, "train.epochs=1"])
    told = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert told["losses"]["main.sampled_softmax.in_batch"] > 0


@pytest.mark.parametrize("model", ["{kind: fm, dim: 4}", "{kind: two_tower, dim: 4, towers: [8]}"])
def test_a_run_over_feature_tables_and_objectives_reads_back_and_repeats(place, tmp_path, model):
    _, config, own = place
    overrides = [*own, f"train.model={model}", "train.epochs=2"]
    train(config, tmp_path / "one", overrides)
    train(config, tmp_path / "two", overrides)
    assert last_hash(tmp_path / "one") == last_hash(tmp_path / "two")
    scorer, fields, facts = load_student(tmp_path / "one")
    assert scorer.objectives == ("main", "click") == tuple(facts["objectives"])
    assert scorer.student.heads.bias.abs().sum() > 0
    assert [each.kind for each in fields.item] == ["id", "category", "quantiles", "number"]
    ids = fields.snapshot.rows.column("item_id")
    assert fields.items_of(ids).plain().dense[:, 1].sum() == 0
    train(config, tmp_path / "one", [*overrides, "train.model.dim=5"], expect=6)


def test_evaluation_with_a_config_looks_into_the_tables_as_they_are_now(place, tmp_path):
    folder, config, own = place
    train(config, tmp_path / "run", [*own, "train.epochs=1"])
    users = pq.read_table(folder / "sim" / "users.parquet")
    moved = users.set_column(users.schema.get_field_index("city"), "city", users["city"][::-1])
    pq.write_table(moved, tmp_path / "users.parquet")

    def opa(out, *overrides):
        sets = [part for text in overrides for part in ("--set", text)]
        asked = ["--config", str(config), *sets] if sets else []
        asked += ["--run", str(tmp_path / "run"), "--out", str(tmp_path / out)]
        result = CliRunner().invoke(cli.app, ["evaluate", *asked, "--split", "valid"])
        assert result.exit_code == 0, result.stderr
        document = json.loads((tmp_path / out / "evaluation.json").read_text())
        return next(each["value"] for each in document["measures"] if each["measure"] == "opa")

    kept, same = opa("kept"), opa("same", own[0])
    other = opa("other", own[0].replace(f"{folder}/sim/users", f"{tmp_path}/users"))
    assert kept == same != other


def test_a_run_that_was_killed_before_its_fields_were_whole_is_begun_anew(place, tmp_path):
    _, config, own = place
    out = tmp_path / "run"
    train(config, out, [*own, "train.epochs=1"])
    wanted = last_hash(out)
    for name in ("run.json", "metrics.jsonl"):
        (out / name).unlink()
    for file in (out / "checkpoints").iterdir():
        file.unlink()
    (out / "begun").touch()
    (out / "fields" / "items.parquet").write_text("half")
    train(config, out, [*own, "train.epochs=1"])
    assert last_hash(out) == wanted and not (out / "begun").exists()


def test_a_run_tells_how_much_started_from_the_teacher(place, tmp_path):
    _, config, own = place
    given = vectors(tmp_path, list(range(1, 51)), np.ones((50, 3)))
    start = f"train.start.vectors={{item_id: {{path: {given.path}, id: id, vector: vector}}}}"
    result = train(config, tmp_path / "run", [*own, start, "train.epochs=1"])
    facts = json.loads((tmp_path / "run" / "run.json").read_text())["start"]["item.item_id"]
    assert facts["width"] == 3 and 0 < facts["found"] <= 50 == facts["given"]
    share = f"{facts['found']:,} of {facts['values']:,} values"
    assert f"item.item_id: {share} start from the teacher's vectors (3 wide)" in result.stderr


def test_feedback_that_the_log_lacks_is_told(place, tmp_path):
    _, config, _ = place
    override = "train.objectives={main: [{kind: bce, feedback: clicks}]}"
    result = train(config, tmp_path / "no", [override], expect=2)
    assert "E0107" in result.stderr and "feedback: click" in result.stderr


def test_the_ranker_s_own_columns_are_no_features(place, tmp_path):
    _, config, _ = place
    for column in ("teacher_score", "position", "click"):
        override = f"train.fields.item=[{{column: {column}, kind: number}}]"
        result = train(config, tmp_path / "no", [override], expect=2)
        assert "E0102" in result.stderr and "may see" in result.stderr
    assert not (tmp_path / "no").exists()
