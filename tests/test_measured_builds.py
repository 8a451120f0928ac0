"""What measures mean to builds: when a day is anew, what a short mix is, what nothing is."""

from __future__ import annotations

import pytest

from rankdistill.build import build
from rankdistill.errors import GateError
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.measuring import days_of
from rankdistill.quality.metrics import metrics
from rankdistill.store.dataset import DataSet
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


def test_damaged_metrics_are_mended_by_building_their_day_again(tmp_path, simulated):
    feed = settings(simulated, tmp_path / "a")
    build(feed)
    data_set = DataSet.open(tmp_path / "a")
    (data_set.root / data_set.files("metrics", dt="2026-11-01")[0]).write_bytes(b"PAR1")
    made = build(feed, force=True)
    assert made.is_new
    assert len(days_of(data_set, data_set.current())) == 2
