"""The pairs table as a good hand would write it for Spark, with higher-order functions.

spark_pairs.py LAYOUT LOG OUT; the same draws as in duckdb_pairs.py.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from bench.peers.spark_session import ZIPPED, run

FROM_ROWS = """
SELECT request_id, first(user_id) AS user_id, first(request_time) AS request_time,
    sort_array(collect_list(struct(
        rank, item_id, teacher_score, coalesce(click, 0) > 0 AS clicked))) AS c
FROM parquet.`{log}` GROUP BY request_id
"""
FROM_LISTS = f"""
SELECT request_id, user_id, request_time, transform({ZIPPED}, x -> named_struct('rank', x.rank,
    'item_id', x.item_id, 'teacher_score', x.teacher_score,
    'clicked', coalesce(x.click, 0) > 0)) AS c
FROM parquet.`{{log}}`
"""
LAYOUTS = {"rows": FROM_ROWS, "lists": FROM_LISTS}
NEGATIVES = """
SELECT *, filter(sequence(1, size(c)), i -> NOT c[i - 1].clicked) AS negatives FROM requests
"""
URNS = """
SELECT *, transform(sequence(1, least(10, size(c))), pos -> named_struct('pos', pos, 'before',
    size(filter(slice(negatives, 1, 10), x -> x <= pos)))) AS urns
FROM eligible
"""
# One list of (pos, neg, num) per request, so that the candidates are not copied per pair.
DRAWN = """
SELECT request_id, user_id, request_time, inline(flatten(transform(urns, urn -> transform(
    filter(sequence(0, 3), k -> (k + 1) * (size(negatives) - urn.before) div 4
        > k * (size(negatives) - urn.before) div 4),
    k -> named_struct(
        'pos', c[urn.pos - 1],
        'num', size(negatives) - urn.before,
        'neg', c[negatives[cast(
            urn.before + k * (size(negatives) - urn.before) div 4
            + pmod(xxhash64(request_id, urn.pos, k),
                (k + 1) * (size(negatives) - urn.before) div 4
                - k * (size(negatives) - urn.before) div 4)
        AS int)] - 1])))))
FROM urns
"""
PAIRS = """
SELECT request_id, user_id, request_time, pos.item_id AS pos_item_id, neg.item_id AS neg_item_id,
    1D AS weight, pos.teacher_score - neg.teacher_score AS margin,
    pos.rank AS pos_rank, neg.rank AS neg_rank,
    'all' AS split, 'after_k' AS source, least(1D, 4 / num) AS probability
FROM drawn
"""


def pairs(spark: SparkSession, layout: str, log: str) -> DataFrame:
    spark.sql(LAYOUTS[layout].format(log=log)).createOrReplaceTempView("requests")
    for name, sql in (("eligible", NEGATIVES), ("urns", URNS), ("drawn", DRAWN)):
        spark.sql(sql).createOrReplaceTempView(name)
    return spark.sql(PAIRS)


if __name__ == "__main__":
    run(pairs)
