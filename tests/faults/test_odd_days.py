"""Days that are empty, lack hours or lie far off, and times of several zones: the whole build."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankdistill.build import build
from rankdistill.document import read_document
from rankdistill.errors import GateError
from rankdistill.settings import Settings, settings_of
from rankdistill.store.dataset import DataSet
from rankdistill.validate import validate

ITEMS = ("a", "b", "c")


def table(times: list[str]) -> pa.Table:
    """A request of three candidates at each of `times` (ISO 8601)."""
    rows = [
        {"request_id": f"{time}#{n}", "item_id": item, "rank": rank, "request_time": time}
        for n, time in enumerate(times)
        for rank, item in enumerate(ITEMS, 1)
    ]
    names = {name: pa.string() for name in ("request_id", "item_id", "request_time")}
    return pa.Table.from_pylist(rows, pa.schema({**names, "rank": pa.int64()}))


def put(folder: Path, days: dict[str, list[str]]) -> Path:
    for dt, times in days.items():
        (folder / f"dt={dt}").mkdir(parents=True, exist_ok=True)
        pq.write_table(table(times), folder / f"dt={dt}" / "log.parquet")
    return folder


def settings(log: Path, out: Path, **more: Any) -> Settings:
    config = {"output": str(out), "log": {"path": str(log)}, "samples": {"pairwise": {}}, **more}
    return settings_of(read_document(json.dumps(config), "test.yaml"))


def requests(out: Path) -> Counter[str]:
    data = DataSet.open(out)
    return Counter(dt for batch in data.read("lists") for dt in batch["dt"].to_pylist())


def hours(dt: str, but: tuple[int, ...] = ()) -> list[str]:
    return [f"{dt}T{hour:02}:{m}:00Z" for hour in range(24) if hour not in but for m in (10, 40)]


@pytest.mark.fault("17", "a day without a row: there, empty, and told", times=1)
def test_an_empty_day_is_published_empty_and_told(tmp_path, trial, told):
    log = put(tmp_path / "log", {"2026-11-01": hours("2026-11-01"), "2026-11-02": []})
    made = build(settings(log, tmp_path / "out"))
    assert requests(tmp_path / "out") == {"2026-11-01": 48}
    (warning,) = (text for text in made.warnings if "the day is there, and empty" in text)
    assert warning.startswith("no row of dt=2026-11-02 can be used")
    assert not build(settings(log, tmp_path / "out")).is_new


@pytest.mark.fault("17", "hours without a request: gate Q31 stops the build", times=1)
def test_missing_hours_fail_their_gate_and_nothing_is_published(tmp_path, trial, told):
    log = put(tmp_path / "log", {"2026-11-01": hours("2026-11-01")})
    gate = {"quality": {"gates": {"Q31": {"warn": 0, "fail": 1}}}}
    build(settings(log, tmp_path / "out", **gate))
    put(log, {"2026-11-02": hours("2026-11-02", but=(3, 4))})
    with pytest.raises(GateError, match="E0602") as caught:
        build(settings(log, tmp_path / "out", **gate))
    assert "Q31" in f"{caught.value.message} {caught.value.found}"
    assert list(DataSet.open(tmp_path / "out").newest().days) == ["2026-11-01"]


@pytest.mark.fault("17", "days to come and beyond belief: as they are, the latter told", times=1)
def test_days_to_come_are_days_and_those_beyond_2099_are_told(tmp_path, trial, told):
    days = {dt: hours(dt) for dt in ("2026-11-01", "2031-02-28", "2099-12-31", "2100-01-01")}
    config = settings(put(tmp_path / "log", days), tmp_path / "out")
    made = build(config)
    assert requests(tmp_path / "out") == dict.fromkeys(days, 48)
    odd = {dt: counts["requests_of_odd_time"] for dt, counts in made.by_dt.items()}
    assert odd == {**dict.fromkeys(days, 0), "2100-01-01": 48}
    (hint,) = (hint for hint in validate(config).hints if "before 2000 or after 2099" in hint)
    assert hint.startswith("48 requests")


@pytest.mark.fault("17", "times of several zones in one log", times=1)
def test_times_of_several_zones_are_one_time(tmp_path, trial, told):
    moments = ["2026-11-01T23:30:00Z", "2026-11-02T00:30:00+01:00", "2026-11-01 18:30:00-05:00"]
    moments += ["2026-11-02T05:00:00+05:30", "2026-11-01T23:30:00"]  # without one it is UTC
    rows = table(moments).set_column(0, "request_id", pa.array([t for t in "rstuv" for _ in "abc"]))
    pq.write_table(rows, tmp_path / "log.parquet")
    for zone, dt in (("UTC", "2026-11-01"), ("Asia/Tokyo", "2026-11-02")):
        by = {"dt": {"from": "request_time", "time_zone": zone}}
        build(settings(tmp_path / "log.parquet", tmp_path / zone, **by))
        assert requests(tmp_path / zone) == {dt: len(moments)}
        (batch,) = DataSet.open(tmp_path / zone).read("lists")
        assert len(set(batch["request_time"].to_pylist())) == 1


@pytest.mark.fault("17", "one request whose rows write its time in two zones", times=1)
def test_rows_of_a_request_may_write_its_time_in_several_zones(tmp_path, trial, told):
    same = ["2026-11-01T23:30:00Z", "2026-11-02T00:30:00+01:00", "2026-11-01T23:30:00"]
    other = [*same[:2], "2026-11-02T23:30:00Z"]
    unreadable = ["half past", *same[:2]]
    ids = pa.array([name for name in ("same", "other", "unreadable") for _ in "abc" * 3])
    rows = pa.concat_tables([table(times) for times in (same, other, unreadable)])
    pq.write_table(rows.set_column(0, "request_id", ids), tmp_path / "log.parquet")
    quiet = {"quality": {"fail_on": "never"}, "dt": {"from": "request_time"}}
    made = build(settings(tmp_path / "log.parquet", tmp_path / "out", **quiet))
    assert made.door["rejected.request_conflict"] == 9
    assert made.door["rejected.value_unreadable"] == 3
    assert requests(tmp_path / "out") == {"2026-11-01": 2}
