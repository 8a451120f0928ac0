"""What measures mean to builds: when a day is anew, what a short mix is, what nothing is."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from rankdistill import cli, verdict
from rankdistill.build import build
from rankdistill.errors import GateError
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.measuring import days_of
from rankdistill.quality import metrics as quality_metrics
from rankdistill.quality.metrics import as_text, metrics
from rankdistill.store.dataset import DataSet
from rankdistill.verdict import judged_build
from tests.test_negatives_build import settings


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return simulate(folder, SimulateOptions(num_requests=30, days=2, num_users=10, num_items=500))


def test_a_day_is_built_anew_once_its_metrics_are_asked_for(tmp_path, simulated):
    build(settings(simulated, tmp_path / "a", quality={"measure": False}))
    assert "metrics" not in DataSet.open(tmp_path / "a").current().tables
    feed = settings(simulated, tmp_path / "a")
    assert build(feed).is_new
    assert "metrics" in DataSet.open(tmp_path / "a").current().tables
    assert not build(feed).is_new


def test_a_mix_without_the_catalogue_is_judged_from_the_first_day_on(tmp_path, simulated):
    greedy = {"num": 500, "history_window": None}
    feed = settings(simulated, tmp_path / "a", student="prerank", negatives=greedy)
    build(feed)
    data_set = DataSet.open(tmp_path / "a")
    told = metrics(days_of(data_set, data_set.current()), {})
    (mix,) = (m for m in told["measures"] if m["id"] == "Q18")
    assert mix["verdict"] == "fail" and mix["parts"]["least_fill"] < 0.8
    strict = settings(
        simulated, tmp_path / "b", student="prerank", negatives=greedy, quality={"fail_on": "fail"}
    )
    with pytest.raises(GateError, match="E0602") as caught:
        build(strict)
    assert "Q18" in caught.value.found
    assert any("lacked" in note for note in caught.value.__notes__)
    assert DataSet.open(tmp_path / "b").current() is None


def test_a_day_without_rows_is_told_and_its_check_is_not_green(tmp_path):
    log = simulate(tmp_path / "log", SimulateOptions(num_requests=30, days=2, num_items=500))
    (part,) = (log.log / "dt=2026-11-02").iterdir()
    pq.write_table(pq.read_table(part).slice(0, 0), part)
    made = build(settings(log, tmp_path / "a", quality={"fail_on": "fail"}))
    assert any("no row of dt=2026-11-02 can be used" in warning for warning in made.warnings)
    assert any(warning.startswith("Q01") for warning in made.warnings)
    data_set = DataSet.open(tmp_path / "a")
    (both, alone) = (judged_build(data_set, made.build, {}, dts) for dts in (None, ["2026-11-02"]))
    assert both["verdict"] == alone["verdict"] == "warn"
    arguments = ["check", "--data", str(tmp_path / "a"), "--dt", "2026-11-02"]
    shown = CliRunner().invoke(cli.app, arguments)
    assert shown.exit_code == 1 and "nothing to call good" in shown.output


def test_metrics_beside_the_tables_are_of_the_newest_days(tmp_path, monkeypatch):
    log = simulate(tmp_path / "log", SimulateOptions(num_requests=10, days=5, num_items=500))
    for module in (verdict, quality_metrics):
        monkeypatch.setattr(module, "PAST_DAYS", 2)
    made = build(settings(log, tmp_path / "a"))
    data_set = DataSet.open(tmp_path / "a")
    newest = ["2026-11-04", "2026-11-05"]
    beside = json.loads((data_set.root / "metrics.json").read_text())
    assert beside["days"] == newest
    asked = judged_build(data_set, made.build, {}, newest)
    assert beside == json.loads(as_text(asked))
    assert len(judged_build(data_set, made.build, {})["days"]) == 5


def test_damaged_metrics_are_mended_by_building_their_day_again(tmp_path, simulated):
    feed = settings(simulated, tmp_path / "a")
    build(feed)
    data_set = DataSet.open(tmp_path / "a")
    (data_set.root / data_set.files("metrics", dt="2026-11-01")[0]).write_bytes(b"PAR1")
    made = build(feed, force=True)
    assert made.is_new
    assert len(days_of(data_set, data_set.current())) == 2
