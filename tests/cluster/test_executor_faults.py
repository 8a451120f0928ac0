"""Executors that are killed, and tasks of which two attempts run at once: all rows, once."""

from __future__ import annotations

import random
import sys
import time

import pytest
from cluster_kit import LOOPBACK, environment

from rankdistill.build import build
from rankdistill.store.dataset import DataSet
from tests.engines.application import HOME, application
from tests.engines.faulty import Faulty
from tests.engines.feed_rows import rows, small_log, whole_feed

pytestmark = pytest.mark.spark
PARTITIONS, EXECUTORS = 6, 2
CONF = {
    "spark.ui.enabled": "false",
    "spark.log.level": "FATAL",
    "spark.executor.memory": "512m",
    "spark.executorEnv.PYTHONPATH": str(HOME),
    "spark.sql.shuffle.partitions": str(PARTITIONS),
    "spark.sql.adaptive.coalescePartitions.enabled": "false",
    # Any task that lasts is soon tried beside itself.
    "spark.speculation": "true",
    "spark.speculation.interval": "50ms",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.multiplier": "1.1",
    "spark.speculation.minTaskRuntime": "1s",
}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return small_log(tmp_path_factory.mktemp("log") / "sim")


@pytest.fixture(scope="module")
def expected(log, tmp_path_factory):
    out = tmp_path_factory.mktemp("clean") / "out"
    build(whole_feed(log, out, {"kind": "duckdb", "threads": 1}))
    return rows(out)


@pytest.fixture(scope="module")
def app(cluster):
    python = {"PYSPARK_PYTHON": sys.executable}
    with application(cluster.url, CONF, environment() | LOOPBACK | python) as made:
        yield made


@pytest.fixture(scope="module")
def seconds(app, log, tmp_path_factory):
    """What a build takes that nothing strikes, the first one left out."""
    for name in ("first", "second"):
        app.begin(log, tmp_path_factory.mktemp("clean") / name)
        told = app.end()
    return told["seconds"]


@pytest.mark.fault("23", "an executor of Spark is killed (kill -9) at a random time", times=50)
def test_a_killed_executor_loses_nothing(trial, told, tmp_path, app, log, expected, seconds):
    random.seed(trial)
    app.begin(log, tmp_path / "out")
    time.sleep(random.uniform(0, seconds))
    app.kill_one(EXECUTORS, trial)
    app.end()
    told.compare(expected, rows(tmp_path / "out"))
    assert not DataSet.open(tmp_path / "out").verify().faults


@pytest.mark.fault("24", "two attempts of a task at once (speculation)", times=20)
def test_of_two_attempts_at_once_one_is_published(trial, told, tmp_path, app, log, expected):
    random.seed(trial)
    when = ("after", "amid")[trial % 2]
    faulty = Faulty("is slow once", random.randrange(PARTITIONS), when, str(tmp_path))
    app.begin(log, tmp_path / "out", faulty)
    seconds = app.end()["seconds"]
    assert faulty.mark.exists()
    told.compare(expected, rows(tmp_path / "out"))
    data_set = DataSet.open(tmp_path / "out")
    strays = set(data_set.verify().strays)
    assert strays or when == "amid", seconds
    assert strays <= set(data_set.gc(retention_hours=0))
    told.compare(expected, rows(tmp_path / "out"))
