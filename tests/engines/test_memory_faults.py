"""Too little memory: a build spills, or names the setting to raise and publishes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from rankdistill import cli
from rankdistill.build import build
from rankdistill.document import read_document
from rankdistill.settings import settings_of
from rankdistill.store.dataset import DataSet
from tests.cluster.cluster_kit import LOOPBACK, environment

HOME = Path(__file__).parents[2]
SMALL_HEAP = {"spark.driver.memory": "512m", "spark.sql.shuffle.partitions": "2"}
# (rows, settings of Spark or None for DuckDB, the setting that is named; None: it spills)
CASES = [
    (2_000, {"spark.executor.pyspark.memory": "250m"}, "pyspark.memory"),
    (200_000, SMALL_HEAP, None),
    (3_000_000, SMALL_HEAP, "spark.driver.memory"),
    (2_000_000, None, "engine.memory_limit"),
]


def a_log(folder, num_rows):
    """Half of the rows are of one request."""
    (folder / "in").mkdir(parents=True)
    n = np.arange(num_rows)
    columns = {
        "request_id": np.where(n % 2 == 0, 1, n // 100),
        "item_id": pa.array([f"an item with a long name {i:040d}" for i in n]),
        "rank": pa.array(n % 1000 + 1, pa.int32()),
        "click": n % 7 == 0,
    }
    pq.write_table(pa.table(columns), folder / "in" / "0.parquet")
    return {"path": str(folder / "in"), "columns": {"feedback": ["click"]}}


def config(log, out, engine):
    return {
        "output": str(out),
        "log": {**log, "max_candidates": 1_000_000},
        "samples": {"pointwise": {}},
        "quality": {"fail_on": "never"},
        "engine": engine,
    }


def settings(log, out, engine):
    return settings_of(read_document(json.dumps(config(log, out, engine)), "test.yaml"))


@pytest.mark.spark
@pytest.mark.fault("29", "memory too small: of the JVM, a Python worker, DuckDB", times=4)
def test_a_build_short_of_memory_spills_or_names_the_knob(trial, told, tmp_path):
    num_rows, conf, knob = CASES[trial]
    log, out = a_log(tmp_path, num_rows), tmp_path / "out"
    clean = settings(log, out, {"kind": "duckdb"})
    if knob is not None:
        build(clean)
    before = DataSet.open(out).content_hash("pointwise") if knob else None
    engine = {"kind": "spark", "master": "local[2]", "conf": conf}
    if conf is None:
        engine = {"kind": "duckdb", "memory_limit": "32MB", "threads": 2}
    (tmp_path / "feed.yaml").write_text(json.dumps(config(log, out, engine)))
    command = [sys.executable, "-m", "rankdistill", "build", "-c", str(tmp_path / "feed.yaml")]
    done = subprocess.run(
        [*command, "--force"],
        capture_output=True,
        text=True,
        env=environment() | LOOPBACK,
        cwd=HOME,
        check=False,
        timeout=400,
    )
    if knob is None:
        assert done.returncode == 0, done.stderr
        found = DataSet.open(out).content_hash("pointwise")
        build(clean, force=True)
        assert found == DataSet.open(out).content_hash("pointwise")
    else:
        assert done.returncode == 4, done.stderr
        # A worker of Spark may have told its own end before ours is told.
        _, is_told, said = done.stderr.partition("error[E0403]")
        assert is_told and knob in said and "Traceback" not in said, done.stderr
        assert DataSet.open(out).content_hash("pointwise") == before


def starved(*_):
    # As Arrow's allocator tells it, in the middle of reading.
    raise pa.ArrowMemoryError("malloc of size 9895604649984 failed")


@pytest.mark.parametrize("where", ["build.work", "engines.duckdb.conform"])
def test_memory_that_a_library_lacks_is_no_fault_of_the_log(tmp_path, monkeypatch, where):
    engine = {"kind": "duckdb"}
    (tmp_path / "feed.yaml").write_text(
        json.dumps(config(a_log(tmp_path, 100), tmp_path / "out", engine))
    )
    monkeypatch.setattr(f"rankdistill.{where}", starved)
    result = CliRunner().invoke(cli.app, ["build", "--config", str(tmp_path / "feed.yaml")])
    assert result.exit_code == 4
    assert "error[E0403]: memory ran out" in result.stderr
    assert "engine.memory_limit" in result.stderr
