"""The table `metrics` is the same whatever built it: threads, batches, engines, days apart."""

from __future__ import annotations

import pandas as pd
import pytest

from rankdistill.build import build
from rankdistill.log.days import Asked
from rankdistill.measuring import days_of
from rankdistill.settings import Settings
from rankdistill.store.dataset import DataSet
from tests.quality.defects_kit import FIRST, SETTINGS, log, merged

DATES = [FIRST + pd.Timedelta(days=n) for n in range(3)]
ENGINES = {
    "one thread": {"kind": "duckdb", "threads": 1},
    "two threads": {"kind": "duckdb", "threads": 2},
    "small batches": {"kind": "duckdb", "threads": 2, "batch_rows": 300},
}
# What a day alone does not know, and all of them together do: what users respond to on later
# days (Q20, censored), what other days hold of its content (Q28), and when the log ended (the
# facts, which Q29 is read with).
OF_OTHER_DAYS = {"Q20", "Q28", "facts"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    made = log(DATES, seed=9)
    # Something of everything that is held across requests and at the door.
    copies = made[made.request_id % 11 == 0].assign(request_id=lambda r: r.request_id + 10**8)
    first = made[(made.request_id % 13 == 0) & (made.request_time < DATES[1])]
    later = first.assign(
        request_id=lambda r: r.request_id + 2 * 10**8,
        request_time=lambda r: r.request_time + pd.Timedelta("2d"),
    )
    made = pd.concat([made, made[::50], copies, later]).sample(frac=1, random_state=4)
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    types = {"rank": "Int32", "position": "Int32", "click": "Int32"}
    made.astype(types).to_parquet(path, row_group_size=900)
    return path


def settings(rows, output, engine) -> Settings:
    split = {"train_until": str(DATES[2]), "valid_until": str(DATES[2] + pd.Timedelta("12h"))}
    own = {
        "output": str(output),
        "engine": engine,
        "split": split,
        "quality": {"fail_on": "never", "segments": ["teacher_version"]},
        "log": {
            "path": str(rows),
            "stage": {"from": "column", "column": "stage"},
            "score_kind": "probability",
            "response": {"click": 1},
            "columns": {"feedback": ["click"], "request": ["teacher_version"]},
        },
    }
    return Settings.model_validate(merged(SETTINGS, own))


def told(output) -> dict[tuple[str, str], str]:
    """(dt, row) -> what the table holds."""
    data_set = DataSet.open(output)
    days = days_of(data_set, data_set.current())
    return {(day.dt, row["measure"]): row["state"] for day in days for row in day.rows()}


@pytest.fixture(scope="module")
def at_once(rows, tmp_path_factory):
    output = tmp_path_factory.mktemp("built") / "out"
    build(settings(rows, output, ENGINES["one thread"]))
    return output


def test_every_measure_of_rows_has_a_state(at_once):
    names = {name for _, name in told(at_once)}
    # Q32 and Q02 are read from what others and the door keep.
    assert len([name for name in names if name.startswith("Q")]) >= 30


@pytest.mark.parametrize("engine", ["two threads", "small batches"])
def test_threads_and_batches_do_not_change_the_table(tmp_path, rows, at_once, engine):
    build(settings(rows, tmp_path / "out", ENGINES[engine]))
    assert told(tmp_path / "out") == told(at_once)
    one, other = (
        DataSet.open(place).content_hash("metrics") for place in (tmp_path / "out", at_once)
    )
    assert one == other


@pytest.mark.spark
def test_spark_makes_the_same_table(tmp_path, rows, at_once, spark):
    build(settings(rows, tmp_path / "out", {"kind": "spark"}))
    assert told(tmp_path / "out") == told(at_once)
    one, other = (
        DataSet.open(place).content_hash("metrics") for place in (tmp_path / "out", at_once)
    )
    assert one == other


def test_days_built_one_by_one_say_the_same_but_of_other_days(tmp_path, rows, at_once):
    apart = settings(rows, tmp_path / "out", ENGINES["two threads"])
    for day in DATES:
        build(apart, asked=Asked(frozenset([f"{day:%Y-%m-%d}"])))
    one, other = told(tmp_path / "out"), told(at_once)
    assert one.keys() == other.keys()
    assert {name for dt, name in one if one[dt, name] != other[dt, name]} == OF_OTHER_DAYS
