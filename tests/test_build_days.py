"""Which days a build reads, makes and leaves alone."""

import shutil
from pathlib import Path

import pytest

from rankdistill.build import build
from rankdistill.errors import InputError, PlaceError
from rankdistill.log.days import Asked
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.log.source import Column
from rankdistill.settings import Settings
from rankdistill.store.dataset import DataSet

TABLES = ("lists", "pointwise", "pairwise", "listwise")
AS_TEXT = Column.model_validate({"column": "item_id", "as": "text"})
DAYS = ["2026-11-01", "2026-11-02", "2026-11-03"]


@pytest.fixture
def log(tmp_path):
    return simulate(tmp_path / "simulated", SimulateOptions(num_requests=20, days=3)).log


def settings(log, output, **more):
    return Settings.model_validate(
        {
            "output": str(output),
            "log": {"path": str(log), "stage": {"from": "column", "column": "stage"}},
            "samples": {"pointwise": {}, "pairwise": {}, "listwise": {}},
            **more,
        }
    )


def hashes(output):
    return [DataSet.open(output).content_hash(table) for table in TABLES]


def parts_of(output):
    return sorted(Path(output).rglob("*.parquet"))


def only(*days):
    return Asked(frozenset(days))


def test_days_built_one_by_one_and_all_at_once_are_equal(tmp_path, log):
    one_by_one, at_once = (settings(log, tmp_path / name) for name in ("a", "b"))
    for day in reversed(DAYS):
        build(one_by_one, asked=only(day))
    build(at_once)
    assert hashes(one_by_one.output) == hashes(at_once.output)


def test_only_days_that_are_missing_or_changed_are_built(tmp_path, log):
    feed = settings(log, tmp_path / "feed")
    build(feed, asked=only(DAYS[0]))
    assert sorted(build(feed).by_dt) == DAYS[1:]
    assert not build(feed).is_new

    (part,) = (log / f"dt={DAYS[1]}").iterdir()
    shutil.copy(part, part.with_name("part-again.parquet"))
    part.unlink()
    part.with_name("part-again.parquet").rename(part)
    assert list(build(feed).by_dt) == [DAYS[1]]


@pytest.mark.fault("17", "a day read only in part is not replaced", times=1)
def test_a_day_whose_files_are_partly_gone_is_not_replaced(tmp_path, log, trial, told):
    feed = settings(log, tmp_path / "feed", quality={"fail_on": "never"})  # rows repeat
    folder = log / f"dt={DAYS[0]}"
    (part,) = folder.iterdir()
    shutil.copy(part, folder / "part-more.parquet")
    build(feed)
    before = hashes(feed.output)
    part.unlink()
    heard = []
    with pytest.raises(PlaceError, match="E0207"):
        build(feed, notify=lambda event, **facts: heard.append(event))
    assert "started" not in heard  # refused before a row is read
    assert hashes(feed.output) == before
    assert list(build(feed, force=True).by_dt) == DAYS


@pytest.mark.fault("17", "a day read only in part, as rows tell", times=1)
def test_a_build_refused_after_its_rows_were_read_leaves_no_part(tmp_path, log, trial, told):
    feed = settings(log, tmp_path / "feed", dt={"from": "request_time"})
    build(feed)
    before, kept = hashes(feed.output), parts_of(feed.output)
    (part,) = (log / f"dt={DAYS[0]}").iterdir()
    part.unlink()
    heard = []
    with pytest.raises(PlaceError, match="E0207"):
        build(feed, notify=lambda event, **facts: heard.append(event))
    assert "started" in heard  # the rows alone say which days they are of
    assert parts_of(feed.output) == kept
    assert hashes(feed.output) == before
    assert not DataSet.open(feed.output).gc(retention_hours=0)


def test_a_column_of_another_type_is_refused_before_a_row_is_read(tmp_path, log):
    feed = settings(log, tmp_path / "feed")
    build(feed)
    kept, heard = parts_of(feed.output), []
    columns = feed.log.columns.model_copy(update={"item_id": AS_TEXT})
    other = feed.model_copy(update={"log": feed.log.model_copy(update={"columns": columns})})
    for force in (False, True):
        with pytest.raises(PlaceError, match=r"E0205.*item_id"):
            build(other, force=force, notify=lambda event, **facts: heard.append(event))
    assert "started" not in heard
    assert parts_of(feed.output) == kept


def test_a_day_the_log_does_not_have_is_an_error_that_names_those_it_has(tmp_path, log):
    with pytest.raises(InputError, match="E0311") as fault:
        build(settings(log, tmp_path / "feed"), asked=only("2027-01-01"))
    assert "2026-11-01 to 2026-11-03" in fault.value.found


def test_days_asked_for_that_neither_the_log_nor_the_data_set_has_are_told(tmp_path, log):
    feed = settings(log, tmp_path / "feed")
    asked = Asked(first="2026-10-31", last=DAYS[1])
    told = "dt=2026-10-31: asked for, and not in the log"
    made = build(feed, asked=asked)
    assert told in made.warnings and sorted(made.by_dt) == DAYS[:2]
    made = build(feed, asked=asked)
    assert told in made.warnings and not made.is_new
    made = build(feed, asked=Asked(first=DAYS[1], last=DAYS[2]))
    assert not any("asked for" in warning for warning in made.warnings)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (Asked(), []),
        (Asked(first="2026-11-01"), []),
        (only("b", "a"), ["a", "b"]),
        (Asked(first="a", last="b"), []),
        (Asked(first="2026-10-31", last="2026-11-01"), ["2026-10-31", "2026-11-01"]),
        (Asked(first="20261031", last="20261101"), ["20261031", "20261101"]),
    ],
)
def test_which_days_are_asked_for_by_name(asked, named):
    assert asked.named() == named


def test_days_decided_by_rows_are_up_to_date_together(tmp_path, log):
    feed = settings(log, tmp_path / "feed", dt={"from": "request_time", "time_zone": "Asia/Tokyo"})
    first = build(feed)
    assert len(first.by_dt) == 4
    assert not build(feed).is_new
    assert not build(feed, asked=only(DAYS[1])).is_new


def test_a_changed_config_builds_every_day_again(tmp_path, log):
    build(settings(log, tmp_path / "feed"))
    assert sorted(build(settings(log, tmp_path / "feed", seed=5)).by_dt) == DAYS
