"""The pairs table as it is often written first: a self-join of each request, then four a positive.

spark_join_pairs.py LAYOUT LOG OUT; every later unclicked candidate meets every positive, and a
window keeps four of them by hash. As many rows as peers of other ways, of another draw.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from bench.peers.spark_session import rows_sql, run

JOINED = """
SELECT p.request_id, p.user_id, p.request_time, p.item_id AS pos_item_id, n.item_id AS neg_item_id,
    p.teacher_score - n.teacher_score AS margin, p.rank AS pos_rank, n.rank AS neg_rank,
    row_number() OVER (PARTITION BY p.request_id, p.rank
        ORDER BY xxhash64(p.request_id, p.rank, n.rank)) AS place,
    count(*) OVER (PARTITION BY p.request_id, p.rank) AS num
FROM (SELECT * FROM log WHERE rank <= 10) p JOIN (SELECT * FROM log WHERE unclicked) n
    ON p.request_id = n.request_id AND n.rank > p.rank
"""
PAIRS = """
SELECT request_id, user_id, request_time, pos_item_id, neg_item_id, 1D AS weight, margin, pos_rank,
    neg_rank, 'all' AS split, 'after_k' AS source, least(1D, 4 / num) AS probability
FROM joined WHERE place <= 4
"""


def pairs(spark: SparkSession, layout: str, log: str) -> DataFrame:
    for name, sql in (("log", rows_sql(layout, log)), ("joined", JOINED)):
        spark.sql(sql).createOrReplaceTempView(name)
    return spark.sql(PAIRS)


if __name__ == "__main__":
    run(pairs)
