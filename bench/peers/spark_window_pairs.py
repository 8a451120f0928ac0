"""The pairs table as a good hand would write it for Spark, with window functions.

spark_window_pairs.py LAYOUT LOG OUT; the same draws as in duckdb_pairs.py: each unclicked row has
its number within the request, and a positive is joined to the four numbers that it drew.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from bench.peers.spark_session import rows_sql, run

NUMBERED = """
SELECT *, row_number() OVER by_rank AS pos, sum(int(unclicked)) OVER by_rank AS before,
    sum(int(unclicked)) OVER (PARTITION BY request_id) AS unclicked_all
FROM log
WINDOW by_rank AS (PARTITION BY request_id ORDER BY rank ROWS UNBOUNDED PRECEDING)
"""
POSITIVES = """
SELECT *, explode(sequence(0, 3)) AS k, unclicked_all - before AS num
FROM numbered WHERE pos <= 10
"""
DRAWN = """
SELECT *, before + 1 + k * num div 4
    + pmod(xxhash64(request_id, pos, k), (k + 1) * num div 4 - k * num div 4) AS nth
FROM positives WHERE (k + 1) * num div 4 > k * num div 4
"""
PAIRS = """
SELECT p.request_id, p.user_id, p.request_time, p.item_id AS pos_item_id, n.item_id AS neg_item_id,
    1D AS weight, p.teacher_score - n.teacher_score AS margin, p.rank AS pos_rank,
    n.rank AS neg_rank, 'all' AS split, 'after_k' AS source, least(1D, 4 / num) AS probability
FROM drawn p JOIN (SELECT * FROM numbered WHERE unclicked) n
    ON p.request_id = n.request_id AND p.nth = n.before
"""


def pairs(spark: SparkSession, layout: str, log: str) -> DataFrame:
    # The rows of a request are together already: no further shuffle for the join.
    spark.conf.set("spark.sql.requireAllClusterKeysForCoPartition", "false")
    spark.sql(rows_sql(layout, log)).createOrReplaceTempView("log")
    for name, sql in (("numbered", NUMBERED), ("positives", POSITIVES), ("drawn", DRAWN)):
        spark.sql(sql).createOrReplaceTempView(name)
    return spark.sql(PAIRS)


if __name__ == "__main__":
    run(pairs)
