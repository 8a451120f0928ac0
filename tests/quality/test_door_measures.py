"""Rows at the door (Q01, Q02, Q04), hours (Q31), label maturity (Q29), teachers (Q34)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rankdistill.lists.batch import STAGES
from rankdistill.quality.facts import Facts
from rankdistill.quality.measures.hours import cut_off
from rankdistill.quality.metrics import Day, metrics
from rankdistill.quality.state import Remembered
from tests.quality.lists_kit import awkward, told
from tests.quality.measured import START, bad, built, clean_log, days, frame, measures

EPOCH = pd.Timestamp(0, tz="UTC")
OURS = {"Q01", "Q02", "Q03", "Q04", "Q23", "Q24", "Q25", "Q26", "Q27", "Q28", "Q29", "Q31", "Q34"}


def of_ours(found):
    return {i: verdict for i, verdict in bad(found).items() if i in OURS}


def test_a_clean_log_fires_nothing_and_loses_no_row(tmp_path):
    log = clean_log()
    found = measures(built(tmp_path, log))
    assert not of_ours(found)
    assert [found[i]["value"] for i in ("Q01", "Q02", "Q04")] == [0, 0, 0]
    assert [found[i]["n"] for i in ("Q01", "Q02", "Q04")] == [len(log)] * 3


def test_repeated_rows_are_counted_by_whether_they_are_equal(tmp_path):
    log = clean_log()
    equal, differing = log.iloc[:30], log.iloc[100:120].assign(teacher_score=9.0)
    log = pd.concat([log, equal, differing])
    found = measures(built(tmp_path, log))
    distinct = len(log.drop_duplicates(["request_id", "item_id"]))
    assert found["Q02"]["value"] == pytest.approx(1 - distinct / len(log))
    assert found["Q02"]["parts"] == pytest.approx(
        {"equal": 30 / len(log), "differing": 20 / len(log)}
    )
    assert of_ours(found) == {"Q02": "warn" if 50 / len(log) <= 0.01 else "fail"}
    assert found["Q01"]["value"] == 0


def test_examples_name_the_rows_that_were_set_aside(tmp_path):
    log = clean_log()
    equal, differing = log.iloc[30:33], log.iloc[100:102].assign(teacher_score=9.0)
    log = pd.concat([log, equal, differing])
    log.iloc[70, log.columns.get_loc("teacher_score")] = np.inf
    found = measures(built(tmp_path, log))
    rows = {
        "equal to the row that is used": equal,
        "differs from the row that is used": differing,
    }
    expected = {
        (str(row.request_id), str(row.item_id), note)
        for note, of_note in rows.items()
        for row in of_note.itertuples()
    }
    assert {tuple(e.values()) for e in found["Q02"]["examples"]} == expected
    bad = (str(log.request_id.iloc[70]), str(log.item_id.iloc[70]), "infinite")
    assert [tuple(e.values()) for e in found["Q04"]["examples"]] == [bad]


def test_bad_scores_are_counted_by_kind_among_ranked_rows(tmp_path):
    log = clean_log()
    log.loc[[3, 50], "teacher_score"] = np.inf
    log.loc[[7], "teacher_score"] = None
    found = measures(built(tmp_path, log))["Q04"]
    assert found["value"] == pytest.approx(3 / len(log))
    assert found["parts"] == pytest.approx(
        {"nan": 0, "infinite": 2 / len(log), "null": 1 / len(log)}
    )
    assert found["verdict"] == "warn"


def of_door(used: int, dt: str = "2026-11-01", **door: int) -> dict:
    """What Q01 says of a day of which so many rows were used."""
    state = {"Q01": Remembered({"": {"used": used}} if used else {})}
    day = Day(dt, Facts(), {}, {name.replace("__", "."): n for name, n in door.items()}, state)
    return next(m for m in metrics([day], {})["measures"] if m["id"] == "Q01")


@pytest.mark.parametrize(
    ("used", "rejected", "verdict"),
    [
        (900, 100, "ok"),
        (899, 101, "warn"),
        (700, 300, "warn"),
        (699, 301, "fail"),
        (0, 1000, "fail"),
        (10, 89, "ok"),  # of so few a broken clock may have made a day
    ],
)
def test_many_rejected_rows_are_told(used, rejected, verdict):
    found = of_door(used, rows_in=used + rejected, rejected__rank_below_base=rejected)
    assert (found["value"], found["verdict"]) == (0, verdict)


@pytest.mark.fault("17", "an empty day, as Q01 tells", times=1)
def test_an_empty_day_warns_and_rows_of_no_day_make_none(trial):
    found = of_door(0)
    assert (found["value"], found["verdict"], found["note"]) == (None, "warn", "no row came in")
    assert found["verdicts"]["used"] == "warn"
    assert of_door(0, rows_in=7, rejected__dt_missing=7)["verdicts"]["used"] == "warn"
    assert of_door(0, "undated", rows_in=700, rejected__dt_missing=700)["verdict"] == "ok"
    # Of days computed again without what a build kept, nothing is known of the door.
    assert of_door(5)["verdict"] == "not applicable"


def test_bad_scores_are_a_share_of_what_the_ranker_saw(tmp_path):
    log = clean_log()
    dropped = log["rank"] > 30
    log["rank"] = log["rank"].astype("Int32")
    log.loc[dropped, ["rank", "teacher_score"]] = None  # of no fault: it never came so far
    log.loc[[3, 50, 90], "teacher_score"] = None
    found = measures(built(tmp_path, log))["Q04"]
    assert (found["value"], found["n"]) == (pytest.approx(3 / (~dropped).sum()), (~dropped).sum())


def test_a_score_is_bad_in_three_ways():
    rows = awkward(80)
    seen = sum(STAGES[row["stage"]] >= STAGES["ranked"] for row in rows if "item_id" in row)
    door = {"rejected.score_nan": 1, "rejected.score_infinite": 2, "rejected.score_null": 4}
    found = told("Q04", rows, **door, **{"rejected.item_id_missing": 8}).reading
    assert (found.value, found.n) == (7 / (seen + 7), seen + 7)
    assert found.parts == {
        k: n / (seen + 7) for k, n in zip(("nan", "infinite", "null"), (1, 2, 4), strict=True)
    }


def test_rows_are_used_or_rejected_and_what_was_left_out_on_purpose_is_neither():
    rows = awkward(80)
    used = sum("item_id" in row for row in rows)
    door = {"rows_in": used + 9, "rejected.score_nan": 4, "rejected.duplicate_equal": 5}
    found = told("Q01", rows, **door, **{"skipped.other_dt": 70}).reading
    assert (found.value, found.n) == (0, used + 9)
    assert found.parts == {"used": used / (used + 9), "rejected": 9 / (used + 9)}
    assert told("Q01", rows, **{**door, "rows_in": used + 7}).reading.value == 2  # two too many
    repeats = told("Q02", rows, **door, **{"rejected.duplicate_differing": 2}).reading
    assert (repeats.value, repeats.n) == (7 / (used + 9), used + 9)


def test_a_day_whose_lists_lack_rows_is_told(tmp_path):
    (day, *_) = days(built(tmp_path, clean_log()))
    used = day.states["Q01"].segments[""]
    used["used"] -= 5
    lost = next(m for m in metrics([day], {})["measures"] if m["id"] == "Q01")
    assert (lost["value"], lost["verdict"], lost["note"]) == (5, "fail", "5 rows lost")


@pytest.mark.fault("17", "hours without a request, as Q31 tells", times=1)
def test_hours_without_a_request_are_those_of_the_worst_day(tmp_path, trial):
    log = clean_log()
    hour, day = log.request_time.dt.hour, log.request_time.dt.day
    found = measures(built(tmp_path, log[(day == 1) | ~hour.isin([3, 4])]))["Q31"]
    assert found["value"] == 2
    assert [d["value"] for d in found["days"].values()] == [0, 2]
    left = log[(day == 2) & ~hour.isin([3, 4])].drop_duplicates("request_id")
    counts = left.request_time.dt.hour.value_counts().reindex(range(24), fill_value=0)
    assert found["histogram"]["hour"]["counts"] == counts.tolist()


@pytest.mark.fault("17", "hours and volume lost against the week before", times=1)
def test_volume_and_lost_hours_are_held_against_the_week_before(tmp_path, trial):
    (day, *_) = days(built(tmp_path, clean_log(per_day=480, length=3)))

    def told(hours, *, num_past=7):
        state = {"hour": hours}
        past = [replace(day, dt=f"2026-10-{n:02}") for n in range(1, num_past + 1)]
        held = Remembered({"": state})
        today = replace(day, states={**day.states, "Q31": held})
        document = metrics([today], {}, past)
        found = next(m for m in document["measures"] if m["id"] == "Q31")
        return found["parts"], found["verdicts"]

    usual = day.states["Q31"].segments[""]["hour"]
    assert usual == [20] * 24
    assert told(usual)[1] == {"": "ok", "volume": "ok", "lost_hours": "ok"}
    parts, verdicts = told([0, 0, *usual[2:]])
    assert parts["lost_hours"] == 2 and verdicts["lost_hours"] == "fail"
    assert parts["volume"] == pytest.approx(math.log2(480 / 440)) and verdicts["volume"] == "ok"
    assert told([10] * 24)[1]["volume"] == "warn"  # half, less what chance may do
    assert told([3] * 24)[1]["volume"] == told([200] * 24)[1]["volume"] == "fail"
    assert told([3] * 24, num_past=6)[1]["volume"] == "not applicable"


def test_labels_are_young_within_the_window_before_the_last_request(tmp_path):
    log = clean_log()
    # On whole ticks (an hour is a 24th of a day), so that the oracle needs none.
    log["request_time"] = log.request_time.dt.floor("h")
    found = measures(built(tmp_path, log, quality={"attribution_window": "1d"}))["Q29"]
    clicked = log[log.click == 1]
    end = log.request_time.max() + pd.Timedelta("1h")
    second = clicked[clicked.request_time.dt.day == 2]
    closed = second.request_time + pd.Timedelta("1h") + pd.Timedelta("1d") <= end
    assert found["value"] == pytest.approx(1 - closed.mean())
    assert found["n"] == len(second)
    first = found["days"]["2026-11-01"]
    first_clicks = clicked[clicked.request_time.dt.day == 1]
    is_young = first_clicks.request_time + pd.Timedelta("25h") > end
    assert first["value"] == pytest.approx(is_young.mean())
    assert found["verdict"] == "fail"


@pytest.mark.parametrize("window", ["5h", "26h", "30s"])
def test_young_labels_are_told_to_a_tick_of_the_window(tmp_path, window):
    log = clean_log()
    found = measures(built(tmp_path, log, quality={"attribution_window": window}))["Q29"]
    clicked, span = log[log.click == 1], pd.Timedelta(window)
    tick, end = max(span / 24, pd.Timedelta("1min")), log.request_time.max()
    for dt, of_day in found["days"].items():
        times = clicked.request_time[clicked.request_time.dt.strftime("%Y-%m-%d") == dt]
        first, last = (t - (t - EPOCH) % tick for t in (times, end))
        assert of_day["value"] == pytest.approx((first + span > last).mean())
        least, most = ((times + span + d > end).sum() for d in (-tick, tick))
        assert least <= round(of_day["value"] * of_day["n"]) <= most


def test_without_a_window_no_label_is_young(tmp_path):
    found = measures(built(tmp_path, clean_log()))["Q29"]
    assert found["verdict"] == "not applicable"
    assert found["why"] == "quality.attribution_window is not set"
    assert cut_off([], Facts()) is None


def test_two_teachers_on_one_day_warn_and_tell_how_far_their_scores_lie_apart(tmp_path):
    log = clean_log()
    mixed = (log.request_id % 3 == 0) & (log.request_time.dt.day == 2)
    log.loc[mixed, "teacher_version"] = "v2"
    log.loc[mixed, "teacher_score"] += 1.5
    found = measures(built(tmp_path, log))
    assert of_ours(found) == {"Q34": "warn"}
    assert (found["Q34"]["value"], [d["value"] for d in found["Q34"]["days"].values()]) == (
        2,
        [1, 2],
    )
    second = log[log.request_time.dt.day == 2]
    scores = [second.teacher_score[second.teacher_version == v] for v in ("v1", "v2")]
    edges = np.quantile(scores[0], np.linspace(0, 1, 21)[1:-1])  # 20 bins of about as many rows
    held = [np.bincount(np.searchsorted(edges, s), minlength=20) + 0.5 for s in scores]
    p, q = (counts / counts.sum() for counts in held)
    by_hand = ((p - q) * np.log(p / q)).sum()
    assert found["Q34"]["parts"]["score_psi"] == pytest.approx(by_hand, rel=0.2)
    assert by_hand > 1


def test_too_many_versions_name_no_teacher(tmp_path):
    log = clean_log().assign(teacher_version=lambda log: log.request_id.astype(str))
    found = measures(built(tmp_path, log, quality={"segments": []}))["Q34"]
    assert (found["value"], found["verdict"]) == (51, "warn")
    assert "more than 50 values" in found["note"]


def test_days_of_one_build_end_together_and_are_one_configuration(tmp_path):
    data_set = built(tmp_path, clean_log(), quality={"attribution_window": "1h"})
    found = days(data_set)
    assert len({day.facts.cut_off for day in found}) == 1
    later = [replace(found[0], facts=replace(found[0].facts, cut_off=1)), found[1]]
    assert metrics(later, {})["configs"] == 1
    last = frame(data_set, "lists").request_time.max()
    ended = START + pd.Timedelta(found[0].facts.cut_off - START.value // 1000, unit="us")
    assert 0 <= (ended - last).total_seconds() <= 150


def test_feedback_that_fell_silent_is_told_by_the_days_before(tmp_path):
    log = clean_log()
    second = log.request_time.dt.day == 2
    log.loc[second & log.click.notna(), "click"] = 0
    found = measures(built(tmp_path, log))["funnel"]
    assert [day["verdict"] for day in found["days"].values()] == ["ok", "warn"]
    assert found["verdict"] == "warn"


@pytest.mark.parametrize(
    ("exposed", "clicks", "verdict", "note"),
    [
        (3_000, 0, "warn", "no feedback: click, like"),
        (3_000, 1, "ok", ""),  # who clicks need not like
        (2_999, 0, "ok", ""),  # of few it may be chance
        (0, 0, "not applicable", "nothing to measure"),
    ],
)
def test_no_feedback_at_all_is_told_without_a_past(exposed, clicks, verdict, note):
    state = {"last_stage": [0, 0, 0, 0, 0, exposed], "feedback.click": clicks}
    facts = Facts(feedback=("click", "like"))
    day = Day("2026-11-01", facts, {}, {}, {"funnel": Remembered({"": state})})
    found = next(m for m in metrics([day], {})["measures"] if m["id"] == "funnel")
    assert (found["verdict"], found["note"] or found["why"]) == (verdict, note)
