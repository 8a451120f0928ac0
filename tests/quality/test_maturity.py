"""Label maturity (Q29) of a day that is built by itself: the log tells how far it reaches."""

from __future__ import annotations

import pytest

from rankdistill.build import build
from rankdistill.engines.duckdb import DuckDb
from rankdistill.engines.duckdb_options import DuckDbOptions
from rankdistill.log.days import Asked
from rankdistill.measuring import last_begun
from rankdistill.quality.metrics import metrics
from rankdistill.recompute import differences
from rankdistill.recount import recounted
from rankdistill.settings import Settings
from rankdistill.store.dataset import DataSet
from tests.quality.measured import clean_log, days

FIRST = "2026-11-01"


def settings(folder, num_days, *, folders=False, window="1d"):
    """Of a log of so many days, each in a folder of its own or all in a file."""
    log, place = clean_log(days=num_days, per_day=30), folder / f"log-{num_days}"
    log["dt"] = log.request_time.dt.strftime("%Y-%m-%d")
    log.to_parquet(place, partition_cols=["dt"] if folders else None)
    chosen = {
        "output": str(folder / "out"),
        "log": {"path": str(place), "columns": {"feedback": ["click"]}},
        "samples": {"pointwise": {}},
        "quality": {"attribution_window": window, "fail_on": "never"},
    }
    return Settings.model_validate(chosen)


def maturity(known):
    (found,) = (m for m in metrics(known, {})["measures"] if m["id"] == "Q29")
    return found["value"], found["verdict"]


@pytest.mark.parametrize(("num_days", "young"), [(1, True), (2, True), (3, False), (4, False)])
@pytest.mark.parametrize("folders", [True, False])
def test_a_day_is_mature_once_the_log_has_days_behind_its_window(
    tmp_path, num_days, young, folders
):
    chosen = settings(tmp_path, num_days, folders=folders)
    build(chosen, asked=Asked(frozenset([FIRST])))
    data_set = DataSet.open(tmp_path / "out")
    (stored,) = days(data_set)
    assert maturity([stored]) == ((1, "fail") if young else (0, "ok"))
    engine = DuckDb(DuckDbOptions())
    again = recounted(data_set, data_set.current(), engine, [FIRST], {FIRST: stored})
    engine.close()
    assert not differences(again, {FIRST: stored})


def test_a_day_built_again_is_mature_where_the_data_set_has_later_days(tmp_path):
    build(settings(tmp_path, 3))
    build(settings(tmp_path, 1), force=True)  # the log has this day alone now
    data_set = DataSet.open(tmp_path / "out")
    assert [maturity([day])[1] for day in days(data_set)] == ["ok", "ok", "fail"]


def test_the_last_day_begins_in_its_time_zone():
    known = ["20261101", "2026-11-03", "undated", "2026-11-02"]
    assert last_begun(known, "UTC") == 1_793_664_000 * 10**6
    assert last_begun(known, "Asia/Shanghai") == (1_793_664_000 - 8 * 3600) * 10**6
    assert last_begun(["undated"], "UTC") == 0
