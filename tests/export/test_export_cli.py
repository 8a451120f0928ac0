"""`rankdistill export-samples` as a stranger meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from export_kit import data_set, pairs
from typer.testing import CliRunner, Result

from rankdistill import cli


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli.app, ["export-samples", *arguments])
    assert result.exit_code == code, (arguments, result.stdout, result.stderr)
    return result


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data_set(tmp_path / "feed", {"pairwise": pairs(1, 10, 1, 2, 3, user_id=None) + pairs(2, 9, 4)})


def test_it_shows_what_was_read_left_out_and_written(place):
    shown = run("--as", "triplet", "--data", "feed", "--out", "out")
    assert shown.stdout == (
        "triplet of pairwise, build 1, in out\n"
        "read  4 rows\n"
        "left out  3 rows of requests without a user (--anchor request keeps them)\n"
        "\nfile           rows\ntrain.parquet     1\n"
    )
    assert json.loads(shown.stderr.splitlines()[0])["event"] == "started"


def test_json_is_the_manifest_and_the_result_file_has_it_too(place):
    options = ("--as", "n-tuple", "--num-negatives", "3", "--anchor", "request")
    shown = run(
        *options, "--data", "feed", "--out", "out", "--format", "json", "--result", "r.json"
    )
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert json.loads(shown.stdout) == manifest
    assert manifest["left_out"] == {"too_few": 1}
    assert manifest["options"] == {"--anchor": "request", "--num-negatives": 3}
    result = json.loads(Path("r.json").read_text())
    assert (result["exit_code"], result["export"]) == (0, manifest)


def test_nothing_written_is_a_warning(place):
    shown = run("--as", "n-tuple", "--num-negatives", "9", "--data", "feed", "--out", "out")
    assert "warning: no row of pairwise could be written: there is no file" in shown.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--as", "tripplet"), 2, "help    : --as triplet"),
        (("--as", "libsvm"), 4, "samples.listwise"),
        (("--as", "triplet", "--dt", "2026-12-01"), 4, "no dt 2026-12-01"),
        (("--as", "triplet", "--build", "5"), 4, "build 5 is not in"),
        (("--as", "triplet", "--features", "a, b"), 2, "no use for --features"),
        (("--as", "triplet", "--config", "feed.yaml"), 2, "one of them"),
    ],
)
def test_what_cannot_be_is_told_with_its_exit_code(place, options, code, words):
    shown = run(*options, "--data", "feed", "--out", "out", code=code)
    assert words in shown.stderr
    assert not Path("out").exists()


def test_a_folder_in_use_is_refused(place):
    run("--as", "triplet", "--data", "feed", "--out", "out")
    shown = run("--as", "triplet", "--data", "feed", "--out", "out", code=4)
    assert "error[E0201]: refusing to write into out: the folder is not empty" in shown.stderr
