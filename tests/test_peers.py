"""The peers of the benchmarks do the work that ours does: ten positives by four negatives each."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from bench.logs import LENGTH, log

NUM_ROWS = 20_000
ROOT = Path(__file__).parent.parent
# Of each positive: its negatives, those that are later, unclicked and of the same request, whether
# they differ, and whether what is told of both is the log's.
JUDGED = """
SELECT count(*) AS negatives, count(DISTINCT neg.item_id) AS differing,
    bool_and(neg.rank > pos.rank AND coalesce(neg.click, 0) = 0) AS is_allowed,
    bool_and(pos.rank <= 10 AND pos.rank = p.pos_rank AND neg.rank = p.neg_rank
        AND abs(p.margin - (pos.teacher_score - neg.teacher_score)) < 1e-9
        AND pos.user_id = p.user_id AND pos.request_time = p.request_time) AS is_of_log,
    bool_and(p.weight = 1 AND p.split = 'all' AND p.source = 'after_k'
        AND p.probability BETWEEN 0.02 AND 0.04) AS is_told
FROM made p
LEFT JOIN log pos ON pos.request_id = p.request_id AND pos.item_id = p.pos_item_id
LEFT JOIN log neg ON neg.request_id = p.request_id AND neg.item_id = p.neg_item_id
GROUP BY p.request_id, p.pos_item_id
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    return {layout: str(log(folder, NUM_ROWS, layout)) for layout in ("rows", "lists")}


def judge(logs, made):
    with duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW log AS FROM '{logs['rows']}'")
        connection.execute(f"CREATE VIEW made AS FROM '{made}'")
        judged = connection.sql(JUDGED).fetchall()
    assert judged == [(4, 4, True, True, True)] * (10 * NUM_ROWS // LENGTH)


@pytest.mark.parametrize("layout", ["rows", "lists"])
@pytest.mark.parametrize("peer", ["duckdb_pairs", "polars_pairs", "pandas_pairs"])
def test_a_peer_makes_pairs_that_hold(logs, tmp_path, peer, layout):
    out = tmp_path / "out.parquet"
    command = [sys.executable, "-m", f"bench.peers.{peer}", layout, logs[layout], out]
    subprocess.run(command, cwd=ROOT, check=True)
    judge(logs, out)


@pytest.mark.spark
@pytest.mark.parametrize("layout", ["rows", "lists"])
@pytest.mark.parametrize("peer", ["spark_pairs", "spark_window_pairs", "spark_join_pairs"])
def test_a_peer_on_spark_makes_pairs_that_hold(spark, logs, tmp_path, peer, layout):
    pairs = importlib.import_module(f"bench.peers.{peer}").pairs
    pairs(spark.newSession(), layout, logs[layout]).write.parquet(str(tmp_path / "out"))
    judge(logs, tmp_path / "out" / "*.parquet")
