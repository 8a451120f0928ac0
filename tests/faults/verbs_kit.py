"""Every verb that writes where it is told to, on a small data set with a student."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from whole_kit import DAYS, World, run

MORE = """
split: {train_until: "2026-11-02T00:00:00Z"}
train: {epochs: 1, device: cpu, threads: 1, model: {kind: two_tower, dim: 4}, batch: {requests: 16}}
"""
MINE = """
users: {path: users.parquet, id: user_id, vector: v}
items: {path: items.parquet, id: item_id, vector: v}
"""
REQUEST = "2026110100000003"
# A new folder of its own is made of `out`, or nothing.
FOLDERS = {
    "simulate": "simulate --set num_requests=5 --out {out}",
    "export-samples": "export-samples --as triplet --table pairwise --data feed --out {out}",
    "mine-negatives": "mine-negatives -c mine.yaml --data feed --out {out}",
    "train": "train -c feed.yaml --output feed --out {out}",
    "export": "export --run run --out {out}",
}
# Pages of theirs are put into it.
PAGES = {
    "report": "report --data feed --out {out}",
    "diff": "diff feed feed --out {out}",
    "evaluate": "evaluate --run run --out {out}",
}
FILES = {
    "preview --html": f"preview {REQUEST} -c feed.yaml --output feed --html {{out}}",
    "check --junit": "check --data feed --junit {out}",
    "check --result": "check --data feed --result {out}",
}
VERBS = FOLDERS | PAGES | FILES


def act(verb: str, out: str, code: int = 0) -> str:
    return run(*(part.format(out=out) for part in VERBS[verb].split()), code=code)


def furnish(world: World, folder: Path) -> None:
    """In `folder`: the data set feed, its config, vectors, and a run."""
    config = (world.folder / "feed.yaml").read_text()
    (folder / "feed.yaml").write_text(config + MORE)
    (folder / "mine.yaml").write_text(MINE)
    run("build", "-c", folder / "feed.yaml", "--output", folder / "feed", "--to", DAYS[1])
    for name in ("users", "items"):
        table = pq.read_table(world.folder / f"{name}.parquet")
        vectors = pa.array([[1.0, 2.0]] * len(table), pa.list_(pa.float32()))
        pq.write_table(table.append_column("v", vectors), folder / f"{name}.parquet")
