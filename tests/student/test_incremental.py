"""Incremental training: a stretch of time in its order, embeddings of ids alone."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

import torch

from rankdistill import cli
from rankdistill.errors import ConfigError, TrainingError, UserErrors
from rankdistill.student.fields.kept import load_fields
from rankdistill.student.folder import read_run
from rankdistill.student.loader import Loader
from rankdistill.student.options import BatchOptions
from rankdistill.student.order import in_time
from rankdistill.student.reading import lists_source
from rankdistill.student.warm import WEIGHT
from tests.student.kit import built, last_checkpoint, plan_of, train
from tests.student.test_warm_start import FIRST, TOWERS, rows_by_value

HOURS = {"first": "2026-11-02T06:00:00Z", "last": "2026-11-02T18:00:00Z"}
NOON = "2026-11-02T12:00:00Z"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """(folder with a full run of the first day, config, overrides of an incremental one)."""
    folder = tmp_path_factory.mktemp("hours")
    config, _ = built(folder, TOWERS[:1])
    train(plan_of(config, *TOWERS, dts=(FIRST,)), folder / "full")
    own = (*TOWERS, f"train.start.run={folder / 'full'}", "train.epochs=null")
    own = (*own, "train.mode=incremental")
    train(plan_of(config, *own, **HOURS), folder / "hours")
    return folder, config, own


def micros(text):
    return int(datetime.fromisoformat(text).timestamp() * 1e6)


def requests_of(plan):
    """request_id -> (time, user), of the whole build."""
    found = {}
    for rows in plan.data_set.read("lists", columns=["request_id", "request_time", "user_id"]):
        time = rows.column("request_time").cast(pa.int64()).to_pylist()
        ids, users = (rows.column(name).to_pylist() for name in ("request_id", "user_id"))
        found |= dict(zip(ids, zip(time, users, strict=True), strict=True))
    return found


def weights(folder):
    return rows_by_value(
        load_fields(folder, read_run(folder)), last_checkpoint(folder).tensors[WEIGHT]
    )


def test_all_but_the_embeddings_of_ids_stays_the_same_bit_for_bit(place):
    folder, *_ = place
    full, hours = (last_checkpoint(folder / name).tensors for name in ("full", "hours"))
    frozen = [name for name in full if not name.startswith("table.")]
    assert len(frozen) > 8 and full.keys() == hours.keys()
    assert all(torch.equal(full[name], hours[name]) for name in frozen)
    before, after = weights(folder / "full"), weights(folder / "hours")
    ids = ("user.user_id", "item.item_id")
    others = {key for key in after if key[0] not in ids}
    assert {key: after[key] for key in others} == {
        k: v for k, v in before.items() if k[0] not in ids
    }
    for field in ids:
        assert any(after[key] != vector for key, vector in before.items() if key[0] == field)


def test_only_user_ids_that_the_hours_changed_are_published(place):
    folder, config, own = place
    (told,) = read_run(folder / "hours")["published"]
    published = pq.read_table(folder / "hours" / told["file"])
    assert [file.name for file in (folder / "hours" / "published").iterdir()] == [
        "user.user_id.parquet"
    ]
    after, before = weights(folder / "hours"), weights(folder / "full")
    vectors = dict(
        zip(published["user_id"].to_pylist(), published["vector"].to_pylist(), strict=True)
    )
    users = {value: row for (field, value), row in after.items() if field == "user.user_id"}
    assert vectors == {
        user: row for user, row in users.items() if before.get(("user.user_id", user)) != row
    }
    known = requests_of(plan_of(config, *own, **HOURS)).values()
    first, last = (micros(text) for text in HOURS.values())
    seen = {user for time, user in known if first <= time < last}
    assert 3 < len(vectors) <= len(seen) + 1 and vectors.keys() <= {*seen, None}


def test_requests_come_once_in_the_order_of_their_times_and_from_the_hours_alone(place):
    folder, config, own = place
    plan = plan_of(config, *own, **HOURS)
    source, known = plan.learned, requests_of(plan)
    fields = load_fields(folder / "hours", read_run(folder / "hours"))
    options = BatchOptions(requests=3, pool=10)
    loader = Loader(source, plan.drawing(source, fields), options, 7, is_timely=True)
    found = [known[r][0] for chunk in loader.epoch() for r in chunk.request_id.to_pylist()]
    first, last = (micros(text) for text in HOURS.values())
    assert len(found) > 30
    assert found == sorted(time for time, _ in known.values() if first <= time < last)
    pools = in_time(source, 10)
    assert len(pools) > 3 and pools[0][0].between[1] <= pools[1][0].between[0]


def test_requests_of_one_time_are_in_one_pool(place):
    _, config, own = place
    plan = plan_of(config, *own, **HOURS)
    source = lists_source(plan.data_set, plan.build)

    class OneSecond(type(source)):
        def times(self, piece):
            return np.ma.MaskedArray(super().times(piece) // 10**9 * 10**9)

    rough = OneSecond(source.pieces, source.columns, source.teacher_order)
    bounds = [pool[0].between for pool in in_time(rough, 1)]
    assert bounds == sorted(set(bounds)) and all(a < b for a, b in bounds)


def test_hour_after_hour_goes_on_and_the_next_full_run_starts_from_the_full_one(place, tmp_path):
    folder, config, own = place
    start = f"train.start.run={folder / 'hours'}"
    later = plan_of(config, *own, start, first=HOURS["last"])
    train(later, tmp_path / "later")
    facts = read_run(tmp_path / "later")
    assert facts["start"]["run"] == str(folder / "hours")
    assert facts["start"]["full"] == str(folder / "full")
    assert facts["learned"]["until"] > read_run(folder / "hours")["learned"]["until"]
    full = plan_of(config, *TOWERS, f"train.start.run={tmp_path / 'later'}")
    with pytest.raises(TrainingError, match=r"E0503.*cannot start from the incremental") as refused:
        train(full, tmp_path / "full")
    assert str(folder / "full") in refused.value.help


def test_there_is_no_export_of_item_vectors(place, tmp_path):
    asked = ["export", "--run", str(place[0] / "hours"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, asked)
    assert result.exit_code == 6 and "E0503" in result.stderr
    assert "published/user.user_id.parquet" in result.stderr
    assert not (tmp_path / "out").exists()


def test_another_student_is_refused(place, tmp_path):
    _, config, own = place
    for change in ("train.model.dim=5", "train.fields.item=[{kind: id, column: item_id}]"):
        with pytest.raises(ConfigError, match="E0105"):
            train(plan_of(config, *own, change, **HOURS), tmp_path / "run")


def test_two_halves_of_the_time_are_the_whole_of_it(place):
    _, config, own = place
    sizes = [
        plan_of(config, *own, first=first, last=last).learned.span().num
        for first, last in [(HOURS["first"], NOON), (NOON, HOURS["last"]), HOURS.values()]
    ]
    assert min(sizes) > 5 and sizes[0] + sizes[1] == sizes[2]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"first": "2026-11-03", "last": "2026-11-09"}, "E0105"),
        ({"first": HOURS["last"], "last": HOURS["first"]}, "E0105"),
        ({"first": "2026-11-02 at six"}, "E0102"),
    ],
)
def test_days_and_times_that_are_none_are_refused(place, asked, code):
    with pytest.raises(ConfigError, match=code):
        plan_of(place[1], **asked)


def test_days_narrow_what_is_trained_on_and_not_what_is_validated_on(place):
    plan = plan_of(place[1], first="2026-11-02", last="2026-11-02")
    assert plan.dts == ["2026-11-02"]
    assert {piece.dt for piece in plan.learned.pieces} == {"2026-11-02"}
    at = datetime(2026, 11, 2, tzinfo=UTC)
    assert plan.learned.span().first >= int(at.timestamp() * 1e6)


@pytest.mark.parametrize("change", ["train.start.run=null", "train.epochs=2"])
def test_a_config_that_is_no_incremental_run_is_refused(place, change):
    _, config, own = place
    with pytest.raises(UserErrors, match="incremental"):
        plan_of(config, *own, change)


def test_killed_and_resumed_it_publishes_the_same(place, tmp_path):
    folder, config, own = place
    seen = []

    def kill(event, **_):
        seen.append(event)
        if seen.count("progress") == 3:
            raise KeyboardInterrupt

    plan = plan_of(config, *own, **HOURS)
    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path / "run", notify=kill)
    train(plan, tmp_path / "run")
    whole, again = (read_run(at) for at in (folder / "hours", tmp_path / "run"))
    assert whole["published"] == again["published"] and whole["run"] == again["run"]
