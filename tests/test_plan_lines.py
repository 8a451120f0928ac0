"""What `plan` says of a log and of the options that were filled in for it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from rankdistill.build import build
from rankdistill.plan import plan
from rankdistill.settings import Settings
from rankdistill.summary import build_summary

CASCADE = ("recalled", "preranked", "ranked", "ranked", "exposed", "exposed")


def feed(folder, rows, student="recall", **negatives):
    pq.write_table(pa.Table.from_pylist(rows), folder / "log.parquet")
    stage = {"from": "column", "column": "stage"}
    return Settings.model_validate(
        {
            "output": str(folder / "feed"),
            "student": student,
            "log": {"path": str(folder / "log.parquet"), "stage": stage},
            "catalogue": {"own_day": True},
            "samples": {"negatives": {"top_k": 1, **negatives}},
            "quality": {"fail_on": "never"},  # mixes that no log could give
        }
    )


def cascade(stages):
    return [
        {"request_id": r, "item_id": i, "stage": name, "rank": None if i < 3 else 7 - i}
        for r in range(3)
        for i, name in enumerate(stages, start=1)
    ]


def lines_of(planned, head):
    return [line for line in planned.lines if line.startswith(head)]


@pytest.mark.parametrize("student", ["recall", "prerank"])
def test_every_default_of_student_and_log_is_named_and_no_option_of_an_unused_source(
    tmp_path, student
):
    planned = plan(feed(tmp_path, cascade(CASCADE), student))
    (chosen,), (told,) = lines_of(planned, "student"), lines_of(planned, "negatives")
    recall = student == "recall"
    mix = (
        "popular 0.5, prerank_dropped 0.25, tail 0.25"
        if recall
        else ("prerank_dropped 0.5, tail 0.5")
    )
    assert f"it sets negatives.mix ({mix}), negatives.allow_exposed {str(not recall).lower()}" in (
        chosen
    )
    counted = "negatives.popular.count_of positive, " * recall
    assert chosen.endswith(f"; the log sets {counted}negatives.history_window null")
    assert ("popular (alpha 0.75" in told) == recall
    assert "tail share (share 0.75)" in told
    assert "mined" not in told and "curriculum" not in told


def test_a_log_of_exposed_items_only_is_called_so(tmp_path):
    shown = plan(feed(tmp_path, cascade(["exposed"] * 6), mix={"popular": 1.0}))
    assert lines_of(shown, "stages") == [
        "stages    exposed 100.0%; the log holds exposed items only"
    ]
    whole = plan(feed(tmp_path, cascade(CASCADE)))
    assert "exposed items only" not in lines_of(whole, "stages")[0]


def one_item(count):
    return [{"request_id": r, "item_id": r, "stage": "ranked", "rank": 1} for r in range(count)]


@pytest.mark.parametrize(
    ("mix", "end"),
    [
        ({"tail": 1.0}, "so nothing is left for tail and the table will be empty"),
        (
            {"tail": 0.5, "uniform": 0.5},
            "left for tail and only uniform can supply any",
        ),
    ],
)
def test_requests_of_one_candidate_are_told_before_and_after_a_build(tmp_path, mix, end):
    chosen = feed(tmp_path, one_item(4), mix=mix)
    made = build(chosen)
    for warnings in (plan(chosen).warnings, made.warnings):
        assert any("every request has one candidate" in t and end in t for t in warnings)
    empty = "empty: every request has one candidate, so none has another beside its positive"
    assert (empty in build_summary(made, "feed")) == ("uniform" not in mix)
    fine = feed(tmp_path, one_item(4) + cascade(CASCADE), mix=mix)
    assert not any("every request has one candidate" in text for text in plan(fine).warnings)


def test_single_exposures_of_the_open_bandit_preset_say_why_nothing_is_drawn(tmp_path):
    names = ["timestamp", "item_id", "position", "click", "propensity_score"]
    rows = {name: ["2019-11-24", "1", "1", "0", "0.1"][i] for i, name in enumerate(names)}
    features = {f"user_feature_{n}": "x" for n in range(4)}
    log = [{"": str(r), **rows, "click": str(r % 2), **features} for r in range(4)]
    pa.csv.write_csv(pa.Table.from_pylist(log), tmp_path / "log.csv")
    chosen = Settings.model_validate(_open_bandit(tmp_path))
    made = build(chosen)
    assert made.totals["negatives.rows"] == 0
    assert any("draw from the catalogue (popular, uniform)" in text for text in made.warnings)


def _open_bandit(folder: Path):
    from rankdistill.log.presets import PRESETS
    from rankdistill.settings import merged

    log = merged(PRESETS["open_bandit"], {"path": str(folder / "log.csv")})
    mix = {"exposed_unclicked": 1.0}
    samples = {"negatives": {"mix": mix, "positives": "feedback"}}
    return {
        "output": str(folder / "f"),
        "student": "prerank",
        "log": log,
        "samples": samples,
        "quality": {"fail_on": "never"},
    }
