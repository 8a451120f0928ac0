"""One log, laid out and worked on in every way: the same rows and the same metrics."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from itertools import product

import numpy as np
import pyarrow.parquet as pq
import pytest

from rankdistill.build import build
from tests.cluster.cluster_kit import LOOPBACK, environment
from tests.engines.application import application
from tests.engines.feed_rows import rows, small_log, whole_feed

CLUSTER = "local-cluster[2,1,1024]"
HERE = "local[2]"  # the master of the tests' own session
BATCHES = (40, 700, 480_000)


@dataclass(frozen=True)
class Layout:
    """num_files: of each day, its rows in an order of their own; 0: as they were logged."""

    num_files: int
    batch_rows: int
    threads: int = 0
    master: str = ""  # of Spark; none: DuckDB
    partitions: int = 0
    adaptive: bool = True

    @property
    def engine(self):
        if not self.master:
            return {"kind": "duckdb", "threads": self.threads, "batch_rows": self.batch_rows}
        conf = {
            "spark.sql.shuffle.partitions": str(self.partitions),
            "spark.sql.adaptive.enabled": str(self.adaptive).lower(),
            "spark.sql.files.maxPartitionBytes": "30000" if self.partitions % 2 else "128m",
        }
        return {"kind": "spark", "conf": conf, "batch_rows": self.batch_rows}


DUCKDB = [
    Layout((1, 13, 0)[n % 3], batch, threads=threads)
    for n, (threads, batch) in enumerate(product((1, 2, 5), BATCHES))
]
SPARK = [
    Layout((1, 13, 0)[n % 3], BATCHES[n % 2], 0, master, partitions, adaptive)
    for n, (master, adaptive, partitions) in enumerate(
        product((HERE, "local[1]", CLUSTER), (False, True), (7, 1, 2, 64, 200))
    )
    # 200 parts of so small a log take a minute where they stay 200: once is enough.
    if adaptive or partitions < 200 or master == HERE
]
LAYOUTS = [DUCKDB[0], SPARK[0], *DUCKDB[1:], *SPARK[1:]]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    return small_log(tmp_path_factory.mktemp("logged") / "sim")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where every layout's log lies: the metrics know the config, which names it."""
    return tmp_path_factory.mktemp("place") / "log"


def lay(logged, place, layout):
    shutil.rmtree(place, ignore_errors=True)
    if not layout.num_files:
        shutil.copytree(logged, place)
        return
    random = np.random.default_rng(layout.num_files)
    for day in sorted(logged.iterdir()):
        (place / day.name).mkdir(parents=True)
        table = pq.read_table(day, partitioning=None)
        parts = np.array_split(random.permutation(len(table)), layout.num_files)
        for name, part in enumerate(parts):
            file = place / day.name / f"{name}.parquet"
            pq.write_table(table.take(part), file, row_group_size=97)


@pytest.fixture(scope="module")
def expected(logged, place, tmp_path_factory):
    lay(logged, place, Layout(0, 0))
    out = tmp_path_factory.mktemp("first") / "out"
    build(whole_feed(place, out, {"kind": "duckdb"}))
    return rows(out)


@pytest.fixture(scope="module")
def elsewhere():
    """elsewhere(master): an application of that master; the one before it ends."""
    running = {}

    def on(master):
        if master not in running or not running[master][1].is_alive:
            end()
            conf = {"spark.executor.memory": "1g", "spark.driver.memory": "1g"}
            env = environment() | LOOPBACK | {"PYSPARK_PYTHON": sys.executable}
            context = application(master, conf, env)
            running[master] = (context, context.__enter__())
        return running[master][1]

    def end():
        while running:
            context, _ = running.popitem()[1]
            context.__exit__(None, None, None)

    yield on
    end()


@pytest.mark.spark
@pytest.mark.fault(
    "22", "layouts of one log: all rows and metrics equal", times=len(LAYOUTS), quick=2
)
def test_every_layout_gives_the_same_tables(
    trial, told, tmp_path, logged, place, expected, elsewhere, request
):
    layout = LAYOUTS[trial]
    lay(logged, place, layout)
    if layout.master in ("", HERE):
        if layout.master:
            request.getfixturevalue("spark")
        build(whole_feed(place, tmp_path / "out", layout.engine))
    else:
        app = elsewhere(layout.master)
        app.begin(place, tmp_path / "out", **layout.engine)
        app.end()
    told.compare(expected, rows(tmp_path / "out"))
