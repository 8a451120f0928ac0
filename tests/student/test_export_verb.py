"""From a build to a run to what a server does, by the verbs alone; the serving page's code runs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

import torch

from rankdistill import cli
from rankdistill.student.folder import load_student
from rankdistill.student.serving.opened import open_export
from tests.pages_kit import named
from tests.student.export_kit import fresh
from tests.student.kit import built

ROOT = Path(__file__).parent.parent.parent
CODE = {
    "onnx": named("serving.md", "onnx"),
    "onnx faiss": named("serving.md", "index"),
    "torch": named("serving.md", "torch"),
}
HAS = {
    name: importlib.util.find_spec(package) is not None
    for name, package in (("onnx", "onnxruntime"), ("faiss", "faiss"), ("torch", "torch"))
}


def run(*arguments: object):
    result = CliRunner().invoke(cli.app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with feed.yaml, feed/, run/ and export/, the user side user_id alone."""
    folder = tmp_path_factory.mktemp("verb")
    config, _ = built(folder)
    run("train", "--config", config, "--out", folder / "run", "--set", "train.epochs=1")
    extras = [f for f, n in (("--onnx", "onnx"), ("--index=hnsw", "faiss")) if HAS[n]]
    run("export", "--run", folder / "run", "--out", folder / "export", "--users", *extras)
    return folder


def test_the_terminal_tells_the_files_and_how_far_they_are_from_the_run(place, tmp_path):
    text = run("export", "--run", place / "run", "--out", tmp_path / "out").stdout
    assert "items.parquet" in text and "differs from the run by" in text
    told = run("export", "--run", place / "run", "--out", tmp_path / "json", "--format", "json")
    manifest = json.loads((tmp_path / "json" / "manifest.json").read_text())
    assert json.loads(told.stdout) == manifest
    facts = json.loads((place / "run" / "run.json").read_text())
    assert manifest["run"] == facts["run"] and manifest["build_id"] == facts["build_id"]
    assert manifest["config"]["options"] == facts["options"]


def test_every_item_and_user_of_training_has_the_score_of_the_run(place):
    scorer, fields, _ = load_student(place / "run")
    found = open_export(place / "export")
    (item_ids, items), (user_ids, users) = found.items(), found.users()
    assert len(item_ids) == fields.item[0].coder.size - 1
    assert len(user_ids) == fields.user[0].coder.size - 1
    table = scorer.table.weight.double().numpy()
    own = table[fields.user[0].codes(user_ids)][:, None], table[fields.item[0].codes(item_ids)]
    bias = float(scorer.student.bias.detach())
    wanted = (own[0][..., :-1] * own[1][..., :-1]).sum(-1) + bias
    wanted += own[0][..., -1] + own[1][..., -1]
    assert np.abs(users @ items.T - wanted).max() <= 1e-5


def test_mined_negatives_take_the_tables_as_they_are(place, tmp_path):
    sets = [
        f"--set={side}={{path: {place}/export/{side}.parquet, id: {side[:-1]}_id, vector: vector}}"
        for side in ("users", "items")
    ]
    run(
        *("mine-negatives", "--data", place / "feed", "--out", tmp_path / "mined", *sets),
        "--set=positives=responses",
    )
    manifest = json.loads((tmp_path / "mined" / "manifest.json").read_text())
    assert manifest["counts"]["rows"] > 0 and manifest["counts"]["items"] > 100


def test_a_bad_option_or_run_is_told(place, tmp_path):
    asked = ["export", "--run", str(place / "run"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, [*asked, "--index", "annoy"])
    assert result.exit_code == 2 and "known are flat, ivf, ivf_pq, hnsw" in result.stderr
    result = CliRunner().invoke(cli.app, [*asked, "--set", "index={kind: ivf, list: 3}"])
    assert result.exit_code == 2 and "E0103" in result.stderr
    asked[2] = str(tmp_path)
    result = CliRunner().invoke(cli.app, asked)
    assert result.exit_code == 6 and "E0503" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("needs", CODE)
def test_the_code_of_the_serving_page_runs_and_finds_what_the_run_would(place, needs):
    if missing := [name for name in needs.split() if not HAS[name]]:
        pytest.skip(f"needs the extra of {', '.join(missing)}")
    if needs == "torch":
        begin = "import sys\nsys.path.insert(0, 'export')\n"
        shown = fresh(begin + CODE[needs], place, PYTHONPATH=str(ROOT))
        assert shown.strip() == f"(1, {len(open_export(place / 'export').items()[0])})"
        return
    leaf = CODE["onnx"] if needs == "onnx" else CODE["onnx"].split("scores =")[0] + CODE[needs]
    end = "assert not {'rankdistill', 'torch'} & {*sys.modules}\n"
    places = {}
    if "faiss" in needs:
        (faiss,) = importlib.util.find_spec("faiss").submodule_search_locations
        places["PYTHONPATH"] = str(Path(faiss).parent)
    shown = fresh(leaf + end, place, **places)
    scorer, fields, _ = load_student(place / "run")
    ids, items = open_export(place / "export").items()
    code_of = fields.user[0].codes(pa.array([17, None], pa.int64()))
    with torch.no_grad():
        rows = scorer.table.weight[torch.from_numpy(code_of)]
    ones = np.ones((2, 1))
    own = rows[:, -1:].numpy() + float(scorer.student.bias.detach())
    users = np.concatenate([rows[:, :-1].numpy(), ones, own], 1)
    best = np.argsort(-(users @ items.astype(np.float64).T), axis=1, kind="stable")[:, :10]
    wanted = [[ids[int(at)].as_py() for at in row] for row in best]
    for line, row in zip(shown.splitlines(), wanted, strict=True):
        assert len({*json.loads(line)} & {*row}) >= 9
