"""A build over Spark Connect, whose client knows no Java object: the rows are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import cluster_kit as kit
import pytest

from rankdistill.build import build
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.store.dataset import DataSet
from tests.feed_kit import feed

pytestmark = [pytest.mark.spark, pytest.mark.cluster]


@pytest.mark.skipif(
    find_spec("grpc") is None and os.environ.get("CI") != "true", reason="no pyspark[connect]"
)
def test_a_build_over_connect_has_the_content_of_duckdb_s(tmp_path):
    options = SimulateOptions(num_requests=40, days=2, num_users=20, num_items=300)
    log = simulate(tmp_path / "sim", options).log
    blocks = {"samples": {"pointwise": {}, "pairwise": {}, "listwise": {}, "negatives": {}}}
    blocks["quality"] = {"fail_on": "never"}  # 40 requests a day
    chosen = feed(log, tmp_path / "feed", **blocks)
    build(chosen)
    (tmp_path / "feed.json").write_text(chosen.model_dump_json(by_alias=True, exclude_unset=True))
    command = [sys.executable, "-m", "rankdistill", "build", "--config", "feed.json"]
    # A server of its own, in a process of its own, with two threads for tasks.
    env = kit.environment() | kit.LOOPBACK | {"SPARK_REMOTE": "local[2]"}
    env |= {"PYTHONPATH": str(kit.HOME), "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        [*command, "--engine", "spark", "--output", "connect"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = (DataSet.open(tmp_path / name) for name in ("feed", "connect"))
    hashes = {table: ours.content_hash(table) for table in ours.current().tables}
    assert {table: theirs.content_hash(table) for table in theirs.current().tables} == hashes
    metrics = [json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("feed", "connect")]
    assert metrics[0] == metrics[1]
