"""Run in a child, in an empty folder: every verb but the demo, which a test of packaging runs.
Tells the exit code of each on the last line, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner

from rankdistill import cli

CONFIG = """\
output: feed
log: {path: sim/log, columns: {feedback: [click]}, stage: {from: column, column: stage}}
samples: {pointwise: {}, pairwise: {}, listwise: {}}
quality: {fail_on: never}
split: {train_until: "2026-11-06T00:00:00Z"}
train:
  {epochs: 1, device: cpu, threads: 1, model: {kind: two_tower, dim: 4}, batch: {requests: 16}}
"""
MINE = """\
users: {path: users.parquet, id: user_id, vector: v}
items: {path: items.parquet, id: item_id, vector: v}
"""
SIZES = ("num_requests=10", "num_candidates=12", "num_ranked=8", "num_exposed=3", "days=7")
BOTH = ("-c", "feed.yaml", "--data", "feed")
COMMANDS = (
    ("validate", "-c", "feed.yaml"),
    ("plan", "-c", "feed.yaml"),
    ("build", "-c", "feed.yaml", "--to", "2026-11-06"),
    ("build", "-c", "feed.yaml"),
    ("preview", "2026110100000003", "-c", "feed.yaml", "--why", "--html", "page.html"),
    ("report", *BOTH, "--out", "report"),
    ("check", *BOTH, "--recompute", "--junit", "junit.xml", "--summary", "sum.md"),
    ("check", *BOTH, "--result", "result.json"),
    ("diff", "feed@1", "feed", "--out", "diff"),
    ("baseline", *BOTH),
    ("train", "-c", "feed.yaml", "--out", "run"),
    ("evaluate", "--run", "run"),
    ("export", "--run", "run", "--out", "served", "--users"),
    ("files", "lists", "--data", "feed"),
    ("export-samples", "--as", "triplet", "--table", "pairwise", "--data", "feed", "--out", "as"),
    ("mine-negatives", "-c", "mine.yaml", "--data", "feed", "--out", "mined"),
    ("versions", "--data", "feed"),
    ("rollback", "1", "--data", "feed"),
    ("gc", "--data", "feed", "--retention-hours", "0", "--keep-builds", "1"),
    ("verify", "--data", "feed"),
    ("doctor",),
    ("explain", "E0102"),
)


def run(*arguments: str) -> tuple[str, int]:
    done = CliRunner().invoke(cli.app, [*arguments])
    if done.exit_code:
        print(arguments, done.stdout, done.stderr, done.exception, file=sys.stderr)
    return arguments[0], done.exit_code


def main() -> None:
    codes = [run("simulate", "--out", "sim", *(f"--set={size}" for size in SIZES))]
    Path("feed.yaml").write_text(CONFIG)
    Path("mine.yaml").write_text(MINE)
    for name in ("users", "items"):
        table = pq.read_table(f"sim/{name}.parquet")
        vectors = pa.array([[1.0, 2.0]] * len(table), pa.list_(pa.float32()))
        pq.write_table(table.append_column("v", vectors), f"{name}.parquet")
    codes += [run(*command) for command in COMMANDS]
    print(json.dumps(codes))


if __name__ == "__main__":
    main()
