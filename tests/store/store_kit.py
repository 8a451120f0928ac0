"""A small data set of two tables, and builds of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from rankdistill.store.dataset import BuildInfo, DataSet, DayFacts, PartWriter

SCHEMAS = {
    "lists": pa.schema(
        [
            pa.field("request_id", pa.int64(), nullable=False),
            pa.field("dt", pa.string(), nullable=False),
            pa.field("item_id", pa.list_(pa.string()), nullable=False),
        ]
    ),
    "pairwise": pa.schema(
        [
            pa.field("request_id", pa.int64(), nullable=False),
            pa.field("margin", pa.float64()),
            pa.field("dt", pa.string(), nullable=False),
        ]
    ),
}
INFO = BuildInfo(config_hash="c", seed=1, input_fingerprint="f", code_version="0")


class Small:
    """Builds whose every row tells the tag of the build that made it."""

    schemas = SCHEMAS

    def __init__(self, root):
        self.root = root

    def stage(self, data, days, *, rows=3, schemas=SCHEMAS):
        """A build of {dt: tag}, staged but not published: the arguments of `publish`."""
        staging = data.begin()
        with PartWriter(data.root, staging.build_id, "t0", schemas=schemas) as writer:
            for dt, tag in days.items():
                for table in schemas:
                    writer.write(table, dt, batch(table, tag, rows, schemas[table]))
        facts = {
            dt: DayFacts(config_hash="c", fingerprint=str(tag), counts={"rows": rows})
            for dt, tag in days.items()
        }
        return staging, writer.close(), schemas, facts, INFO

    def build(self, days, **options):
        data = DataSet.create_or_open(self.root)
        return data.publish(*self.stage(data, days, **options))

    def tags(self, build=None):
        """{dt: tag} as every table tells it; fails where the tables disagree."""
        data = DataSet.open(self.root)
        build = build or data.current()
        seen = [tags_of(data, table, build) for table in build.tables]
        assert all(tags == seen[0] for tags in seen), seen
        return seen[0] if seen else {}


def batch(table, tag, rows, schema):
    columns = {
        "request_id": pa.array([tag] * rows, pa.int64()),
        "item_id": pa.array([[str(tag)] * i for i in range(rows)]),
        "margin": pa.array([0.5] * rows),
    }
    return pa.RecordBatch.from_pydict({n: columns[n] for n in schema.names if n != "dt"})


def tags_of(data, table, build):
    tags = {}
    for rows in data.read(table, build):
        for dt, tag in zip(rows["dt"].to_pylist(), rows["request_id"].to_pylist(), strict=True):
            assert tags.setdefault(dt, tag) == tag, "a torn partition"
    return tags


def spawn(script, *arguments, env=None):
    """A child process that runs `script` with this folder importable."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parents[1]), str(here)])
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process):
    """(exit code, last line of stdout as JSON or None)."""
    out, err = process.communicate(timeout=60)
    lines = out.splitlines()
    assert process.returncode in (0, -9), err
    return process.returncode, json.loads(lines[-1]) if lines else None


def snapshot(folder):
    """Every path below a folder with its bytes: equal before and after means untouched."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
