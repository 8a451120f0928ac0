"""Every job on the cluster, as docs/cluster.md has it run: what `make dist` and `make environment`
made, nothing else, and what it leaves is what the verbs leave without a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import cluster_kit as kit
import pyarrow.parquet as pq
import pytest

from rankdistill.store.dataset import DataSet

pytestmark = [pytest.mark.spark, pytest.mark.cluster]
PACKAGE, ENVIRONMENT = (kit.HOME / "dist" / n for n in ("rankdistill.zip", "environment.tar.gz"))
SIZES = {"days": 3, "num_requests": 60, "num_users": 20, "num_items": 300, "num_candidates": 30}
SIZES |= {"num_ranked": 15, "num_exposed": 5}
FEED = """
output: feed
log:
  path: sim/log
  columns: {feedback: [click], request: [scene]}
  stage: {from: column, column: stage}
catalogue: {window: 2d}
samples:
  pointwise: {top_k: 3}
  pairwise: {}
  listwise: {}
  negatives: {history_window: 2d, num: 8}
features:
  - {of: user, path: sim/users.parquet}
  - {of: item, path: sim/items.parquet, columns: [duration]}
quality: {fail_on: never}  # 60 requests a day
"""
JOBS = {
    "simulate": ("simulate_logs.py", "--out", "sim", *(f"--set={k}={v}" for k, v in SIZES.items())),
    "build": ("build_samples.py", "--config", "feed.yaml"),
    "report": ("quality_report.py", "--data", "feed", "--out", "page"),
    "mine-negatives": (
        *("mine_negatives.py", "--config", "mine.yaml", "--data", "feed", "--out", "mined"),
        "--set=part_users=4",
    ),
}


@pytest.fixture(scope="module")
def there(cluster, tmp_path_factory):
    for made in (PACKAGE, ENVIRONMENT):
        assert made.exists(), "run `make cluster-test`"
    archives = ("--archives", f"{ENVIRONMENT}#environment")
    here = place(tmp_path_factory.mktemp("there"))
    return kit.Submit(cluster, PACKAGE, here, "./environment/bin/python", archives)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return place(tmp_path_factory.mktemp("here"))


def place(folder: Path) -> Path:
    mining = (kit.HOME / "conf" / "mining.yaml").read_text()
    (folder / "mine.yaml").write_text(mining.replace("rankdistill-demo/simulated", "sim"))
    (folder / "feed.yaml").write_text(FEED)
    return folder


@pytest.fixture(scope="module", autouse=True)
def all_have_run(there, here):
    """Each job on the cluster, and its verb on this machine, where DuckDB does the work."""
    assert {job for job, *_ in JOBS.values()} == {p.name for p in (kit.HOME / "jobs").glob("*.py")}
    for verb, (job, *given) in JOBS.items():
        there(job, *given)
        command = [sys.executable, "-m", "rankdistill", verb, *given]
        env = kit.environment() | {"PYTHONPATH": str(PACKAGE)}
        subprocess.run(command, cwd=here, env=env, check=True, capture_output=True)


def test_the_simulating_job_writes_the_files_of_the_verb(there, here):
    found = {path.relative_to(here) for path in (here / "sim").rglob("*.parquet")}
    assert len(found) > 5
    for path in found:
        assert (there.here / path).read_bytes() == (here / path).read_bytes()


def test_every_table_of_the_build_has_the_content_of_duckdb_s(there, here):
    ours, theirs = (DataSet.open(folder / "feed") for folder in (here, there.here))
    tables = {"lists", "pointwise", "pairwise", "listwise", "negatives", "items"}
    assert tables <= set(ours.current().tables)
    found = {table: theirs.content_hash(table) for table in theirs.current().tables}
    assert found == {table: ours.content_hash(table) for table in ours.current().tables}
    assert all(found[table].rows for table in tables)


def test_metrics_and_report_are_duckdb_s(there, here):
    for name in ("feed/metrics.json", "page/report.json"):
        ours, theirs = (json.loads((at / name).read_text()) for at in (here, there.here))
        assert ours == theirs, name


def test_the_mined_negatives_are_those_of_the_verb(there, here):
    ours, theirs = (
        [pq.read_table(path) for path in sorted((at / "mined").glob("*.parquet"))]
        for at in (here, there.here)
    )
    assert len(ours) > 2
    assert ours == theirs


def test_a_second_run_is_up_to_date_and_exit_codes_come_through(there):
    job, *given = JOBS["build"]
    assert "up to date: build 1 of feed" in there(job, *given)
    assert len(DataSet.open(there.here / "feed").versions()) == 1
    done = there.run(job, "--config", "mine.yaml")
    assert done.returncode == 2
    assert "error[E01" in done.stdout  # spark-submit brings both together


def test_workers_without_their_python_are_told_so(there):
    job, *given = JOBS["build"]
    done = replace(there, more=()).run(job, *given, "--force")
    assert done.returncode == 4
    assert "error[E0404]: Spark's workers lack ./environment/bin/python" in done.stdout


def test_both_workers_ran_in_the_environment_of_the_archive_alone(there):
    told = there(Path(__file__).parent / "where.py")
    files = json.loads(told[told.index('{"files"') :].splitlines()[0])["files"]
    executors = there.cluster.executors()
    assert len(executors) == 2
    of_spark = ("pyspark.zip/", "-src.zip/")  # Spark's own side of its workers, of any version
    own = sysconfig.get_paths()["purelib"]
    packages = "/environment" + own.removeprefix(sys.prefix)
    for name in ("numpy", "pyarrow", "pydantic", "yaml"):
        assert any(f"{packages}/{name}/" in file for file in files)
    assert any("rankdistill.zip/rankdistill/second_pass.py" in file for file in files)
    assert not [f for f in files if own in f and not any(sign in f for sign in of_spark)]
    assert not [file for file in files if f"{kit.HOME}/rankdistill/" in file]


def test_a_cluster_whose_user_fails_leaves_nothing_running(tmp_path):
    def failing() -> None:
        with kit.standalone(tmp_path / "spark", num_workers=1) as made:
            assert len(kit.processes_in(made.folder)) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert kit.processes_in(tmp_path) == []
