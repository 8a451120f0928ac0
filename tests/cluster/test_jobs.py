"""The jobs as a cluster runs them: under spark-submit, our code in a zip, nothing else of ours."""

from __future__ import annotations

import cluster_kit as kit
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from rankdistill.mining.mine import mine
from rankdistill.mining.options import read_mine_options
from rankdistill.store.dataset import DataSet
from tests.engines import engine_kit

pytestmark = pytest.mark.spark


@pytest.fixture
def submit(cluster, tmp_path):
    return kit.Submit(cluster, kit.package(tmp_path / "rankdistill.zip"), tmp_path)


def test_the_build_job_makes_the_rows_of_the_verb(tmp_path, submit):
    log = engine_kit.in_parquet(tmp_path, engine_kit.odd_rows(200))
    config = {"output": str(tmp_path / "out"), "log": log, "samples": {"pairwise": {}}}
    config["quality"] = {"fail_on": "never"}  # a log that is odd on purpose
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(config))
    submit("build_samples.py", "--config", tmp_path / "job.yaml")
    expected = engine_kit.hashes(log, tmp_path, "duckdb", samples={"pairwise": {}})
    found = DataSet.open(tmp_path / "out")
    for table in found.current().tables:
        assert str(found.content_hash(table)) == expected[table]
    assert len(submit.cluster.executors()) == 2


def test_the_mining_job_makes_the_rows_of_the_verb(tmp_path, submit):
    log = engine_kit.in_parquet(tmp_path, engine_kit.odd_rows(400))
    engine_kit.built(log, tmp_path / "feed", "duckdb", samples={"pointwise": {}})
    tables = {}
    for name, ids in (("users", list(range(7))), ("items", [f"v{i}" for i in range(60)])):
        vector = [[float(i % 5), float(i * 7 % 11), 1.0] for i in range(len(ids))]
        table = {"id": ids, "vector": pa.array(vector, pa.list_(pa.float32()))}
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
        tables[name] = {"path": str(tmp_path / f"{name}.parquet"), "id": "id", "vector": "vector"}
    # The job is Spark's, whatever its file says.
    config = {**tables, "num_negatives": 4, "part_users": 2, "engine": {"kind": "duckdb"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    given = ["--data", tmp_path / "feed", "--out", tmp_path / "mined"]
    told = submit.result("mine_negatives.py", "--config", tmp_path / "mine.yaml", *given)["mining"]
    options = read_mine_options(str(tmp_path / "mine.yaml"), ())
    here = mine(
        options, DataSet.open(tmp_path / "feed"), tmp_path / "here", notify=lambda *a, **k: 0
    )
    assert told == here
    assert told["counts"]["rows"] > 50
    assert len(told["files"]) > 2
    assert rows(tmp_path / "mined") == rows(tmp_path / "here")


def rows(folder):
    return [
        row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()
    ]
