"""Logs to measure on: requests of equal length, their rows shuffled or already in lists.

Columns: request_id, user_id, request_time, item_id, rank, teacher_score, position, click. Every
value is a hash of its place, so a log is the same wherever it is made. No ties, no gaps, the
first ten of a list exposed, one in ten of these clicked. `log` has one day and every candidate
ranked; `cascade` has two days, and a pre-ranker that dropped most.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import duckdb

LENGTH = 200
NUM_ITEMS = 2_000_003  # a prime: equal steps through it never meet
NUM_USERS = 200_000
ROWS_LIST = 2048
DAYS = ("2026-11-19", "2026-11-20")

CANDIDATES = """
SELECT
    request_id, user_id, request_time,
    ((start + j * step) % {num_items})::BIGINT AS item_id,
    j::INTEGER AS rank,
    4 - ln(j + 0.9 * (hash(r, j, 'score') % 1000000) / 1000000.0) AS teacher_score,
    CASE WHEN j <= 10 THEN j END::INTEGER AS position,
    CASE WHEN j <= 10 THEN (hash(r, j, 'click') % 10 = 0) END::INTEGER AS click,
    hash(r, j, 'shuffle') AS place
FROM (
    SELECT
        r, UNNEST(range(1, {length} + 1)) AS j,
        (hash(r, 'id') >> 2)::BIGINT AS request_id,
        (hash(r, 'user') % {num_users})::BIGINT AS user_id,
        TIMESTAMPTZ '{day} 00:00:00+00'
            + to_microseconds((hash(r, 'time') % 86400000000)::BIGINT) AS request_time,
        hash(r, 'item') % {num_items} AS start,
        1 + hash(r, 'step') % 1000000 AS step,
    FROM range({first}, {first} + {num_requests}) AS requests(r)
)
"""
ROWS = "SELECT * EXCLUDE (place) FROM ({candidates}) ORDER BY place"
LISTS = """
SELECT request_id, user_id, request_time,
    list(item_id ORDER BY rank) AS item_id, list(rank ORDER BY rank) AS rank,
    list(teacher_score ORDER BY rank) AS teacher_score,
    list(position ORDER BY rank) AS position, list(click ORDER BY rank) AS click
FROM ({candidates}) GROUP BY ALL ORDER BY request_id
"""
# As a cascade logs them: the pre-ranker dropped what stands behind {num_ranked}.
CASCADE = """
SELECT * EXCLUDE (place) REPLACE (
        CASE WHEN rank <= {num_ranked} THEN rank END AS rank,
        CASE WHEN rank <= {num_ranked} THEN teacher_score END AS teacher_score),
    CASE WHEN position IS NOT NULL THEN 'exposed'
        WHEN rank <= {num_ranked} THEN 'ranked' ELSE 'preranked' END AS stage
FROM ({candidates}) ORDER BY place
"""
LAYOUTS = {"rows": ROWS, "lists": LISTS}


def log(folder: Path, num_rows: int, layout: str = "rows", length: int = LENGTH) -> Path:
    """The Parquet file of such a log, made if it is not there yet."""
    path = folder / f"{layout}-{num_rows}x{length}.parquet"
    if path.exists():
        return path
    sql = LAYOUTS[layout].format(candidates=_candidates(num_rows, length))
    _write(sql, path, ROWS_LIST if layout == "lists" else 122_880)
    return path


def cascade(folder: Path, num_rows: int, length: int, num_users: int) -> Path:
    """A folder dt=... of DAYS, each a cascade's log of num_rows rows, made where it is missing."""
    made = folder / f"cascade-{num_rows}x{length}-{num_users}"
    num_ranked = max(3 * length // 10, 15)
    for number, day in enumerate(DAYS):
        path = made / f"dt={day}" / "part.parquet"
        if path.exists():
            continue
        first = number * (num_rows // length)
        candidates = _candidates(num_rows, length, day, first, num_users)
        _write(CASCADE.format(candidates=candidates, num_ranked=num_ranked), path, 122_880)
    return made


USERS = """
SELECT user_id, TIMESTAMPTZ '{day} 00:00:00+00' + to_hours(6 * step) AS since,
    (hash(user_id, step, 'age') % 80)::INTEGER AS age,
    hash(user_id, step, 'active') % 1000 / 1000.0 AS active,
    'city ' || hash(user_id, 'city') % 100 AS city
FROM range({num_users}) AS users(user_id), range(4) AS steps(step)
"""


def user_history(folder: Path) -> Path:
    """A Parquet file of what is known of NUM_USERS users, each since four times of the last of
    DAYS; made where it is missing."""
    path = folder / "user_history.parquet"
    if not path.exists():
        _write(USERS.format(day=DAYS[1], num_users=NUM_USERS), path, 122_880)
    return path


def _write(sql: str, path: Path, group: int) -> None:
    """By a process of its own: Linux counts the memory of who starts a contestant as its peak."""
    writer = multiprocessing.get_context("spawn").Process(target=_copy, args=(sql, path, group))
    writer.start()
    writer.join()
    if writer.exitcode:
        raise RuntimeError(f"{path} was not made")


def _copy(sql: str, path: Path, group: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with duckdb.connect(config={"temp_directory": str(path.parent / "spill")}) as connection:
        connection.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
        connection.execute(
            f"COPY ({sql}) TO '{unfinished}' "
            f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group})"
        )
    unfinished.rename(path)


def _candidates(
    num_rows: int, length: int, day: str = DAYS[1], first: int = 0, num_users: int = NUM_USERS
) -> str:
    return CANDIDATES.format(
        num_items=NUM_ITEMS,
        num_users=num_users,
        length=length,
        num_requests=num_rows // length,
        first=first,
        day=day,
    )
