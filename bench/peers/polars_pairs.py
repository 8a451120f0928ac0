"""The pairs table as a good hand would write it in Polars: polars_pairs.py LAYOUT LOG OUT.

One sort, then arithmetic on running counts of the sorted rows: the same draws as duckdb_pairs.py.
Slower at 1 M rows: lists per request with list.gather (2 times), over() expressions (3 times).
"""

from __future__ import annotations

import polars as pl

from bench.peers.command_line import chosen

CANDIDATE = ("item_id", "rank", "teacher_score")
REQUEST = ("request_id", "user_id", "request_time")


def sorted_rows(layout: str, log: str) -> pl.DataFrame:
    """The candidates by request and rank, with the running number of unclicked ones."""
    scanned = pl.scan_parquet(log).select(*REQUEST, *CANDIDATE, "click")
    if layout == "rows":
        rows = scanned.sort("request_id", "rank")
    else:
        rows = scanned.explode(*CANDIDATE, "click")
    is_unclicked = pl.col("click").fill_null(0) == 0
    return rows.with_columns(is_unclicked.alias("unclicked")).collect()


def pairs(rows: pl.DataFrame) -> pl.DataFrame:
    running = rows["unclicked"].cum_sum()
    is_first = pl.col("request_id").ne_missing(pl.col("request_id").shift())
    starts = rows.select(start=pl.arg_where(is_first | (pl.int_range(pl.len()) == 0)))
    requests = starts.with_columns(end=pl.col("start").shift(-1, fill_value=rows.height))
    requests = requests.with_columns(unclicked_end=running.gather(requests["end"] - 1))
    positive = requests.with_columns(
        pos=pl.int_ranges(0, pl.min_horizontal(10, pl.col("end") - pl.col("start")))
    ).explode("pos")
    at = (positive["start"] + positive["pos"]).cast(pl.UInt32)
    urns = positive.select(
        at=at,
        before=running.gather(at).cast(pl.Int64),
        num=(positive["unclicked_end"] - running.gather(at)).cast(pl.Int64),
        request_id=rows["request_id"].gather(at),
    )
    low = pl.col("k") * pl.col("num") // 4
    room = (pl.col("k") + 1) * pl.col("num") // 4 - low
    chance = pl.struct("request_id", "at", "k").hash() // 4
    drawn = (
        urns.with_columns(k=pl.lit([0, 1, 2, 3], dtype=pl.List(pl.Int64)))
        .explode("k")
        .filter(room > 0)
        .with_columns(neg=pl.col("before") + low + chance.cast(pl.Int64) % room)
    )
    negatives = rows.lazy().filter("unclicked").select(CANDIDATE).collect()
    pos, neg = drawn["at"], drawn["neg"]
    one = {name: rows[name].gather(pos) for name in REQUEST}
    sides = {
        f"{side}_{name}": frame[name].gather(index)
        for name in CANDIDATE
        for side, frame, index in (("pos", rows, pos), ("neg", negatives, neg))
    }
    margin = sides.pop("pos_teacher_score") - sides.pop("neg_teacher_score")
    return pl.DataFrame({**one, **sides, "margin": margin}).with_columns(
        weight=pl.lit(1.0),
        split=pl.lit("all"),
        source=pl.lit("after_k"),
        probability=pl.min_horizontal(1.0, 4 / drawn["num"]),
    )


def main() -> None:
    given = chosen()
    made = pairs(sorted_rows(given.layout, given.log))
    made.write_parquet(given.out, compression="zstd", compression_level=3)


if __name__ == "__main__":
    main()
