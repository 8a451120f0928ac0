"""The mistakes that a newcomer makes first: what is typed, and every part of what is answered.

An answer has up to five parts: a code and a sentence; where; what was found; the nearest right
thing; the command or the line that mends it. Each case tells those that it must have.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_kit import CONFIG, listing, run

CONFIGS = {
    "tab.yaml": CONFIG.replace("  pointwise", "\tpointwise"),
    "indent.yaml": CONFIG.replace("  columns", "   columns"),
    "typo.yaml": CONFIG.replace("top_k: 3}\n  listwise", "topk: 3}\n  listwise"),
    "column.yaml": CONFIG.replace("[click]", "[clik]"),
    "rank.yaml": CONFIG.replace("sim/log", "from_zero.parquet"),
    "empty.yaml": CONFIG.replace("sim/log", "empty.parquet"),
}
MISTAKES = {
    "no config is named": (
        ("build feed.yaml", 2),
        ["error[E0110]: missing option '--config' / '-c'"],
        ["help    : rankdistill build --config feed.yaml"],
    ),
    "--conf, as spark-submit has it": (
        ("build --conf feed.yaml", 2),
        ["error[E0110]: no such option: --conf", "found   : rankdistill build --conf feed.yaml"],
        ["help    : rankdistill build --config feed.yaml"],
    ),
    "a verb is misspelt": (
        ("bild --config feed.yaml", 2),
        ["error[E0110]: no such command 'bild'"],
        ["help    : rankdistill build --config feed.yaml"],
    ),
    "the config is called otherwise": (
        ("build --config fed.yaml", 2),
        ["error[E0100]: cannot open fed.yaml: No such file or directory"],
        ["feed.yaml", "help    : --config feed.yaml"],
    ),
    "a tab in the config": (
        ("build --config tab.yaml", 2),
        ["error[E0101]: a tab in the indentation", "--> tab.yaml:7:1    pointwise: {top_k: 3}"],
        ["help    : indent by spaces"],
    ),
    "a key is indented by a space too many": (
        ("build --config indent.yaml", 2),
        ["error[E0101]: a ':' stands where no key can be: the indentation", "--> indent.yaml:4:11"],
        ["help    : keys of one block begin in one column"],
    ),
    "a key is misspelt": (
        ("build --config typo.yaml", 2),
        ['error[E0103]: unknown key "topk"', "--> typo.yaml:8:14    pairwise: {topk: 3}"],
        ["known are strategy, top_k", 'help    : did you mean "top_k"? rename the key in line 8'],
    ),
    "a column is misspelt": (
        ("build --config column.yaml", 2),
        ['error[E0102]: column "clik"', "--> column.yaml:4:13    columns: {feedback: [clik]}"],
        [
            "found   : request_id, ",
            'did you mean "click"?   --set \'log.columns.feedback=["click"]',
        ],
    ),
    "the log is elsewhere": (
        ("build --config feed.yaml --path sim/lug", 3),
        ["error[E0311]: no parquet file at sim/lug", "found   : sim holds items.parquet, log"],
        ['help    : did you mean "sim/log"?'],
    ),
    "a glob that does not reach the files": (
        ("build --config feed.yaml --path 'sim/log/*.parquet'", 3),
        ["error[E0311]: no parquet file at sim/log/*.parquet", "sim/log holds dt=2026-11-01"],
        ["help    : give the folder, which has such files further down: sim/log"],
    ),
    "ranks begin at 0": (
        ("validate --config rank.yaml", 3),
        [
            "error[E0303]: 80 rows have rank 0, but log.rank_base is 1",
            "found   : rank 0 in 80 rows",
        ],
        ["help    : --set log.rank_base=0 if the log counts ranks from 0"],
    ),
    "the log is empty": (
        ("validate --config empty.yaml", 3),
        ["error[E0312]: no row of the log can be used", "found   : rows in 0, used 0"],
        ["if rows in is 0, the log, or what log.where leaves of it, is empty"],
    ),
    "the output holds other things": (
        ("build --config feed.yaml --output foreign", 4),
        ["error[E0201]: refusing to write into foreign: folder is not empty", "found   : mine.txt"],
        ["help    : name an empty or a new folder as output"],
    ),
    "the output lies in the input": (
        ("build --config feed.yaml --output sim/log/out", 4),
        ["error[E0202]: refusing to write into", "it lies inside the input sim/log"],
        ["help    : name an output folder apart from the input"],
    ),
    "a day that the log does not have": (
        ("build --config feed.yaml --dt 2026-11-09", 3),
        ["error[E0311]: the log has no file of dt 2026-11-09"],
        ["found   : dt from 2026-11-01 to 2026-11-02", "help    : see --dt"],
    ),
    "a report before the build": (
        ("report --data feed --out page", 4),
        ["error[E0201]: feed is not a rankdistill data set", "found   : no folder"],
        ["help    : build it first: rankdistill build --config FILE"],
    ),
}
AFTER_A_BUILD = {
    "the data set is called otherwise": (
        ("report --data fed --out page", 4),
        ["error[E0201]: fed is not a rankdistill data set", "found   : no folder"],
        ['help    : did you mean "feed"?'],
    ),
    "a table is misspelt": (
        ("files pair --data feed", 4),
        ["error[E0206]: build 1 of", "has no table pair", "found   : lists, listwise, metrics"],
        ['help    : did you mean "pairwise"?'],
    ),
    "a request that is not there": (
        ("preview 12345 --config feed.yaml", 3),
        ['error[E0309]: no request "12345" in build 1', "there are, for example, 2026110100000000"],
        ["help    : rankdistill preview 2026110100000000 --config FILE"],
    ),
}


@pytest.fixture
def mistaken(place):
    """The newcomer's folder, and all that is wrong in it."""
    for name, text in CONFIGS.items():
        Path(name).write_text(text)
    table = pq.read_table(sorted(Path("sim/log").rglob("*.parquet")))
    pq.write_table(table.slice(0, 0), "empty.parquet")
    at = table.schema.get_field_index("rank")
    ranks = pa.array([rank and rank - 1 for rank in table["rank"].to_pylist()], table["rank"].type)
    pq.write_table(table.set_column(at, "rank", ranks), "from_zero.parquet")
    Path("foreign").mkdir()
    Path("foreign/mine.txt").write_text("mine")


def answered(mistake):
    (command, code), told, mended = mistake
    before = listing(".")
    result = run(*shlex.split(command), code=code)
    answer = result.stdout + result.stderr
    assert not [part for part in (*told, *mended) if part not in answer], answer
    assert "Traceback" not in answer
    assert listing(".") == before


def test_each_of_the_first_mistakes_is_told_with_what_mends_it(mistaken, subtests):
    for name, mistake in MISTAKES.items():
        with subtests.test(name):
            answered(mistake)


def test_what_is_asked_of_a_build_in_vain_is_told_with_what_there_is(built, subtests):
    for name, mistake in AFTER_A_BUILD.items():
        with subtests.test(name):
            answered(mistake)


def test_training_without_a_split_tells_how_to_split(built):
    pytest.importorskip("torch")
    told = run("train", "--config", "feed.yaml", "--out", "run", code=6).stderr
    assert "error[E0502]: there is no request to validate on" in told
    assert "help    : set split.train_until before the build's last request" in told
    assert not [*Path("run").glob("*")]


def test_training_without_torch_tells_how_to_get_it(built, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "rankdistill.student.embedding", raising=False)
    told = run("train", "--config", "feed.yaml", "--out", "run", code=4).stderr
    assert "error[E0404]" in told and "pip install 'rankdistill[train]'" in told


def test_spark_without_java_is_told_with_the_engine_that_needs_none(place, monkeypatch):
    sessions = pytest.importorskip("pyspark.sql").SparkSession
    # One that other tests left running would be taken.
    monkeypatch.setattr(sessions, "getActiveSession", lambda: None)
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    told = run("build", "--config", "feed.yaml", "--engine", "spark", code=4).stderr
    assert "error[E0401]: Spark cannot start: Java 17 or newer not found" in told
    assert "--engine duckdb" in told


def test_feedback_that_nobody_mapped_is_a_warning_with_the_line_to_add(place):
    Path("silent.yaml").write_text(CONFIG.replace("  columns: {feedback: [click]}\n", ""))
    for verb in ("validate", "plan"):
        shown = run(verb, "--config", "silent.yaml").stdout
        assert "no feedback is mapped" in shown
        assert "log.columns.feedback: [click, like]" in shown
        assert "no feedback is mapped" not in run(verb, "--config", "feed.yaml").stdout
