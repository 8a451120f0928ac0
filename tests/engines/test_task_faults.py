"""Tasks of Spark that fail, once or always: all rows once, or none and the cause."""

from __future__ import annotations

import json
import random
import shutil

import pytest
from typer.testing import CliRunner

import rankdistill.build as builds
from rankdistill import cli
from rankdistill.store.dataset import DataSet
from tests.engines.faulty import WHEN, WHY, Faulty
from tests.engines.feed_rows import WHOLE, rows, small_log, whole_feed
from tests.feed_kit import feed_config

pytestmark = pytest.mark.spark
PARTITIONS = 6
CONF = {
    "spark.sql.shuffle.partitions": str(PARTITIONS),
    # Else parts this small would become one.
    "spark.sql.adaptive.coalescePartitions.enabled": "false",
}
SPARK = {"kind": "spark", "conf": CONF}
DUCKDB = {"kind": "duckdb", "threads": 1}
NEW_SEED = 7


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return small_log(tmp_path_factory.mktemp("log") / "sim")


@pytest.fixture(scope="module")
def old(log, tmp_path_factory):
    """A data set that was built without a fault."""
    out = tmp_path_factory.mktemp("old") / "out"
    builds.build(whole_feed(log, out, DUCKDB))
    return out


@pytest.fixture(scope="module")
def expected(log, tmp_path_factory):
    """The rows of the next build, which the faults strike."""
    out = tmp_path_factory.mktemp("new") / "out"
    builds.build(whole_feed(log, out, DUCKDB, seed=NEW_SEED))
    return rows(out)


@pytest.fixture
def out(old, tmp_path):
    return shutil.copytree(old, tmp_path / "out")


def build_again(log, out, engine=SPARK):
    return builds.build(whole_feed(log, out, engine, seed=NEW_SEED), force=True)


def drawn(trial, fault, folder, when=None):
    random.seed(trial)
    return Faulty(
        fault, random.randrange(PARTITIONS), when or WHEN[random.randrange(3)], str(folder)
    )


@pytest.mark.fault("25", "a task of Spark throws once, or its worker dies", times=10)
def test_a_task_that_fails_once_is_done_again(
    trial, told, tmp_path, monkeypatch, spark, log, out, expected
):
    faulty = drawn(trial, ("throws once", "dies once")[trial % 2], tmp_path)
    monkeypatch.setattr(builds, "work", faulty)
    build_again(log, out)
    assert faulty.mark.exists()
    told.compare(expected, rows(out))


@pytest.mark.fault("24", "a task of Spark is done again after its parts were written", times=10)
def test_only_parts_of_the_attempt_that_succeeded_are_published(
    trial, told, tmp_path, monkeypatch, spark, log, out, expected
):
    faulty = drawn(trial, "throws once", tmp_path, "after")
    monkeypatch.setattr(builds, "work", faulty)
    build_again(log, out)
    told.compare(expected, rows(out))
    data_set = DataSet.open(out)
    strays = data_set.verify().strays
    assert strays
    assert set(strays) <= set(data_set.gc(retention_hours=0))
    assert (data_set.verify().faults, data_set.verify().strays) == ((), ())
    told.compare(expected, rows(out))


@pytest.mark.fault("25", "shuffle files of Spark are deleted midway", times=10)
def test_what_was_shuffled_and_is_lost_is_shuffled_again(
    trial, told, monkeypatch, spark, log, out, expected
):
    folder = spark.conf.get("spark.local.dir")
    faulty = Faulty("loses shuffle", trial % 2, WHEN[trial % 3], folder)
    faulty.mark.unlink(missing_ok=True)
    monkeypatch.setattr(builds, "work", faulty)
    tracker = spark.sparkContext.statusTracker()
    before = len(tracker.getJobIdsForGroup(None))
    build_again(log, out)
    jobs = sorted(tracker.getJobIdsForGroup(None))[before:]
    stages = [tracker.getStageInfo(n) for job in jobs for n in tracker.getJobInfo(job).stageIds]
    assert any(stage and stage.currentAttemptId for stage in stages)
    told.compare(expected, rows(out))


ALWAYS = [
    # (fault, exit code, what is said of it)
    ("throws", 5, f"RuntimeError: {WHY}"),
    ("lacks disk", 4, "error[E0402]"),
    ("dies", 4, "spark.executor.pyspark.memory"),
    ("lacks memory", 4, "spark.executor.pyspark.memory"),
    ("lacks rights", 4, "error[E0202]"),
]


@pytest.mark.fault("25", "a task of Spark fails always", times=2 * len(ALWAYS), quick=2)
def test_a_task_that_fails_always_ends_the_build_with_its_cause(
    trial, told, tmp_path, monkeypatch, spark, log, out, old, expected
):
    fault, code, said = ALWAYS[trial % len(ALWAYS)]
    with monkeypatch.context() as patched:
        patched.setattr(builds, "work", drawn(trial, fault, tmp_path))
        config = feed_config(log, out, engine=SPARK, seed=NEW_SEED, **WHOLE)
        (tmp_path / "feed.yaml").write_text(json.dumps(config))
        given = ["build", "--config", str(tmp_path / "feed.yaml"), "--force"]
        result = CliRunner().invoke(cli.app, given)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert ("Traceback" in result.stderr) == (code == 5)
    told.compare(rows(old), rows(out))
    build_again(log, out, DUCKDB)
    told.compare(expected, rows(out))
