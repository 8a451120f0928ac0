"""Measures across requests (Q03, Q23 to Q28): pandas over the tables, defects, engines, batches."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from rankdistill.hashing import light
from rankdistill.plan import plan
from rankdistill.quality.across import content_key
from rankdistill.quality.across_sums import inequality, occurrences
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import PastDay, Reading, Shared
from rankdistill.quality.measures import MEASURES
from rankdistill.quality.measures.items import divergence, gini
from rankdistill.quality.metrics import judged_day, metrics
from rankdistill.quality.options import QualityOptions
from rankdistill.quality.watch import Watch
from rankdistill.settings import Settings
from tests.builders import large_lists
from tests.quality.measured import bad, built, clean_log, days, frame, measures

ACROSS = ("Q03", "Q23", "Q24", "Q25", "Q26", "Q27", "Q28")
SPLIT = {"train_until": "2026-11-02T00:00:00Z"}
NEGATIVES = {
    "samples": {
        "pointwise": {"top_k": 3, "negatives": {"kind": "ratio", "ratio": 1}},
        "negatives": {"num": 8, "mix": {"popular": 0.6, "tail": 0.4}, "history_window": "2d"},
    },
    "catalogue": {"window": "2d", "own_day": True, "allow_short_history": True},
}


def of_ours(found):
    return {i: verdict for i, verdict in bad(found).items() if i in ACROSS}


def copied(log, requests, *, first_id, later="0s", users=None):
    """The rows of some requests once more, under other ids."""
    rows = log[log.request_id.isin(requests)].copy()
    rows["request_id"] += first_id
    rows["request_time"] += pd.Timedelta(later)
    return rows if users is None else rows.assign(user_id=users)


def contents(log, *, minute=True):
    """One row per request: id, split, and its content in plain Python."""
    rows = []
    for request_id, own in log.sort_values("rank").groupby("request_id"):
        time = own.request_time.iloc[0]
        content = (own.user_id.iloc[0], tuple(own.item_id))
        content += (time.floor("min"),) if minute else ()
        split = "train" if time < pd.Timestamp(SPLIT["train_until"]) else "valid"
        rows.append({"request_id": request_id, "split": split, "content": content})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("text_ids", [False, True])
def test_repeated_content_is_found_under_another_id_within_the_minute(tmp_path, text_ids):
    log = clean_log()
    log["request_time"] = log.request_time.dt.floor("min")
    again = copied(log, range(5), first_id=1000, later="30s")
    shuffled = copied(log, [7], first_id=2000, later="59s").sample(frac=1, random_state=0)
    shuffled["rank"] = np.arange(1, len(shuffled) + 1)  # another order is another list
    log = pd.concat(
        [
            log,
            again,
            shuffled,
            copied(log, [8], first_id=3000, later="90s"),
            copied(log, [9], first_id=4000, users=99),
            copied(log, [10], first_id=5000).iloc[1:],
        ]
    )
    if text_ids:
        log["item_id"] = "item-of-the-catalogue-" + log.item_id.astype(str)
    found = measures(built(tmp_path, log))
    rows = contents(log)
    expected = rows.groupby("content").request_id.transform("nunique") > 1
    assert expected.sum() == 10
    assert found["Q03"]["value"] == pytest.approx(expected.mean())
    assert found["Q03"]["n"] == len(rows)
    assert {e["request_id"] for e in found["Q03"]["examples"]} == set(rows.request_id[expected])
    assert of_ours(found) == {"Q03": "fail"}


def test_valid_content_that_train_has_is_a_leak(tmp_path):
    log = clean_log()
    # The last train request two seconds before the split, its copy four seconds later.
    last = log.request_id == 59
    log.loc[last, "request_time"] = pd.Timestamp("2026-11-01T23:59:58Z")
    split = {"train_until": "2026-11-01T23:59:59Z"}
    log = pd.concat(
        [
            log,
            copied(log, [59], first_id=1000, later="1s"),
            copied(log, range(10, 14), first_id=2000, later="1d"),
        ]
    )
    found = measures(built(tmp_path, log, split=split))
    rows, same = contents(log), contents(log, minute=False)
    for table in (rows, same):
        table.loc[table.request_id == 1059, "split"] = "valid"
    leaks = []
    for table in (rows, same):
        train = set(table.content[table.split == "train"])
        leaks.append(table.content[table.split == "valid"].isin(train).mean())
    assert found["Q28"]["value"] == pytest.approx(leaks[0])
    assert found["Q28"]["parts"]["same_list"] == pytest.approx(leaks[1])
    assert leaks[0] * found["Q28"]["n"] == pytest.approx(1)
    assert leaks[1] * found["Q28"]["n"] == pytest.approx(5)
    assert found["Q28"]["verdict"] == "fail"
    assert not {"Q27"} & set(of_ours(found))


def test_a_request_id_in_two_splits_is_a_leak_of_time(tmp_path):
    log = clean_log()
    log["dt"] = log.request_time.dt.strftime("%Y-%m-%d")
    again = copied(log, [3, 4], first_id=0, later="1d", users=7)
    again["dt"], again["item_id"] = "2026-11-02", again.item_id + 1000
    data_set = built(tmp_path, pd.concat([log, again]), split=SPLIT, dt={"from": "partition"})
    found = measures(data_set)
    assert found["Q27"]["value"] == 4  # either half of both
    assert found["Q27"]["parts"]["requests_in_two_splits"] == 4
    assert {e["request_id"] for e in found["Q27"]["examples"]} == {3, 4}
    assert of_ours(found) == {"Q27": "fail"}


def test_train_rows_of_a_later_time_are_counted_by_the_tables_alone():
    lists = large_lists(6, 3)  # split train, 1970
    chosen = QualityOptions(segments=()).model_dump(mode="json")
    facts = Facts(split={"train_until": "1970-01-01T00:00:00.000004Z"}, measures=chosen)
    watch = Watch(facts)
    watch.see("lists", "2026-11-21", lists)
    state = watch.states.of("2026-11-21", "Q27").segments[""]
    assert state == {"train": 6, "late": 2}


def gini_by_hand(values):
    """The mean difference of all pairs, over twice the mean."""
    x = np.asarray(values, dtype=float)
    return np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean())


def test_repetition_inequality_and_coverage_are_those_of_the_tables(tmp_path):
    data_set = built(tmp_path, clean_log(), **NEGATIVES)
    found = measures(data_set)
    assert not of_ours(found)
    names = ("lists", "negatives", "pointwise")
    lists, negatives, points = (frame(data_set, name) for name in names)
    logged = lists[["dt", "user_id", "item_id", "rank"]].explode(["item_id", "rank"])
    by_day = {}
    for dt in ("2026-11-01", "2026-11-02"):
        log, drawn, held = (t[t.dt == dt] for t in (logged, negatives, points))
        counts = drawn.item_id.value_counts()
        positives = log.item_id[log["rank"] <= 3].value_counts()
        by_day[dt] = {
            "Q23": counts.max() / len(drawn),
            "Q25": abs(gini_by_hand(positives) - gini_by_hand(log.item_id.value_counts())),
            "Q26": held.item_id.nunique() / log.item_id.nunique(),
            "distinct": counts.size / len(drawn),
            "excess": (counts.max() - 10) / len(drawn) - 5 / log.item_id.nunique(),
            "negatives": gini_by_hand(counts),
            "covered": counts.size / log.item_id.nunique(),
            "users": pd.concat([held, drawn]).user_id.nunique() / log.user_id.nunique(),
        }
    for name in ("Q23", "Q25", "Q26"):
        own = [d["value"] for d in found[name]["days"].values()]
        assert own == pytest.approx([by_day[dt][name] for dt in by_day]), name
    assert found["Q23"]["value"] == pytest.approx(max(d["Q23"] for d in by_day.values()))
    assert found["Q26"]["value"] == pytest.approx(min(d["Q26"] for d in by_day.values()))
    for dt, of_day in by_day.items():
        (day,) = (day for day in days(data_set) if day.dt == dt)
        told = {name: j.reading for name, j in judged_day(day, {}).items()}
        assert told["Q23"].parts["distinct"] == pytest.approx(of_day["distinct"])
        assert told["Q23"].parts["excess"] == pytest.approx(max(0, of_day["excess"]))
        assert told["Q25"].parts["negatives"] == pytest.approx(of_day["negatives"])
        assert told["Q26"].parts["negatives"] == pytest.approx(of_day["covered"])
        assert told["Q26"].parts["users"] == pytest.approx(of_day["users"])
        top = negatives[negatives.dt == dt].item_id.value_counts()
        shown = day.states["Q23"].examples[0]
        assert top[shown[2]] == top.max()
        assert shown[3] == f"drawn {top.max()} times"


def test_one_item_drawn_again_and_again_is_told(tmp_path):
    (day, *_) = days(built(tmp_path, clean_log(), **NEGATIVES))
    assert day.states["Q23"].segments[""]["top"] < 60
    day.states["Q23"].segments[""]["top"] = 120
    found = judged_day(day, {})
    assert found["Q23"].verdict == "fail"


def test_coverage_and_inequality_are_held_against_the_days_before(tmp_path):
    (day, *_) = days(built(tmp_path, clean_log(), **NEGATIVES))
    now = {name: j.reading for name, j in judged_day(day, {}).items()}

    def judged(*, items, positive, num_days):
        q25 = Reading(0.1, 1, {**now["Q25"].parts, "positive": positive})
        past = PastDay("", {"Q25": q25, "Q26": Reading(items, 1, {"items": items})})
        found = judged_day(day, {}, [past] * num_days)
        return found["Q26"].verdict, found["Q25"].verdict

    items, positive = now["Q26"].parts["items"], now["Q25"].parts["positive"]
    assert judged(items=items, positive=positive, num_days=7) == ("ok", "ok")
    assert judged(items=items / 0.9, positive=positive - 0.1, num_days=7) == ("warn", "warn")
    assert judged(items=items / 0.7, positive=positive - 0.2, num_days=7) == ("fail", "fail")
    assert judged(items=items / 0.7, positive=positive - 0.2, num_days=6) == ("ok", "ok")


def states(data_set):
    return [(day.dt, name, day.states[name].as_json()) for day in days(data_set) for name in ACROSS]


def test_batches_and_threads_do_not_change_a_state(tmp_path):
    log = pd.concat([clean_log(), copied(clean_log(), range(5), first_id=1000)])
    engines = ({"kind": "duckdb", "threads": 3, "batch_rows": 1000}, {"kind": "duckdb"})
    found = [
        states(built(tmp_path / str(n), log, engine=engine, split=SPLIT, **NEGATIVES))
        for n, engine in enumerate(engines)
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 2 * len(ACROSS)


@pytest.mark.spark
def test_spark_finds_the_same_states(tmp_path, spark):
    log = pd.concat([clean_log(), copied(clean_log(), range(5), first_id=1000)])
    log["item_id"] = log.item_id.astype(str)
    found = [
        states(built(tmp_path / kind, log, engine={"kind": kind}, split=SPLIT, **NEGATIVES))
        for kind in ("duckdb", "spark")
    ]
    assert found[0] == found[1]


def test_what_is_staged_across_requests_is_gone_with_the_build_and_named_by_plan(tmp_path):
    data_set = built(tmp_path, clean_log(), **NEGATIVES)
    assert not [path for path in data_set.root.iterdir() if path.name.startswith("_across")]
    settings = {
        "output": str(tmp_path / "none"),
        "log": {"path": str(tmp_path / "log.parquet"), "columns": {"feedback": ["click"]}},
        **NEGATIVES,
    }
    shown = plan(Settings.model_validate(settings)).text()
    assert "hashed requests, users, items of negatives to their measures" in shown
    off = plan(Settings.model_validate({**settings, "quality": {"measure": False}})).text()
    assert "to their measures" not in off


def test_nothing_across_requests_is_staged_where_nothing_is_measured(tmp_path):
    plain = built(tmp_path / "a", clean_log(), **{**NEGATIVES, "quality": {"measure": False}})
    told = built(tmp_path / "b", clean_log(), **NEGATIVES)
    for table in ("items", "negatives"):
        assert plain.content_hash(table) == told.content_hash(table)


def test_light_hashes_tell_integers_and_texts_apart():
    texts = [f"{'x' * (n % 23)}{n}" for n in range(20_000)]
    for column in (pa.array(texts), pa.array(range(20_000)), pa.array(["", "a", "b", "ab"])):
        hashed = light(column)
        assert len(set(hashed.tolist())) == len(column)
        assert light(column.slice(2, 2)).tolist() == hashed[2:4].tolist()
    assert light(pa.array([], pa.string())).tolist() == []


def test_content_does_not_depend_on_the_batch():
    lists = large_lists(4, 5)
    turned = lists.take(np.array([2, 0]))
    assert content_key(turned).tolist() == content_key(lists)[[2, 0]].tolist()
    assert len(set(content_key(lists).tolist())) == 4


def test_gini_and_divergence_are_their_formulas():
    values = np.random.default_rng(3).integers(1, 30, 200)
    assert gini(*inequality(occurrences(values), "x").values()) == pytest.approx(
        gini_by_hand(values)
    )
    assert gini(3, 9, 0) == 0
    assert divergence([1, 1], [3, 1]) == pytest.approx(
        0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    )
    assert divergence([0, 0], [3, 1]) is None


def test_the_worst_day_speaks_for_all_where_states_do_not_add_up(tmp_path):
    found = days(built(tmp_path, clean_log(), **NEGATIVES))
    for day, top in zip(found, (5, 200), strict=True):
        day.states["Q23"].segments[""]["top"] = top
    (told,) = (m for m in metrics(found, {})["measures"] if m["id"] == "Q23")
    assert told["value"] == pytest.approx(told["days"]["2026-11-02"]["value"])
    assert told["verdict"] == "fail"


def test_what_coverage_is_of_follows_what_was_counted():
    shared = Shared(Facts())
    users = {"users.logged": 4, "users.sampled": 3}
    read = MEASURES["Q26"].read
    assert read(users, shared).what.startswith("users of the log")
    assert read(users | {"items.logged": 9, "items.sampled": 6}, shared).what == ""
