"""What a build lets measures know of the days after a day; rows do not depend on it."""

from __future__ import annotations

import pytest

from rankdistill.build import build
from rankdistill.log.days import Asked
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.measuring import days_of
from rankdistill.quality.metrics import judged_day
from rankdistill.store.dataset import DataSet
from tests.feed_kit import feed

DAYS = ["2026-11-01", "2026-11-02", "2026-11-03"]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    size = SimulateOptions(num_requests=40, days=3, num_users=8, num_items=300)
    return simulate(tmp_path_factory.mktemp("simulated"), size).log


def settings(log, output):
    return feed(
        log,
        output,
        catalogue={"window": "1d", "own_day": True, "allow_short_history": True},
        samples={"negatives": {"history_window": "1d"}},
        quality={"fail_on": "never"},
    )


def later(output):
    data_set = DataSet.open(output)
    days = days_of(data_set, data_set.current())
    return {day.dt: judged_day(day, {})["Q20"].reading for day in days}


def test_a_day_is_told_of_the_days_after_it_without_looking_into_them(tmp_path, log):
    build(settings(log, tmp_path / "all"))
    told = later(tmp_path / "all")
    assert told[DAYS[0]].parts["censored_1d"] == 0 and told[DAYS[0]].parts["within_1d"] > 0
    assert told[DAYS[2]].parts["censored_1d"] > 0.9 > told[DAYS[2]].parts["censored_1h"]
    days = DataSet.open(tmp_path / "all").current().days
    assert all(max(days[dt].counts["window"]) <= dt for dt in DAYS)


def test_days_built_with_a_hole_behind_them_look_no_further(tmp_path, log):
    feed = settings(log, tmp_path / "holed")
    for day in (DAYS[2], DAYS[0]):
        build(feed, asked=Asked(frozenset([day])))
    assert later(tmp_path / "holed")[DAYS[0]].parts["censored_1d"] > 0.9
    build(feed, asked=Asked(frozenset(DAYS[1:2])))
    assert later(tmp_path / "holed")[DAYS[1]].parts["censored_1d"] == 0


def test_rows_are_the_same_with_and_without_measures(tmp_path, log):
    feed = settings(log, tmp_path / "with")
    build(feed)
    quality = feed.quality.model_copy(update={"measure": False})
    build(feed.model_copy(update={"quality": quality, "output": str(tmp_path / "without")}))
    one, other = (DataSet.open(tmp_path / n).content_hash("negatives") for n in ("with", "without"))
    assert one == other
