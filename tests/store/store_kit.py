"""A small data set of two tables, and builds of it."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from rankdistill.errors import PlaceError
from rankdistill.store import builds, collect, delta, publish
from rankdistill.store.content import ContentHash, content_hash
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


def spawn(script, *arguments):
    """A child process that runs `script`, a call of a function of this module."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parents[1]), str(here)])
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys, store_kit; store_kit.{script}", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process):
    """(exit code, stdout); fails on any death but that by SIGKILL."""
    out, err = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode, out


def snapshot(folder):
    """Every path below a folder with its bytes: equal before and after means untouched."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def die(*_, **__):
    """As if the machine took the process: no cleanup of any kind."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying(function, *, after=1):
    """`function`, and death once it has been called `after` times."""
    calls = itertools.count(1)

    def call(*arguments, **options):
        result = function(*arguments, **options)
        if next(calls) == after:
            die()
        return result

    return call


BUILD_DEATHS = {
    "prefix recorded": lambda: setattr(PartWriter, "write", die),
    "mid write": lambda: setattr(PartWriter, "write", dying(PartWriter.write, after=3)),
    "parts written": lambda: setattr(publish, "publish", die),
    "counts checked": lambda: setattr(publish, "check_parts", dying(publish.check_parts)),
    "before the first commit": lambda: setattr(delta, "commit", die),
    "between two tables": lambda: setattr(publish, "commit_table", dying(publish.commit_table)),
    "before the builds row": lambda: setattr(publish, "commit_build", die),
    "row written, not committed": lambda: setattr(delta, "commit_rows", die),
    "after the builds row": lambda: setattr(publish, "commit_build", dying(publish.commit_build)),
}
GC_DEATHS = {
    "builds forgotten": lambda: setattr(builds, "forget", dying(builds.forget)),
    "heads aligned": lambda: setattr(collect, "align_heads", dying(collect.align_heads)),
    "mid removal": lambda: setattr(Path, "unlink", dying(Path.unlink, after=2)),
    "before the records": lambda: setattr(collect, "_tidy", die),
}


def build_and_die(root, point, days):
    BUILD_DEATHS[point]()
    Small(Path(root)).build(json.loads(days))


def gc_and_die(root, point):
    GC_DEATHS[point]()
    DataSet.open(root).gc(retention_hours=0, keep_builds=1)


def race():
    """A worker: per line of stdin makes ready a task {root, ...}, waits for a line, acts."""
    for line in sys.stdin:
        act, give_up = made_ready(json.loads(line))
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            print(json.dumps(act()), flush=True)
        except PlaceError as error:
            give_up()
            print(json.dumps({"error": error.code}), flush=True)


def made_ready(task):
    """(what a task does, what it does if that is refused); the builds of a task: days, tables."""
    data = DataSet.create_or_open(task["root"])
    if task.get("do") == "gc":
        return lambda: {"removed": bool(data.gc(retention_hours=0))}, lambda: None
    if task.get("do") == "rollback":
        return lambda: {"build": data.rollback(task["number"]).number}, lambda: None
    schemas = {table: SCHEMAS[table] for table in task["tables"]}
    staged = Small(data.root).stage(data, task["days"], schemas=schemas)
    return lambda: {"build": data.publish(*staged).number}, staged[0].release


def read_until(root, stop):
    """A reader: prints how many reads it made until the file `stop` is there, and those torn."""
    told = {"reads": 0, "torn": 0}
    while not Path(stop).exists() or not told["reads"]:
        data = DataSet.open(root)
        told["torn"] += not is_whole(data, data.current())
        told["reads"] += 1
    print(json.dumps(told))


def is_whole(data, build):
    """Whether the counts and the content hash of every table are those of the version."""
    for table in build.tables:
        expected = ContentHash(0, 0)
        for dt, day in build.days.items():
            rows = batch(table, int(day.fingerprint), day.counts["rows"], SCHEMAS[table])
            expected += content_hash([rows.append_column("dt", pa.repeat(dt, rows.num_rows))])
        if data.content_hash(table, build=build) != expected:
            return False
    return True
