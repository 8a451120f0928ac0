"""The jobs as a cluster runs them: under spark-submit, our code in a zip, nothing else of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import engine_kit as kit
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from rankdistill.mining.mine import mine
from rankdistill.mining.options import read_mine_options
from rankdistill.store.dataset import DataSet

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]
HOME = Path(__file__).parents[2]


@pytest.fixture
def submit(tmp_path):
    """submit(job, *arguments): its run_result.json; its stdout is mixed with Spark's talk."""
    with zipfile.ZipFile(tmp_path / "rankdistill.zip", "w") as archive:
        for path in (HOME / "rankdistill").rglob("*.py"):
            archive.write(path, path.relative_to(HOME))
        for path in (HOME / "rankdistill").rglob("*"):
            if path.suffix in (".j2", ".css"):
                archive.write(path, path.relative_to(HOME))
        for folder in ("schemas", "conf"):
            for path in (HOME / folder).iterdir():
                archive.write(path, f"rankdistill/{folder}/{path.name}")
    command = [str(Path(sys.executable).parent / "spark-submit"), "--master", "local[2]"]
    command += ["--py-files", str(tmp_path / "rankdistill.zip")]
    command += ["--conf", "spark.ui.enabled=false"]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env |= {"PYSPARK_PYTHON": sys.executable}

    def run(job, *arguments):
        words = [*command, str(HOME / "jobs" / job), *map(str, arguments), "--result", "run.json"]
        done = subprocess.run(
            words, capture_output=True, text=True, env=env, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "run.json").read_text())

    return run


def test_the_build_job_makes_the_rows_of_the_verb(tmp_path, submit):
    log = kit.in_parquet(tmp_path, kit.odd_rows(200))
    config = {"output": str(tmp_path / "out"), "log": log, "samples": {"pairwise": {}}}
    config["quality"] = {"fail_on": "never"}  # a log that is odd on purpose
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(config))
    submit("build_samples.py", "--config", tmp_path / "job.yaml")
    expected = kit.hashes(log, tmp_path, "duckdb", samples={"pairwise": {}})
    found = DataSet.open(tmp_path / "out")
    assert str(found.content_hash("pairwise")) == expected["pairwise"]


def test_the_mining_job_makes_the_rows_of_the_verb(tmp_path, submit):
    log = kit.in_parquet(tmp_path, kit.odd_rows(400))
    kit.built(log, tmp_path / "feed", "duckdb", samples={"pointwise": {}})
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
    told = submit("mine_negatives.py", "--config", tmp_path / "mine.yaml", *given)["mining"]
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
