"""Logs of equal size, even and skewed, and the peak memory of a build of each in a process of its
own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import yaml

from rankdistill.settings import Settings

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds, of any process
LENGTH, HUGE, HEAVY_USER, HOT_ITEM = 200, 100_000, 7, 0
NUM_USERS, NUM_ITEMS = 20_000, 2_000_003
SKEWS, ALL = ("request", "user", "item"), "all"
# Half of all requests are of one user; one item is among the first five of each request.
USER = "(hash(r, 'user') % {num_users} + 8)::BIGINT"
OF_HEAVY = f"CASE WHEN r % 2 = 0 THEN {HEAVY_USER} ELSE {USER} END"
ITEM = "(1 + (start + j * step) % {num_items})::BIGINT"
WITH_HOT = f"CASE WHEN j = 1 + hash(r, 'at') % 5 THEN {HOT_ITEM} ELSE {ITEM} END"
SQL = """
SELECT request_id, user_id, request_time, {item} AS item_id,
    CASE WHEN j <= num_ranked THEN j END::INTEGER AS rank,
    CASE WHEN j <= num_ranked THEN 4 - ln(j + 0.5) END AS teacher_score,
    CASE WHEN j <= 10 THEN j END::INTEGER AS position,
    CASE WHEN j <= 10 THEN hash(r, j, 'click') % 10 = 0 END::INTEGER AS click,
    CASE WHEN j <= 10 THEN 'exposed' WHEN j <= num_ranked THEN 'ranked' ELSE 'preranked' END
        AS stage
FROM (
    SELECT r, 3 * size // 10 AS num_ranked, UNNEST(range(1, size + 1)) AS j,
        r + 1 AS request_id, {user} AS user_id,
        TIMESTAMPTZ '2026-11-19 00:00:00+00'
            + to_microseconds((hash(r, 'time') % (2 * 86400000000))::BIGINT) AS request_time,
        hash(r, 'item') % {num_items} AS start, 1 + hash(r, 'step') % 1000000 AS step
    FROM (SELECT r, CASE WHEN r = 0 THEN {first} ELSE {length} END AS size
          FROM range({num_requests}) AS requests(r))
) ORDER BY hash(r, j, 'shuffle')
"""
# As small as a process can be: a child is told to have had the peak of who started it.
MEASURE = """
import ctypes, json, os, sys
ctypes.CDLL(None).prctl(36, 1)  # what outlives its parent becomes ours: Spark's JVM
told = os.open(sys.argv[1] + ".log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
to = [(os.POSIX_SPAWN_DUP2, told, number) for number in (1, 2)]
first = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=to)
peak = 0
while True:
    try:
        pid, status, usage = os.wait4(-1, 0)
    except ChildProcessError:
        break
    peak = max(peak, usage.ru_maxrss / 1024)
    if pid == first:
        code = os.waitstatus_to_exitcode(status)
print(json.dumps([code, peak]))
"""
CONFIG = """\
output: overridden
log:
  path: overridden
  stage: {from: column, column: stage}
  columns: {feedback: [click]}
samples: {pointwise: {}, pairwise: {}, listwise: {}, negatives: {mix: {popular: 0.5, tail: 0.5}}}
catalogue: {window: 1d, own_day: true, allow_short_history: true}
quality: {fail_on: never}
"""


def log(folder: Path, num_rows: int, skew: str = "none") -> Path:
    """A Parquet file of num_rows rows of two days; skew: one of SKEWS, all, or none."""
    path = folder / f"{skew}-{num_rows}.parquet"
    if path.exists():
        return path
    is_huge, is_heavy, is_hot = (skew in (name, ALL) for name in SKEWS)
    rest = num_rows - HUGE if is_huge else num_rows
    sizes = {"num_users": NUM_USERS, "num_items": NUM_ITEMS, "length": LENGTH}
    sql = SQL.format(
        user=(OF_HEAVY if is_heavy else USER).format(**sizes),
        item=(WITH_HOT if is_hot else ITEM).format(**sizes),
        first=HUGE if is_huge else LENGTH,
        num_requests=rest // LENGTH + is_huge,
        **sizes,
    )
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    return path


def config(source: Path, out: Path, engine: str = "duckdb", **log: Any) -> Settings:
    """The same for a build in this process; log: further options of it."""
    chosen = yaml.safe_load(CONFIG) | {"output": str(out), "engine": {"kind": engine}}
    chosen["log"] |= {"path": str(source), **log}
    chosen["features"] = [{"of": "user", "path": str(users(source.parent)), "time": "since"}]
    chosen["features"][0]["materialize"] = True
    return Settings.model_validate(chosen)


def users(folder: Path) -> Path:
    """A feature table of all users, each known since four times of the first day."""
    path = folder / "users.parquet"
    if not path.exists():
        since = "TIMESTAMPTZ '2026-11-19 00:00:00+00' + to_hours(6 * step) AS since"
        sql = f"SELECT user_id, {since}, user_id % 80 AS age FROM range({NUM_USERS + 8}) AS "
        sql += "users(user_id), range(4) AS steps(step)"
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
    return path


def build(folder: Path, source: Path, out: Path, *more: str) -> tuple[float, str]:
    """(peak MB of the largest process, what it said) of a build into `out`, in a process of its
    own; folder: of its config."""
    config = folder / "skew.yaml"
    config.write_text(CONFIG)
    joined = f"features=[{{of: user, path: {users(folder)}, time: since, materialize: true}}]"
    words = [sys.executable, "-m", "rankdistill", "build", "-c", str(config), "--set", joined]
    words += ["--path", str(source), "--output", str(out), "--result", os.devnull, *more]
    started = subprocess.Popen(
        [sys.executable, "-S", "-c", MEASURE, str(folder / "said"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        code, peak = json.loads(started.communicate(timeout=PATIENCE)[0])
    finally:
        if started.poll() is None:  # with all that it started
            os.killpg(started.pid, signal.SIGKILL)
    said = (folder / "said.log").read_text()
    assert code == 0, said
    return peak, said
