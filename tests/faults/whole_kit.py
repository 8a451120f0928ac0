"""Whole builds by the command line, struck by a signal at a point of theirs or at any time."""

from __future__ import annotations

import importlib
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from rankdistill import cli
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.store import delta
from rankdistill.store.content import row_hashes
from rankdistill.store.dataset import Build, DataSet
from tests.fault_table import Told

PATIENCE = 120  # seconds, of any process
DAYS = ("2026-11-01", "2026-11-02", "2026-11-03")
CONFIG = """\
output: feed
log: {{path: {log}, columns: {{feedback: [click]}}, stage: {{from: column, column: stage}}}}
samples:
  pointwise: {{}}
  pairwise: {{}}
  listwise: {{}}
  negatives: {{num: 4, mix: {{popular: 0.5, uniform: 0.5}}, history_window: 1d}}
catalogue: {{window: 1d, own_day: true, allow_short_history: true}}
quality: {{fail_on: never}}
"""
OLD = ("--to", DAYS[1])  # two days
NEW = ("--set", "seed=7")  # those anew, and a third


@dataclass(frozen=True)
class Point:
    """A function, `module:name`, before or after one of whose first `most` calls to strike.

    has_landed: whether the build is published by then.
    """

    place: str
    most: int = 1
    is_before: bool = False
    has_landed: bool = False


POINTS = {
    "prefix recorded": Point("rankdistill.store.dataset:DataSet.begin"),
    "mid second pass": Point("rankdistill.second_pass:sample_table", most=3),
    "between two tables": Point("rankdistill.store.publish:commit_table", most=9),
    "before the builds row": Point("rankdistill.store.publish:commit_build", is_before=True),
    "mid first pass": Point("rankdistill.store.parts:PartWriter.write", most=12),
    "first pass written": Point("rankdistill.build:collect"),
    "items counted": Point("rankdistill.derive:add_up_items", most=3),
    "a catalogue in files": Point("rankdistill.day_side:put_items", most=3),
    "all a day looks into": Point("rankdistill.derive:put_side", most=3),
    "second pass written": Point("rankdistill.derive:redraw"),
    "measures written": Point("rankdistill.build:pass_gates"),
    "counts checked": Point("rankdistill.store.publish:check_parts"),
    "row written, not committed": Point("rankdistill.store.delta:commit_rows", is_before=True),
    "after the builds row": Point("rankdistill.store.publish:commit_build", has_landed=True),
    "files beside": Point("rankdistill.build:keep_beside", has_landed=True),
}


def drawn_point(trial: int) -> tuple[str, int]:
    """(the point of a trial, at which of its calls)."""
    name = list(POINTS)[trial % len(POINTS)]
    return name, random.Random(trial).randint(1, POINTS[name].most)


def run_struck(name: str, call: str, strike: str, *arguments: str) -> None:
    """In a child: the command line, and a signal to ourselves at a point of it."""
    strike_at(name, int(call), lambda: signal.raise_signal(signal.Signals[strike]), setattr)
    cli.main(list(arguments))


def strike_at(name: str, call: int, act: Callable[[], None], put: Callable[..., None]) -> None:
    """Have a call of a point act, in this process; put: as setattr."""
    point = POINTS[name]
    module, _, path = point.place.partition(":")
    *owners, last = path.split(".")
    owner = reduce(getattr, owners, importlib.import_module(module))
    usual, calls = getattr(owner, last), itertools.count(1)

    def struck(*given: Any, **options: Any) -> Any:
        is_now = next(calls) == call
        if is_now and point.is_before:
            act()
        made = usual(*given, **options)
        if is_now and not point.is_before:
            act()
        return made

    put(owner, last, struck)


@contextmanager
def small_files(num_bytes: int) -> Iterator[Callable[[], None]]:
    """What, once called, has no file grow beyond so many bytes, as a disk that is full would."""
    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))


@dataclass(frozen=True)
class World:
    """A log of three days, a data set of its first two, and what a clean run makes of all."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> World:
        sizes = {"num_requests": 40, "num_candidates": 12, "num_ranked": 8, "num_exposed": 3}
        log = simulate(folder, SimulateOptions(days=3, **sizes)).log
        (folder / "feed.yaml").write_text(CONFIG.format(log=log))
        world = cls(folder)
        world.build(folder / "old", *OLD)
        world.build(folder / "clean", *NEW)
        return world

    def command(self, root: Path, *more: str) -> list[str]:
        return ["build", "-c", str(self.folder / "feed.yaml"), "--output", str(root), *more]

    def build(self, root: Path, *more: str, code: int = 0) -> str:
        """In this process; what it said."""
        return run(*self.command(root, *more), code=code)

    def start(self, root: Path, *more: str) -> subprocess.Popen[str]:
        return _started(["-m", "rankdistill", *self.command(root, *more)])

    def struck(self, root: Path, point: str, call: int, strike: str, *more: str) -> int:
        """The exit code of a build that a signal meets at a point."""
        script = "import sys, whole_kit; whole_kit.run_struck(*sys.argv[1:])"
        command = self.command(root, *more)
        child = _started(["-c", script, point, str(call), strike, *command])
        # A JVM holds the pipes for as long as it lives, which is longer than its driver.
        _, said = child.communicate(timeout=5 * PATIENCE if "spark" in more else PATIENCE)
        assert child.returncode, (point, call, said)
        return child.returncode

    def copy(self, folder: Path) -> Path:
        """A data set of its own, of the old build."""
        return Path(shutil.copytree(self.folder / "old", folder / "feed"))

    @cached_property
    def old(self) -> dict[str, str]:
        return hashes(self.folder / "old")

    @cached_property
    def new(self) -> dict[str, str]:
        return hashes(self.folder / "clean")

    @cached_property
    def new_rows(self) -> list[tuple[str, int]]:
        return list(rows(self.folder / "clean"))


def run(*arguments: Any, code: int = 0) -> str:
    """A verb in this process; what it said on stderr."""
    done = CliRunner().invoke(cli.app, [*map(str, arguments)])
    assert done.exit_code == code, (arguments, done.stdout, done.stderr)
    return str(done.stderr)


def _started(arguments: list[str]) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parents[1]), str(here)])
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def hashes(root: Path, build: Build | None = None) -> dict[str, str]:
    """table -> its content hash, of all tables of a build (the current one)."""
    data = DataSet.open(root)
    build = build or data.newest()
    return {table: str(data.content_hash(table, build=build)) for table in build.tables}


def rows(root: Path) -> Iterator[tuple[str, int]]:
    """(table, hash) of every row of the current build."""
    data = DataSet.open(root)
    for table in data.newest().tables:
        for batch in data.read(table):
            yield from ((table, int(each)) for each in row_hashes(batch))


def judge(
    world: World,
    root: Path,
    told: Told,
    *,
    has_landed: bool | None = None,
    is_discarded: bool = False,
) -> None:
    """After a build of NEW that ended early: what readers see, what a rerun makes, what gc takes.

    has_landed: None where either may be. is_discarded: it took its parts along, but those that it
    had committed.
    """
    seen = hashes(root)
    assert seen in (world.old, world.new)
    assert has_landed in (None, seen == world.new)
    data = DataSet.open(root)
    assert data.verify().faults == ()
    published = {build.build_id for build in data.versions()}
    (dead,) = build_ids(root) - {data.build(1).build_id}
    left = left_by(root, dead)
    assert not is_discarded or {path for path in left if path.is_file()} <= in_heads(root)

    world.build(root, *NEW)
    assert left <= left_by(root, dead)
    told.compare(world.new_rows, rows(root))
    assert hashes(root) == world.new

    data.gc(retention_hours=0, keep_builds=100)
    assert dead in published or not left_by(root, dead)
    assert (data.verify().faults, data.verify().strays) == ((), ())
    assert (hashes(root), hashes(root, data.build(1))) == (world.new, world.old)


def left_by(root: Path, build_id: str) -> set[Path]:
    return {path for path in root.rglob("*") if build_id in str(path.relative_to(root))}


def in_heads(root: Path) -> set[Path]:
    """What the newest versions of the tables name, and the records of builds."""
    tables = [path.parent for path in root.glob("*/_delta_log")]
    named = {table / path for table in tables for path in delta.head(table).files}
    return named | {*(root / "_staging").iterdir()}


def build_ids(root: Path) -> set[str]:
    return {path.stem for path in (root / "_staging").glob("*.json")}
