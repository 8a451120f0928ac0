"""A build's tables read by Spark without Delta's jar, as docs/cluster.md has it."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path

import pytest

from rankdistill.build import build
from rankdistill.log.days import Asked
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.store.dataset import DataSet
from tests.feed_kit import feed
from tests.pages_kit import named

pytestmark = pytest.mark.spark
ROOT = Path(__file__).parents[2]
KEY = ("dt", "request_id", "pos_item_id", "neg_item_id")


def on_path(folder, monkeypatch):
    """`rankdistill`, as it is after an installation."""
    folder.mkdir()
    script = folder / "rankdistill"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rankdistill "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_reading_without_a_jar_gives_the_rows_of_the_newest_build(tmp_path, spark, monkeypatch):
    options = SimulateOptions(num_requests=20, days=2, num_users=5, num_items=300)
    log = simulate(tmp_path / "sim", options).log
    chosen = feed(log, tmp_path / "feed", samples={"pairwise": {}}, quality={"fail_on": "never"})
    build(chosen)
    build(chosen, asked=Asked(frozenset(["2026-11-02"])), force=True)  # parts of two builds
    monkeypatch.chdir(tmp_path)
    on_path(tmp_path / "bin", monkeypatch)
    found = {"spark": spark}
    exec(named("cluster.md", "no jar"), found)
    theirs = [tuple(row[name] for name in KEY) for row in found["pairs"].collect()]
    ours = [
        tuple(str(row[name]) if isinstance(row[name], date) else row[name] for name in KEY)
        for batch in DataSet.open(tmp_path / "feed").read("pairwise")
        for row in batch.to_pylist()
    ]
    assert len(ours) > 100
    assert sorted(theirs) == sorted(ours)
