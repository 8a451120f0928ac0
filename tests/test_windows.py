"""Which days may be missing: those before the log, none behind its first day."""

from __future__ import annotations

import pytest

from rankdistill.build import build
from rankdistill.errors import PlaceError
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.plan import plan
from rankdistill.store.dataset import DataSet
from rankdistill.summary import build_summary
from rankdistill.validate import validate
from rankdistill.verdict import judged_build
from tests.test_negatives_build import hashes, only, settings

DAYS = [f"2026-11-0{day}" for day in range(1, 5)]
TWO_DAYS = {"history_window": "2d"}
BY_TIME = {"from": "request_time"}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four_days")
    return simulate(folder, SimulateOptions(num_requests=30, days=4, num_users=10, num_items=500))


def windowed(simulated, output, *, window="2d", negatives=TWO_DAYS, **more):
    catalogue = {"window": window, **more.pop("catalogue", {})}
    return settings(simulated, output, catalogue=catalogue, negatives=negatives, **more)


@pytest.mark.parametrize("more", [{}, {"student": "prerank"}, {"dt": BY_TIME}], ids=str)
def test_days_in_order_and_at_once_are_equal_without_any_switch(tmp_path, simulated, more):
    feeds = [
        settings(simulated, tmp_path / name, catalogue=None, negatives={"num": 5}, **more)
        for name in ("a", "b")
    ]
    for day in DAYS:
        build(feeds[0], asked=only(day))
    build(feeds[1])
    # The metrics of a day also tell of the days after it, as far as they are there (Q20).
    tables = [t for t in DataSet.open(feeds[1].output).current().tables if t != "metrics"]
    a, b = (DataSet.open(feed.output) for feed in feeds)
    assert "negatives" in tables
    assert [a.content_hash(t) for t in tables] == [b.content_hash(t) for t in tables]


@pytest.mark.parametrize("dt", [None, BY_TIME], ids=["folders", "rows"])
def test_a_day_alone_whose_window_lies_in_the_log_is_refused(tmp_path, simulated, dt):
    feed = windowed(simulated, tmp_path / "a", dt=dt or {})
    with pytest.raises(PlaceError, match="E0208") as fault:
        build(feed, asked=only(DAYS[3]))
    assert (fault.value.found, "first known day is 2026-11-01" in fault.value.message) == (
        "2026-11-02, 2026-11-03",
        True,
    )
    assert DataSet.open(tmp_path / "a").current() is None


def test_a_hole_in_the_data_set_is_refused_until_it_is_filled_or_allowed(tmp_path, simulated):
    feed = windowed(simulated, tmp_path / "a")
    build(feed, asked=only(DAYS[0]))
    with pytest.raises(PlaceError, match=r"E0208.* look into 1 day that") as fault:
        build(feed, asked=only(DAYS[2]))
    assert fault.value.found == DAYS[1]
    allowed = windowed(simulated, tmp_path / "b", catalogue={"allow_short_history": True})
    assert build(allowed, asked=only(DAYS[2])).is_new
    build(feed, asked=only(DAYS[1]))
    assert build(feed, asked=only(DAYS[2])).is_new


def test_days_after_the_log_are_told_to_be_what_future_window_needs(tmp_path, simulated):
    ahead = windowed(simulated, tmp_path / "a", negatives={**TWO_DAYS, "future_window": "1d"})
    with pytest.raises(PlaceError, match="E0208") as fault:
        build(ahead)
    assert fault.value.found == "2026-11-05"
    assert "future_window looks ahead" in fault.value.help


def test_plan_and_build_tell_which_windows_begin_before_the_log(tmp_path, simulated):
    feed = windowed(simulated, tmp_path / "a")
    line = (
        "window    catalogue.window and history_window of 2026-11-01 .. 2026-11-02 begin before "
        "the log (2d asked, 0 to 1 day there)"
    )
    assert line in plan(feed).lines
    made = build(feed)
    assert line in build_summary(made, feed.output).splitlines()
    window = made.build.days[DAYS[0]].counts["window"]
    assert [day for day, made_by in window.items() if made_by is None] == [
        "2026-10-30",
        "2026-10-31",
    ]
    assert not any(text.startswith("window") for text in plan(feed).lines)


@pytest.mark.parametrize(
    ("window", "day", "why"),
    [
        ("1d", DAYS[1], "look into 1 day that no build has made"),
        ("2d", DAYS[3], "look into 2 days that no build has made"),
        ("3d", DAYS[2], "begin before the log and look into 2 days that no build has made"),
    ],
)
def test_days_that_were_allowed_to_be_missing_are_told_as_such(
    tmp_path, simulated, window, day, why
):
    chosen = {"negatives": {"history_window": window}, "catalogue": {"allow_short_history": True}}
    feed = windowed(simulated, tmp_path / "a", window=window, **chosen)
    windows, there = "catalogue.window and history_window", f"({window} asked, 0 days there)"
    assert build(feed, asked=only(day)).notes == (f"{windows} of {day} {why} {there}",)
    data_set = DataSet.open(tmp_path / "a")
    told = {m["id"]: m for m in judged_build(data_set, data_set.current(), {})["measures"]}
    assert told["Q18"]["verdict"] == "not applicable"
    assert told["Q18"]["why"] == "the catalogue was empty: no earlier day was there"


def test_windows_of_two_lengths_are_told_one_by_one(tmp_path, simulated):
    feed = windowed(simulated, tmp_path / "a", window="1d", negatives={"history_window": "30d"})
    assert [text for text in plan(feed).lines if text.startswith("window")] == [
        "window    catalogue.window of 2026-11-01 begins before the log (1d asked, 0 days there)",
        "window    history_window of 2026-11-01 .. 2026-11-04 begins before the log (30d asked, "
        "0 to 3 days there)",
    ]


def test_an_empty_catalogue_is_told_with_what_fills_it(tmp_path, simulated):
    feed = windowed(simulated, tmp_path / "a")
    text = (
        "samples.negatives: no day before 2026-11-01 is there to count items of, so the catalogue "
        "is empty and popular has nothing to draw; set catalogue.own_day: true, or give a table "
        "of all items (catalogue.items)"
    )
    assert text in plan(feed).warnings
    assert text in validate(feed).warnings
    assert text in build(feed, asked=only(DAYS[0])).warnings
    assert text not in build(feed, asked=only(DAYS[1])).warnings
    own = windowed(simulated, tmp_path / "b", catalogue={"own_day": True})
    assert not any("catalogue is empty" in text for text in build(own).warnings)


def test_plan_and_validate_say_that_a_build_would_miss_days(tmp_path, simulated):
    feed = windowed(simulated, tmp_path / "a", negatives={**TWO_DAYS, "future_window": "1d"})
    for warnings in (plan(feed).warnings, validate(feed).warnings):
        assert any(text.startswith("E0208: a build stops, as the draws of") for text in warnings)
    fine = windowed(simulated, tmp_path / "a")
    for warnings in (plan(fine).warnings, validate(fine).warnings):
        assert not any("E0208" in text for text in warnings)


def test_an_earlier_day_that_comes_late_makes_those_behind_it_anew(tmp_path, simulated):
    late = windowed(simulated, tmp_path / "a", catalogue={"allow_short_history": True})
    for day in reversed(DAYS[1:]):
        build(late, asked=only(day))
    build(late)
    build(windowed(simulated, tmp_path / "b", catalogue={"allow_short_history": True}))
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
