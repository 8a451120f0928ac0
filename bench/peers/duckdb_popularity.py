"""Draws by popularity^0.75 as a good hand would write them in DuckDB, one thread.

Systematic points against cumulative shares by ASOF join; an item that several points hit is
taken at the first. Slower at 10 M draws: a bucket join for the ASOF join, DISTINCT for items hit
twice, list_contains for the anti join (20 times, 10 GB). An equi-join with slots that an item
has by its share takes 10 to 20 % less, but rounds the shares.
"""

from __future__ import annotations

import time
from pathlib import Path

import duckdb

from bench.draws import NUM_DRAW

# The tables that every draw finds ready: what is timed is the draw alone.
PREPARE = """
CREATE TABLE item AS
SELECT row_number() OVER ()::INTEGER AS item, item_id, pow(exposed + 1, 0.75) AS weight
FROM '{folder}/catalogue.parquet';

CREATE TABLE law AS
SELECT item, q, sum(q) OVER (ORDER BY hash(item) ROWS UNBOUNDED PRECEDING) - q AS lower
FROM (SELECT item, weight / sum(weight) OVER () AS q FROM item) ORDER BY lower;

CREATE TABLE requests AS SELECT request_id FROM '{folder}/requests.parquet';

CREATE TABLE excluded AS
SELECT DISTINCT request_id, item
FROM (SELECT request_id, UNNEST(excluded) AS item_id FROM '{folder}/requests.parquet')
JOIN item USING (item_id);
"""
POINT = "(k + (hash(request_id) >> 11) * pow(2.0, -53)) / {num}"
NONE = """
SELECT request_id, item, least(1, {num} * q) AS probability
FROM (SELECT request_id, {point} AS point FROM requests, range({num}) AS step(k))
ASOF JOIN law ON point >= lower
WHERE point - 1.0 / {num} < lower
"""
LOST = """
SELECT request_id, item, least(1, {num} * q) AS probability
FROM (SELECT request_id, {point} AS point FROM requests, range({num}) AS step(k))
ASOF JOIN law ON point >= lower
ANTI JOIN excluded USING (request_id, item)
WHERE point - 1.0 / {num} < lower
"""
KEPT_OUT = """
WITH gaps AS MATERIALIZED (
    SELECT request_id, cut, lower - cut + q AS here
    FROM (
        SELECT request_id, lower, q,
            sum(q) OVER (PARTITION BY request_id ORDER BY lower ROWS UNBOUNDED PRECEDING) AS cut
        FROM excluded JOIN law USING (item)
    )
),
cuts AS (SELECT request_id, 1 - max(cut) AS room FROM gaps GROUP BY request_id),
closed AS (
    SELECT request_id, room, room * {point} AS x
    FROM (
        SELECT request_id, coalesce(room, 1) AS room FROM requests LEFT JOIN cuts USING (request_id)
    ), range({num}) AS step(k)
),
opened AS (
    SELECT closed.request_id, room, x + coalesce(cut, 0) AS point
    FROM closed ASOF LEFT JOIN gaps ON closed.request_id = gaps.request_id AND x >= here
)
SELECT request_id, item, least(1, {num} * q / room) AS probability
FROM opened ASOF JOIN law ON point >= lower
WHERE point - room / {num} < lower
"""
QUERIES = {"none": NONE, "kept_out": KEPT_OUT, "lost": LOST}
TITLES = {
    "none": "nothing excluded",
    "kept_out": "excluded items cut out, the rest closes up: all draws, exact probabilities",
    "lost": "the same; the peer drops draws that hit an excluded item: fewer rows, inexact",
}


def prepared(folder: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET enable_progress_bar = false; SET preserve_insertion_order = false")
    connection.execute(PREPARE.format(folder=folder))
    return connection


def seconds(connection: duckdb.DuckDBPyConnection, query: str) -> float:
    """CPU seconds of making the table `drawn`."""
    sql = QUERIES[query].format(point=POINT.format(num=NUM_DRAW), num=NUM_DRAW)
    before = time.process_time()
    connection.execute(f"CREATE OR REPLACE TABLE drawn AS {sql}")
    return time.process_time() - before
