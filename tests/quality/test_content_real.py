"""Real requests held against each other (Q03, Q27, Q28) and against the end of their log (Q29):
pandas over the raw rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest

from rankdistill.lists.batch import Lists
from rankdistill.quality.facts import Facts
from rankdistill.quality.watch import Watch
from tests.quality.cascade_kit import DAYS, built_cascade, cascade
from tests.quality.measured import built, days, measures
from tests.quality.real_kit import needs_real_logs, trec_run

pytestmark = needs_real_logs
DEPTH, STEP = 30, pd.Timedelta("50s")
NOON = pd.Timestamp("2026-11-01T12:00:00Z")
# Amid a minute: the 36th query came before it, again in the gap, and again after it.
SPLIT = {"train_until": "2026-11-01T12:29:15Z", "gap": "30s", "valid_until": "2026-11-02"}


def first_of_queries() -> pd.DataFrame:
    """The first documents of each query of both runs, a request each 50 seconds."""
    log = pd.concat([trec_run(name) for name in ("wt12", "wt13")])
    log = log[log["rank"] <= DEPTH].rename(columns={"request_id": "user_id"})
    number = pd.factorize(log.user_id)[0]
    return log.assign(request_id=number, request_time=NOON + number * STEP)


def retried() -> pd.DataFrame:
    """Queries that came again under another id, as they were or a bit different."""
    log = first_of_queries()
    again = [
        copied(log, 5, "20s"),  # within the minute, or not
        copied(log, 7, "45s"),
        copied(log, 7, "1d"),
        shorter(copied(log, 5, "13s")),
        shorter(copied(log, 5, "43s")),
        turned(copied(log, 6, "12s")),
        copied(log, 9, "3s").assign(user_id="another"),
    ]
    again = [rows.assign(request_id=rows.request_id + 1000 * n) for n, rows in enumerate(again, 1)]
    rows = pd.concat([log, *again], ignore_index=True)
    # No score: the order is the rank's. Nothing was shown.
    return rows.assign(teacher_version="run", position=np.nan, click=np.nan).drop(
        columns="teacher_score"
    )


def copied(log, every, later):
    rows = log[log.request_id % every == 0]
    return rows.assign(request_time=rows.request_time + pd.Timedelta(later))


def shorter(rows):
    """Without their first documents."""
    return rows[rows["rank"] > 1].assign(rank=lambda t: t["rank"] - 1)


def turned(rows):
    """In the opposite order."""
    last = rows.groupby("request_id")["rank"].transform("max")
    return rows.assign(rank=last + 1 - rows["rank"])


def requests_of(log):
    """One row per request: its time, dt, split, and content without and with the minute."""
    by_request = log.sort_values("rank").groupby("request_id")
    found = by_request.agg(
        user=("user_id", "first"), time=("request_time", "first"), items=("item_id", tuple)
    )
    found["dt"] = found.time.dt.strftime("%Y-%m-%d")
    found["split"] = splits(found.time, **SPLIT)
    found["same"] = list(zip(found.user, found["items"], strict=True))
    found["content"] = list(zip(found.same, found.time.dt.floor("min"), strict=True))
    return found


def splits(time, train_until, gap, valid_until):
    end = pd.Timestamp(train_until)
    edges = [end, end + pd.Timedelta(gap), pd.Timestamp(valid_until, tz="UTC")]
    names = np.array(["train", "gap", "valid", "test"])
    return names[np.sum([(time >= edge).to_numpy() for edge in edges], axis=0)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queries")
    return measures(built(folder, retried(), split=SPLIT))


def test_queries_that_came_again_are_repeated_content(found):
    rows = requests_of(retried())
    is_repeated = rows.groupby("content").content.transform("size") > 1
    assert found["Q03"]["value"] == pytest.approx(is_repeated.mean())
    assert found["Q03"]["n"] == len(rows)
    for dt, own in rows.groupby("dt"):
        told = found["Q03"]["days"][dt]
        assert told["value"] == pytest.approx(is_repeated[own.index].mean())
        assert told["n"] == len(own)
    shown = {e["request_id"] for e in found["Q03"]["examples"]}
    assert shown and shown <= set(rows.index[is_repeated])
    assert 0.2 < is_repeated.mean() < 0.4


def test_queries_of_train_that_came_again_in_valid_and_test_are_leaks(found):
    rows = requests_of(retried())
    train, later = rows[rows.split == "train"], rows[rows.split.isin(["valid", "test"])]
    leaked, same = (later[name].isin(train[name]) for name in ("content", "same"))
    parts = found["Q28"]["parts"]
    assert found["Q28"]["n"] == len(later) < len(rows) - len(train)  # some lie in the gap
    assert found["Q28"]["value"] == pytest.approx(leaked.mean()) and leaked.any()
    assert parts["same_list"] == pytest.approx(same.mean()) and same.sum() > leaked.sum()
    for name in ("valid", "test"):
        assert parts[name] == pytest.approx(leaked[later.split == name].mean())


def test_no_two_requests_of_ratings_are_alike(tmp_path):
    split = {"train_until": "1998-04-01T12:00:00Z"}
    found = measures(built_cascade(tmp_path, cascade(), split=split))
    rows = requests_of(cascade())
    num = (rows.time >= pd.Timestamp(split["train_until"])).sum()
    assert rows.content.is_unique and rows.same.is_unique
    assert (found["Q03"]["value"], found["Q03"]["n"]) == (0, len(rows))
    assert (found["Q28"]["value"], found["Q28"]["n"]) == (0, num)
    assert found["Q28"]["parts"]["same_list"] == found["Q27"]["value"] == 0


def test_ids_that_begin_anew_every_day_stand_in_several_splits(tmp_path):
    split = {"train_until": "1998-03-31T12:00:00Z", "gap": "18h", "valid_until": "1998-04-04"}
    log = cascade().assign(dt=cascade().day)
    log["request_id"] = log.groupby("dt").request_id.transform(lambda ids: pd.factorize(ids)[0])
    log.loc[log.dt.isin(["1998-04-02", "1998-04-03"]), "request_id"] += 1000  # of valid alone
    data_set = built_cascade(tmp_path, log, split=split, dt={"from": "partition"})
    found = measures(data_set)["Q27"]
    rows = log.groupby(["dt", "request_id"]).request_time.first().reset_index()
    rows["split"] = splits(rows.request_time, **split)
    used = rows[rows.split != "gap"]
    is_torn = used.groupby("request_id").split.transform("nunique") > 1
    assert 0 < is_torn.sum() < len(used) < len(rows)
    assert found["value"] == found["parts"]["requests_in_two_splits"] == is_torn.sum()
    assert found["n"] == (rows.split == "train").sum()
    assert {e["request_id"] for e in found["examples"]} <= set(used.request_id[is_torn])
    per_day = is_torn.groupby(used.dt).sum()
    for dt, told in found["days"].items():
        assert (told["value"] or 0) == per_day.get(dt, 0)


def test_rows_of_train_after_an_earlier_end_of_it_are_late(tmp_path):
    split = {"train_until": "1998-04-03T00:00:00Z"}
    data_set = built_cascade(tmp_path, cascade(), split=split)
    times = cascade().groupby("request_id").request_time.first()
    train = times[times < pd.Timestamp(split["train_until"])]
    edge = train.sort_values().iloc[len(train) // 2]  # the time of a request
    is_late = train >= edge
    (facts,) = {day.facts.as_json() for day in days(data_set)}
    watch = Watch(replace(Facts.of_json(facts), split={**split, "train_until": edge.isoformat()}))
    for batch in data_set.read("lists"):
        for dt in batch.column("dt").unique().to_pylist():
            own = batch.filter(pc.equal(batch.column("dt"), dt))
            watch.see("lists", dt, Lists.from_rows(own, "rank", ("click",), {"click": 1}))
    for dt in DAYS[:6]:
        of_day = train.dt.strftime("%Y-%m-%d") == dt
        state = watch.states.of(dt, "Q27").segments[""]
        assert state["train"] == of_day.sum()
        assert state.get("late", 0) == (of_day & is_late).sum()
    assert 0 < is_late.sum() < len(train)


@pytest.mark.parametrize("window", ["1d", "7h", "2d"])
def test_young_responses_are_those_whose_window_the_log_cuts(tmp_path, window):
    data_set = built_cascade(tmp_path, cascade(), quality={"attribution_window": window})
    found = measures(data_set)["Q29"]
    clicked = cascade()[cascade().click == 1]
    span, end = pd.Timedelta(window), cascade().request_time.max()
    tick = span / 24
    for dt, told in found["days"].items():
        times = clicked.request_time[clicked.day == dt]
        assert told["n"] == len(times)
        # By ticks, the first and the last of them whole ...
        first, last = (t // tick.value * tick.value for t in (times.astype("int64"), end.value))
        is_young = first + span.value > last
        assert told["value"] == pytest.approx(is_young.mean())
        # ... so no further than one from what it is to the microsecond.
        least, most = ((times + span + d > end).sum() for d in (-tick, tick))
        assert least <= round(told["value"] * told["n"]) <= most
    worst = max(told["value"] for told in found["days"].values())
    assert found["value"] == pytest.approx(worst)
    assert found["verdict"] == "fail"
