"""Kills, races and readers: a reader sees the old or the new build, over all tables."""

import json

import pytest
from store_kit import BUILD_DEATHS, GC_DEATHS, SCHEMAS, Small, outcome, spawn

from rankdistill.store import delta
from rankdistill.store.dataset import DataSet

OLD, NEW = {"d1": 1, "d2": 1, "d3": 1}, {"d2": 2, "d3": 2, "d4": 2}
BOTH = list(SCHEMAS)


def hashes(data, build):
    return {table: data.content_hash(table, build=build) for table in build.tables}


def judge_killed_build(small, point, has_old):
    """Kill a build at `point`; readers, a rerun and gc are as promised."""
    data = DataSet.create_or_open(small.root)
    old = small.build(OLD) if has_old else None
    before = hashes(data, old) if old else None
    arguments = ("build_and_die(*sys.argv[1:])", small.root, point, json.dumps(NEW))
    assert outcome(spawn(*arguments))[0] == -9

    has_landed = point == "after the builds row"
    landed = {**(OLD if old else {}), **NEW}
    if has_landed or old:
        assert small.tags() == (landed if has_landed else OLD)
    else:
        assert data.current() is None
    strays = set(data.verify().strays) if data.current() else set()

    small.build(NEW)
    assert small.tags() == landed
    removed = set(data.gc(retention_hours=0, keep_builds=100))
    assert strays <= removed
    assert data.verify().strays == data.verify().faults == ()
    assert small.tags() == landed
    if old:
        assert hashes(data, old) == before


@pytest.mark.parametrize("has_old", [True, False], ids=["later build", "first build"])
@pytest.mark.parametrize("point", BUILD_DEATHS)
def test_a_killed_build_changes_nothing_or_all_and_a_rerun_repairs(small, point, has_old):
    judge_killed_build(small, point, has_old)


def judge_killed_gc(small, point):
    """Kill a gc at `point`; the current build stands, and the next gc finishes the work."""
    small.build(OLD)
    small.build(NEW)
    data = DataSet.open(small.root)
    dead = small.stage(data, {"d1": 3, "d5": 3})
    dead[0].release()
    before = hashes(data, data.current())
    assert outcome(spawn("gc_and_die(*sys.argv[1:])", small.root, point))[0] == -9

    assert hashes(data, data.current()) == before
    assert data.verify().faults == ()
    data.gc(retention_hours=0, keep_builds=1)
    assert (data.verify().faults, data.verify().strays) == ((), ())
    assert hashes(data, data.current()) == before
    assert small.tags() == {**OLD, **NEW}
    assert not (small.root / "_staging" / f"{dead[0].build_id}.json").exists()


@pytest.mark.parametrize("point", GC_DEATHS)
def test_a_killed_gc_takes_nothing_that_is_named(small, point):
    judge_killed_gc(small, point)


class Racers:
    """Two processes that publish at the same moment."""

    def __enter__(self):
        self.workers = [spawn("race()"), spawn("race()")]
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            outcome(worker)

    def run(self, root, tasks):
        """The outcome of each task {days, tables}, staged by both before either publishes."""
        for worker, task in zip(self.workers, tasks, strict=True):
            self._tell(worker, json.dumps({"root": str(root), **task}))
        for worker in self.workers:
            assert worker.stdout.readline() == "ready\n", worker.stderr.read()
        for worker in self.workers:
            self._tell(worker, "go")
        return [json.loads(worker.stdout.readline()) for worker in self.workers]

    @staticmethod
    def _tell(worker, line):
        worker.stdin.write(f"{line}\n")
        worker.stdin.flush()


def judge_race(racers, root, *, has_old, dts, tables=(BOTH, BOTH)):
    """Race for `dts`; who won, 0 or 1, or None where both landed."""
    small = Small(root)
    old = {"d1": 1, "d2": 1} if has_old else {}
    if old:
        small.build(old)
    tasks = [
        {"days": {dt: tag}, "tables": names}
        for dt, tag, names in zip(dts, (2, 3), tables, strict=True)
    ]
    results = racers.run(root, tasks)
    data = DataSet.open(root)
    landed = [i for i, result in enumerate(results) if "build" in result]
    if tables[0] == tables[1]:  # else the loser may have been first in a table of its own
        for table in BOTH:
            named = {part.path for part in data.parts(table)}
            assert delta.head(root / table).files.keys() == named
    if dts[0] != dts[1]:
        assert landed == [0, 1], results
        assert small.tags() == {**old, dts[0]: 2, dts[1]: 3}
        winner = None
    else:
        (winner,) = landed
        assert results[1 - winner] == {"error": "E0203"}
        assert {day.fingerprint for dt, day in data.current().days.items() if dt == dts[0]} == {
            str(2 + winner)
        }
        assert set(data.current().days[dts[0]].tables) == set(tables[winner])
    small.build({"d9": 9})  # the loser's traces do not stand in the way
    data.gc(retention_hours=0)
    assert (data.verify().faults, data.verify().strays) == ((), ())
    return winner


RACES = {
    "same dt": {"has_old": True, "dts": ("d1", "d1")},
    "same dt, first build": {"has_old": False, "dts": ("d1", "d1")},
    "same dt, tables apart": {
        "has_old": True,
        "dts": ("d1", "d1"),
        "tables": (["lists"], ["pairwise"]),
    },
    "same dt, tables apart, first build": {
        "has_old": False,
        "dts": ("d1", "d1"),
        "tables": (["lists"], ["pairwise"]),
    },
    "different dt": {"has_old": True, "dts": ("d1", "d2")},
    "different dt, first build": {"has_old": False, "dts": ("d1", "d2")},
    "different dt, both new": {"has_old": True, "dts": ("d7", "d8")},
}


def test_of_two_builds_at_once_both_land_or_one_wins_whole(tmp_path):
    with Racers() as racers:
        for name, case in RACES.items():
            for repetition in range(3):
                judge_race(racers, tmp_path / f"{name} {repetition}", **case)


def judge_readers(small, num_readers, num_publishes):
    """Readers loop while builds are published and gc runs; the number of whole reads."""
    small.build({"d1": 0, "d2": 0})
    stop = small.root.parent / "stop"
    script = "read_until(*sys.argv[1:])"
    readers = [spawn(script, small.root, stop) for _ in range(num_readers)]
    data = DataSet.open(small.root)
    for tag in range(1, num_publishes):
        small.build({f"d{1 + tag % 3}": tag, "d4": tag}, rows=1 + tag % 4)
        if tag == num_publishes // 2:
            data.rollback(tag // 2)
        data.gc(keep_builds=3)
    stop.touch()
    return sum(int(outcome(reader)[1]) for reader in readers)


def test_readers_see_whole_builds_while_others_publish(small):
    assert judge_readers(small, 2, 12) >= 2
