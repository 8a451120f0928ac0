"""The pairs table as a good hand would write it in DuckDB: duckdb_pairs.py LAYOUT LOG OUT.

Ten positives by rank; for each, four unclicked candidates of later rank, one from each quarter
of what follows it, by hash. Slower at 10 M rows: list(... ORDER BY rank) over the shuffled log
(4 times), a list per column (5 times), draws by list_transform and list_select.
"""

from __future__ import annotations

import duckdb

from bench.peers.command_line import chosen

# The sort brings a request's rows together, so that list() is cheap and list_sort() finds them
# nearly in order; list() alone tears requests where two threads meet.
FROM_ROWS = """
SELECT *, list_filter(range(1, len(c) + 1), lambda i: NOT c[i].clicked) AS negatives
FROM (
    SELECT
        request_id, any_value(user_id) AS user_id, any_value(request_time) AS request_time,
        list_sort(list({{'rank': rank, 'item_id': item_id, 'teacher_score': teacher_score,
            'clicked': coalesce(click, 0) > 0}})) AS c
    FROM (FROM read_parquet('{log}') ORDER BY request_id, rank)
    GROUP BY request_id
)
"""
FROM_LISTS = """
SELECT
    request_id, user_id, request_time, item_id, rank, teacher_score, rank AS c,
    list_filter(range(1, len(rank) + 1), lambda i: coalesce(click[i], 0) = 0) AS negatives
FROM read_parquet('{log}')
"""
PAIRS = """
WITH requests AS ({requests}),
positive AS (SELECT *, UNNEST(range(1, least(10, len(c)) + 1)) AS pos FROM requests),
urn AS (
    SELECT *, len(list_filter(negatives[:10], lambda x: x <= pos)) AS before,
        len(negatives) - before AS num
    FROM positive
),
draw AS (SELECT *, UNNEST(range(0, 4)) AS k FROM urn),
drawn AS (
    SELECT *, negatives[
        before + 1 + k * num // 4 + (hash(request_id, pos, k) >> 2)::BIGINT
            % nullif((k + 1) * num // 4 - k * num // 4, 0)
    ] AS neg
    FROM draw
)
SELECT
    request_id, user_id, request_time, {pos_item_id} AS pos_item_id, {neg_item_id} AS neg_item_id,
    1::DOUBLE AS weight, {pos_teacher_score} - {neg_teacher_score} AS margin,
    {pos_rank} AS pos_rank, {neg_rank} AS neg_rank,
    'all' AS split, 'after_k' AS source, least(1, 4 / num) AS probability
FROM drawn WHERE neg IS NOT NULL
"""
LAYOUTS = {"rows": (FROM_ROWS, "c[{i}].{column}"), "lists": (FROM_LISTS, "{column}[{i}]")}


def pairs_sql(layout: str, log: str) -> str:
    requests, at = LAYOUTS[layout]
    cells = {
        f"{i}_{column}": at.format(i=i, column=column)
        for i in ("pos", "neg")
        for column in ("item_id", "rank", "teacher_score")
    }
    return PAIRS.format(requests=requests.format(log=log), **cells)


def main() -> None:
    given = chosen("--memory-limit")
    config = {"temp_directory": f"{given.out}.spill"}
    if given.memory_limit:
        config["memory_limit"] = given.memory_limit
    connection = duckdb.connect(config=config)
    # The order of output rows does not matter, so it need not be kept.
    connection.execute("SET enable_progress_bar = false; SET preserve_insertion_order = false")
    sql = pairs_sql(given.layout, given.log)
    connection.execute(f"COPY ({sql}) TO '{given.out}' (FORMAT parquet, COMPRESSION zstd)")


if __name__ == "__main__":
    main()
