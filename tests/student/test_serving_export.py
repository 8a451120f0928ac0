"""An export scores as its run does, in a fresh process too, and says how far it is from it."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

import torch

from rankdistill.catalogue.ann import settled
from rankdistill.errors import ConfigError, InputError, ResourceError, TrainingError
from rankdistill.hashing import xxh64
from rankdistill.student.fields.columns import NEWEST
from rankdistill.student.fields.encode import encoded
from rankdistill.student.fields.fit import fit_fields
from rankdistill.student.serving import parity, tower
from rankdistill.student.serving.opened import open_export
from rankdistill.student.serving.options import ExportOptions
from rankdistill.student.serving.user_side import UserSide
from tests.student.export_kit import MODELS, fresh, handed_over, plain_fields, scorer_of
from tests.student.fields_kit import EVERY_KIND, listed, tables

COLUMNS = ("user_id", "scene", "user_city", "user_age", "user_clicked")


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    return fit_fields(EVERY_KIND, [listed(60)], tables(tmp_path_factory.mktemp("export")))


@pytest.fixture(scope="module", params=MODELS, ids=lambda options: options.kind)
def made(request, fields, tmp_path_factory):
    """(scorer, fields, the folder, its manifest) of a student with two objectives."""
    scorer = scorer_of(request.param, fields)
    out = tmp_path_factory.mktemp("made") / "out"
    return SimpleNamespace(
        scorer=scorer, fields=fields, out=out, manifest=handed_over(scorer, fields, out)
    )


def raw_users(num, seed=0):
    """Users as a server knows them: known, unknown and null values of every column."""
    rng = np.random.default_rng(seed)
    words = np.array(["home", "feed", "", "other", None], dtype=object)
    ages = np.array([None, 20, 21.5, 19, 26, float("inf")], dtype=object)
    found = []
    for _ in range(num):
        clicked = [None if rng.random() < 0.1 else int(n) for n in rng.integers(0, 40, 5)]
        found.append(
            {
                "user_id": None if rng.random() < 0.05 else f"u{rng.integers(12)}",
                "scene": words[rng.integers(5)],
                "user_city": None if rng.random() < 0.1 else f"city-{rng.integers(10**12)}" * 3,
                "user_age": ages[rng.integers(6)],
                "user_clicked": [None, [], clicked[:1], clicked][rng.integers(4)],
            }
        )
    return found


def of_run(made, users):
    """What the run itself makes of them: (the tower's inputs, vectors of each objective)."""
    kinds = [pa.string()] * 3 + [pa.float64(), pa.list_(pa.int64())]
    columns = {
        name: pa.array([user[name] for user in users], kind)
        for name, kind in zip(COLUMNS, kinds, strict=True)
    }
    found = encoded(made.fields.user, columns, len(users))
    return UserSide(made.fields).arrays(found), parity.run_vectors(made.scorer, found)


def encoder_of(folder):
    """The export's own encoder, imported from its folder."""
    spec = importlib.util.spec_from_file_location("exported_encoder", folder / "encoder.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Encoder(folder)


def test_the_encoder_beside_the_vectors_encodes_raw_values_as_training_does(made):
    users = raw_users(2000)
    arrays, _ = of_run(made, users)
    found = encoder_of(made.out).inputs(users)
    assert list(found) == [each["name"] for each in made.manifest["user"]["inputs"]]
    for one, other in zip(found.values(), arrays, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)


def test_a_column_that_is_not_given_is_null_and_one_user_is_a_batch(made):
    encoder = encoder_of(made.out)
    found = encoder.inputs([{}])
    nulls = encoder.inputs([dict.fromkeys(encoder.columns)])
    assert all(np.array_equal(found[name], nulls[name]) for name in nulls)
    run = open_export(made.out).user_tower()
    _, (own, _) = of_run(made, [dict.fromkeys(COLUMNS)])
    assert np.allclose(run(*found.values())[0], own, atol=1e-6)


def test_no_user_is_a_batch_of_none(made):
    inputs = encoder_of(made.out).inputs([])
    one = encoder_of(made.out).inputs([{}])
    assert {n: (v.shape[1:], v.dtype) for n, v in inputs.items()} == {
        n: (v.shape[1:], v.dtype) for n, v in one.items()
    }
    vectors = open_export(made.out).user_tower()(*inputs.values())
    assert [each.shape for each in vectors] == [(0, made.manifest["dim"])] * 2


@pytest.mark.parametrize(
    ("users", "told"),
    [
        ({"user_id": "u1"}, "a list of mappings is taken"),
        (["u1"], "a list of mappings is taken"),
        ([{"user_clicked": 3}], "user_clicked takes a list, not 3"),
        ([{"user_clicked": "3,4"}], "user_clicked takes a list, not '3,4'"),
    ],
)
def test_what_are_no_users_is_refused_with_what_is_taken(made, users, told):
    with pytest.raises(TypeError, match=told):
        encoder_of(made.out).inputs(users)


def test_the_program_and_the_item_table_score_as_the_run_does(made):
    users = raw_users(500, 1)
    _, own = of_run(made, users)
    found = open_export(made.out)
    vectors = found.user_tower()(*encoder_of(made.out).inputs(users).values())
    assert [each.shape for each in vectors] == [(500, made.manifest["dim"])] * 2
    for one, other in zip(vectors, own, strict=True):
        assert np.abs(one - other).max() <= 1e-5
    ids, value = found.items()
    with torch.no_grad():
        items = made.scorer.student.items(made.scorer.inputs(made.fields.items_of(ids)))
    assert np.array_equal(value, items.numpy())


def test_onnx_is_torch_on_ten_thousand_users_with_unknown_and_null_values(made, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    manifest = handed_over(
        made.scorer, made.fields, tmp_path / "out", onnx=True, parity={"rows": 10_000}
    )
    told = manifest["parity"]["onnx"]
    assert told["rows"] == 10_000 and told["max_abs_diff"] <= 1e-5 and told["same_top_10"] >= 0.999
    users = raw_users(10_000, 2)
    _, own = of_run(made, users)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "user_tower.onnx")
    assert [each.name for each in session.get_outputs()] == ["main", "click"]
    vectors = session.run(None, encoder_of(tmp_path / "out").inputs(users))
    assert max(np.abs(one - other).max() for one, other in zip(vectors, own, strict=True)) <= 1e-5
    _, items = open_export(tmp_path / "out").items()
    scores = (each @ items.T for each in (vectors[0], own[0]))
    one, other = (np.argsort(-each, kind="stable")[:, :10] for each in scores)
    same = [set(a) == set(b) for a, b in zip(one.tolist(), other.tolist(), strict=True)]
    assert np.mean(same) >= 0.999


def test_a_server_without_rankdistill_and_torch_scores_as_the_run_does(made, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    out = tmp_path / "out"
    handed_over(made.scorer, made.fields, out, onnx=True)
    users = raw_users(20, 3)
    (tmp_path / "users.json").write_text(json.dumps(users))
    code = (
        "import json, sys, onnxruntime, numpy as np, pyarrow.parquet as pq\n"
        "sys.path.insert(0, 'out')\n"
        "from encoder import Encoder\n"
        "inputs = Encoder('out').inputs(json.load(open('users.json')))\n"
        "users = onnxruntime.InferenceSession('out/user_tower.onnx').run(['main'], inputs)[0]\n"
        "table = pq.read_table('out/items.parquet')\n"
        "flat = table.column('vector').combine_chunks().flatten().to_numpy()\n"
        "np.save('scores.npy', users @ flat.reshape(len(table), -1).T)\n"
        "assert not {'rankdistill', 'torch'} & {*sys.modules}\n"
    )
    fresh(code, tmp_path)
    _, (own, _) = of_run(made, users)
    _, items = open_export(out).items()
    assert np.abs(np.load(tmp_path / "scores.npy") - own @ items.T).max() <= 1e-5


def test_the_same_student_gives_the_same_bytes(made, tmp_path):
    options = {"users": {"path": str(tmp_path / "users.parquet"), "id": "uid"}}
    users = raw_users(30)
    table = {name: [user[name] for user in users] for name in COLUMNS[1:]}
    table["user_age"] = pa.array(table["user_age"], pa.float64())
    pq.write_table(pa.table({"uid": range(30), **table}), tmp_path / "users.parquet")
    for name in ("one", "two"):
        handed_over(made.scorer, made.fields, tmp_path / name, **options)
    names = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert "users.parquet" in names and "user_tower.pt2" in names
    for name in names:
        one, two = (tmp_path / of / name for of in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), name


def test_the_users_of_a_table_have_the_vectors_that_the_tower_gives_them(made, tmp_path):
    users = [{**user, "user_id": f"u{at}"} for at, user in enumerate(raw_users(30, 4))]
    table = {name: [user[name] for user in users] for name in COLUMNS}
    table["user_age"] = pa.array(table["user_age"], pa.float64())
    pq.write_table(pa.table(table), tmp_path / "users.parquet")
    given = {"path": str(tmp_path / "users.parquet"), "id": "user_id"}
    handed_over(made.scorer, made.fields, tmp_path / "out", users=given)
    ids, value = open_export(tmp_path / "out").users()
    place = {user["user_id"]: at for at, user in enumerate(users)}
    _, (own, _) = of_run(made, users)
    assert np.allclose(value, own[[place[each] for each in ids.to_pylist()]], atol=1e-6)


def test_users_that_are_known_by_more_than_their_id_need_a_table(made, tmp_path):
    with pytest.raises(ConfigError) as fault:
        handed_over(made.scorer, made.fields, tmp_path / "out", users="known")
    assert fault.value.code == "E0105" and not (tmp_path / "out").exists()
    pq.write_table(pa.table({"id": ["u1"]}), tmp_path / "users.parquet")
    given = {"path": str(tmp_path / "users.parquet"), "id": "id"}
    with pytest.raises(ConfigError, match="scene"):
        handed_over(made.scorer, made.fields, tmp_path / "out", users=given)


def test_items_are_those_that_training_saw_or_the_table_s_with_its_columns(made, tmp_path):
    ids, _ = open_export(made.out).items()
    seen = made.fields.snapshot.rows.column("item_id")
    assert sorted(ids.to_pylist()) == sorted(seen.to_pylist())
    table = {"id": [1, 999], "category": ["c4", "c4"]}
    pq.write_table(pa.table(table), tmp_path / "items.parquet")
    given = {"path": str(tmp_path / "items.parquet"), "id": "id"}
    handed_over(made.scorer, made.fields, tmp_path / "out", items=given)
    ids, value = open_export(tmp_path / "out").items()
    assert sorted(ids.to_pylist()) == [1, 999]
    seen = made.fields.snapshot.of(ids)
    ((_, prices),) = made.fields.tables.of_items()
    price = prices.take(prices.find(xxh64(ids), np.full(2, NEWEST)))[0]
    columns = {"item_id": ids, "category": pa.array(["c4", "c4"]), "item_price": price}
    columns["tags"] = seen.column("tags")
    own = encoded(made.fields.item, columns, 2)
    with torch.no_grad():
        wanted = made.scorer.student.items(made.scorer.inputs(own)).numpy()
    assert np.allclose(value, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("ids", "told"), [([1, 1], "two rows"), ([1, None], "null"), ([], "no row")]
)
def test_a_table_of_items_with_ids_that_cannot_be_is_refused(fields, tmp_path, ids, told):
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), tmp_path / "items.parquet")
    given = {"path": str(tmp_path / "items.parquet"), "id": "id"}
    scorer = scorer_of(MODELS[0], fields)
    with pytest.raises(InputError, match=told):
        handed_over(scorer, fields, tmp_path / "out", items=given)
    assert not (tmp_path / "out").exists()


def test_an_export_that_does_not_score_as_its_run_is_refused(fields, tmp_path, monkeypatch):
    run = tower.run_program

    def other(path):
        vectors = run(path)
        return lambda *arrays: tuple(each + 1e-3 for each in vectors(*arrays))

    monkeypatch.setattr(tower, "run_program", other)
    with pytest.raises(TrainingError, match="does not score") as fault:
        handed_over(scorer_of(MODELS[0], fields), fields, tmp_path / "out")
    assert fault.value.code == "E0504" and not (tmp_path / "out").exists()


@pytest.mark.parametrize("asked", [{"index": {"kind": "hnsw"}}, {"onnx": True}])
def test_without_the_extra_it_is_told_what_to_install(fields, tmp_path, monkeypatch, asked):
    for package in ("faiss", "onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ResourceError, match=r"faiss|onnx") as fault:
        handed_over(scorer_of(MODELS[0], fields), fields, tmp_path / "out", **asked)
    assert fault.value.code == "E0404" and "pip install" in fault.value.help
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["flat", "ivf", "ivf_pq", "hnsw"])
def test_the_recall_that_is_told_is_that_of_the_index_in_the_folder(tmp_path, kind):
    pytest.importorskip("faiss", reason="needs the extra ann")
    plain = plain_fields(200, 3000)
    scorer = scorer_of(MODELS[0], plain)
    manifest = handed_over(scorer, plain, tmp_path / "out", index={"kind": kind})
    told = manifest["parity"]["index"]
    assert told["settings"] == settled(ExportOptions(index={"kind": kind}).index, 3000, 7)
    found = open_export(tmp_path / "out")
    _, value = found.items()
    users = parity.run_vectors(scorer, UserSide(plain).drawn(300, ExportOptions().seed))[0][:50]
    wanted = np.argsort(-(users.astype(np.float64) @ value.T), axis=1)[:, :10]
    _, item = found.index().search(users, 10)
    shares = [len({*a} & {*b}) / 10 for a, b in zip(item.tolist(), wanted.tolist(), strict=True)]
    assert told["recall"]["10"] == pytest.approx(np.mean(shares), abs=1e-6)
    assert told["recall"]["10"] > (0.3 if kind == "ivf_pq" else 0.7)
    assert kind != "flat" or told["recall"] == {"10": 1.0, "100": 1.0, "10@100": 1.0}


def test_known_users_and_an_index_of_few_items(tmp_path):
    plain = plain_fields(20, 4)
    kind = {"kind": "hnsw"} if importlib.util.find_spec("faiss") else None
    scorer = scorer_of(MODELS[0], plain)
    manifest = handed_over(scorer, plain, tmp_path / "out", users="known", index=kind)
    ids, value = open_export(tmp_path / "out").users()
    assert sorted(ids.to_pylist()) == list(range(20)) and len(value) == 20
    assert kind is None or manifest["parity"]["index"]["recall"]["10"] == 1.0
