"""dt and split of requests, and what becomes of days that were not asked for."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from rankdistill.build import build
from rankdistill.log.days import Asked, Days, DtOptions, SplitOptions
from rankdistill.store.dataset import DataSet
from tests.log.door_kit import admitted, read_log, settings

HOUR = 3_600
START = 1_793_491_200  # 2026-11-01 00:00 UTC
TIMED = {"columns": {"request_time": {"column": "t", "unit": "s"}}}


def source(times):
    ids = [f"r{i}" for i in range(len(times))]
    return pa.table({"request_id": ids, "item_id": ids, "rank": [1] * len(ids), "t": times})


def days_of(times, **options):
    found = admitted(source(times), TIMED, days=Days(DtOptions(**options)))
    return found.lists.requests["dt"].to_pylist()


@pytest.mark.fault("17", "days of zones, at changes of the clock, in 1970 and 9999", times=1)
def test_dt_is_the_local_day_of_the_request_also_where_the_clock_changes(trial, told):
    told.cases = 6
    times = [START - 1, START, START + 5 * HOUR - 1, START + 5 * HOUR, START + 29 * HOUR]
    assert days_of(times[:2]) == ["2026-10-31", "2026-11-01"]
    # New York leaves daylight saving time on 2026-11-01: that day has 25 hours.
    local = days_of(
        [START + 4 * HOUR, START + 28 * HOUR, START + 29 * HOUR], time_zone="America/New_York"
    )
    assert local == ["2026-11-01", "2026-11-01", "2026-11-02"]
    assert days_of([0, 253_402_300_799]) == ["1970-01-01", "9999-12-31"]
    assert days_of([START], **{"from": "constant", "value": "all"}) == ["all"]


@pytest.mark.fault("17", "a day folder of another zone", times=1)
def test_a_partition_of_another_zone_does_not_tear_a_request(tmp_path, trial, told):
    for day, item in (("2026-11-01", "x"), ("2026-11-02", "y")):
        folder = tmp_path / f"dt={day}"
        folder.mkdir()
        one = source([START]).set_column(1, "item_id", pa.array([item]))
        pq.write_table(one, folder / "f.parquet")
    log = {**TIMED, "path": str(tmp_path)}
    (request,) = read_log(log, dt={"from": "request_time"})[0].values()
    assert (request["dt"], len(request["items"])) == ("2026-11-01", 2)


def test_split_has_a_gap_and_exact_edges():
    split = SplitOptions(train_until="2026-11-01", gap="6h", valid_until="2026-11-02T00:00:00Z")
    times = [START - 1, START, START + 6 * HOUR - 1, START + 6 * HOUR, START + 24 * HOUR]
    found = admitted(source(times), TIMED, days=Days(split=split))
    expected = ["train", "gap", "gap", "valid", "test"]
    assert found.lists.requests["split"].to_pylist() == expected
    found = admitted(source(times), TIMED, days=Days(split=SplitOptions(train_until="2026-11-01")))
    assert found.lists.requests["split"].to_pylist() == ["train"] + ["valid"] * 4
    assert admitted(source(times), TIMED).lists.requests["split"].to_pylist() == ["all"] * 5


@pytest.mark.parametrize(
    "options",
    [
        {"train_until": "soon"},
        {"gap": "6"},
        {"valid_until": "2026-11-01"},
        {"train_until": "2026-11-02", "gap": "2d", "valid_until": "2026-11-03"},
    ],
)
def test_a_split_that_makes_no_sense_is_refused(options):
    with pytest.raises(ValidationError):
        SplitOptions(**options)


def test_faults_of_a_day_that_was_not_asked_for_leave_that_day_alone(tmp_path):
    times = [START, START, START + 24 * HOUR, START + 24 * HOUR]
    table = source(times).set_column(1, "item_id", pa.array(["x", None, "y", None]))
    pq.write_table(table, tmp_path / "log.parquet")
    config = settings({**TIMED, "path": str(tmp_path / "log.parquet")}, tmp_path / "out")
    build(config)
    data_set = DataSet.open(tmp_path / "out")
    before = {t: str(data_set.content_hash(t, "2026-11-02")) for t in ("lists", "rejects")}
    made = build(config, asked=Asked(frozenset({"2026-11-01"})), force=True)
    assert made.door == {**made.door, "skipped.other_dt": 2, "rejected.item_id_missing": 1}
    assert {t: str(data_set.content_hash(t, "2026-11-02")) for t in ("lists", "rejects")} == before


def test_a_rejected_row_is_of_its_own_day():
    times = [START, START + 24 * HOUR]
    torn = source(times).set_column(0, "request_id", pa.array(["a", "a"]))
    for rows in (torn, torn.take([1, 0])):
        found = admitted(rows, TIMED)
        assert found.counts["rejected.request_conflict"] == 2
        assert sorted(found.rejected.dt.to_pylist()) == ["2026-11-01", "2026-11-02"]
