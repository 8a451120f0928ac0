"""Kills, races and readers: a reader sees the old or the new build, over all tables."""

import json
from pathlib import Path

import pytest
from store_kit import BUILD_DEATHS, GC_DEATHS, SCHEMAS, Small, outcome, spawn

from rankdistill.store import delta
from rankdistill.store.dataset import DataSet
from rankdistill.store.files import make_dirs

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


@pytest.mark.fault("26", "kill -9 of a build's commits, 9 points of the store", times=20, quick=2)
@pytest.mark.parametrize("point", BUILD_DEATHS)
def test_a_killed_build_changes_nothing_or_all_and_a_rerun_repairs(small, point, trial):
    judge_killed_build(small, point, has_old=trial % 2 == 0)


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


@pytest.mark.fault("26", "kill -9 of a gc, 4 points", times=20)
@pytest.mark.parametrize("point", GC_DEATHS)
def test_a_killed_gc_takes_nothing_that_is_named(small, point, trial):
    judge_killed_gc(small, point)


class Racers:
    """Two processes that act at the same moment."""

    def __enter__(self):
        self.workers = [spawn("race()"), spawn("race()")]
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            outcome(worker)

    def run(self, root, tasks):
        """The outcome of each task, as `race` takes them, made ready by both before either acts."""
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


@pytest.fixture(scope="module")
def racers():
    with Racers() as both:
        yield both


def judge_race(racers, root, *, has_old, dts, tables=(BOTH, BOTH)):
    """Race for `dts`: both land, or one wins whole."""
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


@pytest.mark.fault("31", "two publishes at once, 7 kinds of race", times=25, quick=2)
@pytest.mark.parametrize("kind", RACES)
def test_of_two_builds_at_once_both_land_or_one_wins_whole(racers, small, kind, trial):
    judge_race(racers, small.root, **RACES[kind])


def after_both(built, rolled, days):
    """{dt: tag} after a build of `days` and a rollback to build 1, by what each of them told."""
    if "error" in rolled:
        return {"d1": 1, "d2": 2, **days}
    is_last = "build" in built and built["build"] > rolled["build"]
    return {"d1": 1, "d2": 1, **(days if is_last else {})}


@pytest.mark.fault("31", "a publish beside a gc and beside a rollback", times=25, quick=3)
@pytest.mark.parametrize("beside", ["gc", "rollback"])
def test_a_build_beside_a_gc_or_a_rollback_is_whole_or_refused(racers, small, beside, trial):
    small.build({"d1": 1, "d2": 1})
    small.build({"d2": 2})
    data = DataSet.open(small.root)
    small.stage(data, {"d1": 9})[0].release()  # what a dead build left
    days = {("d1", "d2", "d3")[trial % 3]: 3}
    tasks = [{"days": days, "tables": BOTH}, {"do": beside, "number": 1}]
    built, done = racers.run(small.root, tasks)

    if beside == "gc":
        assert "build" in built and done == {"removed": True}
        assert small.tags() == {"d1": 1, "d2": 2, **days}
    else:
        refused = [each for each in (built, done) if "error" in each]
        assert refused in ([], [{"error": "E0203"}])
        assert small.tags() == after_both(built, done, days)
    assert data.verify().faults == ()
    small.build({"d9": 9})
    data.gc(retention_hours=0)
    assert (data.verify().faults, data.verify().strays) == ((), ())


def test_gc_leaves_the_row_that_a_build_is_about_to_commit(small, monkeypatch):
    small.build(OLD)
    commit = delta.commit_rows

    def after_a_gc(*arguments):
        DataSet.open(small.root).gc(retention_hours=0)
        return commit(*arguments)

    monkeypatch.setattr(delta, "commit_rows", after_a_gc)
    small.build(NEW)
    assert small.tags() == {**OLD, **NEW}


def test_a_folder_that_another_build_takes_away_meanwhile_is_made_again(tmp_path, monkeypatch):
    mkdir, taken = Path.mkdir, []

    def after_another(path, *arguments, **options):
        if path.name == "build" and not taken:
            taken.append(path.parent)
            path.parent.rmdir()
        return mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", after_another)
    make_dirs(tmp_path, "_catalogue/build/dt=1")
    assert taken and (tmp_path / "_catalogue/build/dt=1").is_dir()


@pytest.mark.fault("32", "4 readers during 20 publishes, a rollback and gc", times=4)
def test_readers_see_whole_builds_while_others_publish(small, told, trial):
    small.build({"d1": 0, "d2": 0})
    stop = small.root.parent / "stop"
    readers = [spawn("read_until(*sys.argv[1:])", small.root, stop) for _ in range(4)]
    data = DataSet.open(small.root)
    for tag in range(1, 20):
        small.build({f"d{1 + tag % 3}": tag, "d4": tag}, rows=1 + tag % 4)
        if tag == 10:
            data.rollback(5)
        small.stage(data, {"d1": 99})[0].release()  # a dead build's, for gc to take
        data.gc(keep_builds=3)
    stop.touch()
    seen = [json.loads(outcome(reader)[1]) for reader in readers]
    told.reads, told.torn = (sum(each[name] for each in seen) for name in ("reads", "torn"))
    assert told.torn == 0 and min(each["reads"] for each in seen) >= 1, seen
