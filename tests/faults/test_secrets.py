"""A canary where secrets are given: it is in nothing that a verb says or leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rankdistill import cli
from rankdistill.errors import InputError, Place, render, without_secrets
from rankdistill.log.files import LogFile
from rankdistill.log.simulate import SimulateOptions, simulate

CANARY = "CANARY7f3a9c"
CONFIG = """\
output: feed
log: {path: sim/log, columns: {feedback: [click]}, stage: {from: column, column: stage}}
samples: {pairwise: {}}
"""
REMOTE = {
    "a login": f"s3a://user:{CANARY}/+{CANARY}@bucket/log.parquet",
    "a SAS token": f"abfss://c@h.example/log.parquet?sv=2024&sig={CANARY}",
    "a signed address": f"https://h.example/log.parquet?X-Amz-Signature={CANARY}",
}
VERBS = {
    "build": ["build", "-c", "feed.yaml"],
    "plan": ["plan", "-c", "feed.yaml"],
    "validate": ["validate", "-c", "feed.yaml"],
    "preview": ["preview", "2026110100000003", "-c", "feed.yaml"],
}
OTHERS = [
    ["report", "--data", "feed", "--out", "page"],
    ["versions", "--data", "feed", "--format", "json"],
    ["check", "--data", "feed", "--format", "json"],
]
SPARK = [
    *("--set", "engine.kind=spark"),
    *("--set", "engine.conf={spark.hadoop.fs.s3a.secret.key: '${env:OUR_SECRET}'}"),
]


def ran(arguments: list[str]) -> tuple[int, str]:
    done = CliRunner().invoke(cli.app, arguments)
    return done.exit_code, done.stdout + done.stderr


def assert_nowhere(folder: Path, told: str) -> None:
    assert CANARY not in told
    for file in folder.rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes(), file


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUR_SECRET", CANARY)
    simulate(tmp_path / "sim", SimulateOptions(num_requests=30, days=1))
    (tmp_path / "feed.yaml").write_text(CONFIG)
    return tmp_path


@pytest.mark.fault("40", "a canary in an address, in what verbs say and leave", times=1)
@pytest.mark.parametrize("kind", REMOTE)
def test_a_secret_in_an_address_is_said_by_no_verb(place, kind, trial, told):
    told.cases = 2 * len(VERBS)
    for arguments in VERBS.values():
        for form in ("text", "json"):
            more = ["--set", f"log.path={REMOTE[kind]}", "--format", form]
            code, text = ran([*arguments, *more])
            assert code in (2, 3, 4) and "error" in text, text
            assert_nowhere(place, text)


@pytest.mark.fault("40", "a canary in the environment and Spark's settings, whole builds", times=1)
@pytest.mark.parametrize("engine", ["duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def test_a_secret_of_the_environment_is_in_nothing_that_a_build_leaves(
    place, request, engine, trial, told
):
    if engine == "spark":
        request.getfixturevalue("spark")
    more = SPARK if engine == "spark" else []
    told.cases = len(VERBS) + len(OTHERS)
    for arguments in [*([*a, *more] for a in VERBS.values()), *OTHERS]:
        code, text = ran(arguments)
        assert code in (0, 1), text
        assert_nowhere(place, text)
    assert (place / "feed" / "openlineage.json").exists() and (place / "page").exists()


def test_errors_and_files_are_told_without_what_may_be_a_secret():
    for address in REMOTE.values():
        at = Place(file="feed.yaml", line=3, column=9, text=f"path: {address}")
        error = InputError("E0311", f"no file at {address}", found=address, help=address, place=at)
        for text in (str(error), repr(error), render(error), LogFile(address, 1, 1, (), 1).place):
            assert CANARY not in text
            assert "log.parquet" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://a:b@h/x and s3://c@h/y", "s3://***@h/x and s3://***@h/y"),
        ("at https://h/x?sig=1&a=b, then", "at https://h/x?***, then"),
        ("s3a://KEY:ab/cd+e@b/x,", "s3a://***@b/x,"),
        ("(see https://h/x?a=1;sig=S,b=S)S)", "(see https://h/x?***)"),
        ("abfss://container@account/x", "abfss://container@account/x"),
        ("abfss://name:word@account/x", "abfss://***@account/x"),
        ("hdfs://host:8020/logs/a@b", "hdfs://host:8020/logs/a@b"),
        ("mail me@example.com why?", "mail me@example.com why?"),
        ("s3://h/dt=2026-11-01/x", "s3://h/dt=2026-11-01/x"),
        ("logs/a?b.parquet", "logs/a?b.parquet"),
    ],
)
def test_only_logins_and_queries_of_addresses_are_hidden(text, expected):
    assert without_secrets(text) == expected
