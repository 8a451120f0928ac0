"""Negatives, items and users of a cascade of real ratings (Q20, Q22 to Q26), against pandas over
the raw rows and the rows of the written tables."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from rankdistill.quality.metrics import metrics
from tests.quality.cascade_kit import DAYS, built_cascade, cascade
from tests.quality.measured import days, frame, measures
from tests.quality.real_kit import needs_real_logs

pytestmark = needs_real_logs
STAGED = ["recall_dropped", "prerank_dropped", "tail", "exposed_unclicked"]
EASY, TOP_K = ["popular", "uniform"], 3
ROUNDED = 2**-20  # percentiles are summed as integers of so much
MIX = {**dict.fromkeys(STAGED, 0.1), "popular": 0.35, "uniform": 0.25}
SETTINGS = {
    "samples": {
        "pointwise": {"top_k": TOP_K, "negatives": {"kind": "ratio", "ratio": 1}},
        "pairwise": {"top_k": TOP_K, "max_pairs_per_request": 2},
        "negatives": {
            "top_k": TOP_K,
            "num": 20,
            "mix": MIX,
            "history_window": "2d",
            "allow_exposed": True,
            "popular": {"alpha": 0.6, "c": 2},
        },
    },
    "catalogue": {"window": "3d"},
}


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    return built_cascade(tmp_path_factory.mktemp("cascade"), cascade(), **SETTINGS)


@pytest.fixture(scope="module")
def negatives(data_set):
    return frame(data_set, "negatives")


@pytest.fixture(scope="module")
def by_day(data_set):
    """dt -> its measures, as held against the days before it."""
    known = days(data_set)
    assert [day.dt for day in known] == DAYS
    found = {}
    for n, day in enumerate(known):
        document = metrics([day], {}, known[:n])
        found[day.dt] = {m["id"]: m for m in document["measures"]}
    return found


def agree(found, wanted, within=1e-9):
    """The value (""), n and parts of a measure, or of a segment of it, are the wanted ones."""
    own = {"": found["value"], "n": found["n"], **found["parts"]}
    assert {name: own[name] for name in wanted} == {
        name: None if value is None else pytest.approx(value, rel=1e-9, abs=within)
        for name, value in wanted.items()
    }


def share(part, of):
    return part / of if of else None


def log_of(chosen):
    """The raw rows of some days."""
    return cascade()[cascade().day.isin(chosen)]


def clicks_of(chosen):
    """user_id, item_id and time of what was clicked on some days."""
    log = log_of(chosen)
    names = {"user_id": "user_id", "item_id": "item_id", "request_time": "clicked"}
    return log.loc[log.click == 1, [*names]].rename(columns=names)


def later(negatives):
    """Q20 of some rows, day by day what was known when the day was built."""
    rows = []
    for dt, own in negatives.groupby("dt"):
        at = DAYS.index(dt)
        known = clicks_of(DAYS[max(at - 2, 0) : at + 8])
        own = own.reset_index(drop=True).assign(row=lambda t: t.index)
        pairs = own.merge(known, on=["user_id", "item_id"])
        for name, span in (("1h", "1h"), ("1d", "1d"), ("7d", "7d")):
            until = pairs.request_time + pd.Timedelta(span)
            is_hit = (pairs.clicked > pairs.request_time) & (pairs.clicked <= until)
            own[f"told_{name}"] = own.request_time + pd.Timedelta(span) <= known.clicked.max()
            own[f"hit_{name}"] = own[f"told_{name}"] & own.row.isin(pairs.row[is_hit])
        rows.append(own)
    rows = pd.concat(rows)
    wanted = {"": share(rows.hit_1h.sum(), rows.told_1h.sum()), "n": rows.told_1h.sum()}
    for name in ("1h", "1d", "7d"):
        told, hit = rows[f"told_{name}"], rows[f"hit_{name}"]
        wanted[f"within_{name}"] = share(hit.sum(), told.sum())
        wanted[f"censored_{name}"] = 1 - told.mean()
        for source, of in rows.groupby("source"):
            wanted[f"within_{name}.{source}"] = share(
                of[f"hit_{name}"].sum(), of[f"told_{name}"].sum()
            )
    easy, hard = (rows[rows.source.isin(EASY) == is_easy] for is_easy in (True, False))
    shares = [share(of.hit_1d.sum(), of.told_1d.sum()) for of in (hard, easy)]
    is_enough = easy.hit_1d.sum() >= 20 and None not in shares
    return {**wanted, "hard_over_easy": shares[0] / shares[1] if is_enough else None}


def test_later_clicks_are_those_of_the_raw_log(data_set, negatives, by_day):
    found = measures(data_set)["Q20"]
    wanted = later(negatives)
    agree(found, wanted)
    assert 0 < wanted[""] < wanted["within_1d"] and 0 < wanted["censored_1d"] < 1
    assert wanted["hard_over_easy"] > 0
    for dt in DAYS:
        agree(by_day[dt]["Q20"], later(negatives[negatives.dt == dt]))
    scene = cascade().groupby("request_id").scene.first()
    of = negatives.request_id.map(scene)
    segments = {s["segment"]: s for s in found["segments"]}
    assert set(segments) == {"scene=F", "scene=M"}
    for name, told in segments.items():
        agree(told, later(negatives[of == name.removeprefix("scene=")]))


def hardness(negatives):
    """Q22: places among the candidates of the raw log, those of a stage without ranks alike."""
    log = cascade()
    behind = log.stage.map({"preranked": 10_000, "recalled": 20_000})
    place = log["rank"].astype(float).fillna(behind)
    by_request = place.groupby(log.request_id)
    percentile = 1 - (by_request.rank(method="average") - 1) / by_request.transform("size")
    log = log[["request_id", "item_id"]].assign(percentile=percentile)
    found = negatives.merge(log, on=["request_id", "item_id"]).groupby("source").percentile
    mean, num = found.mean(), found.size()
    staged = [name for name in STAGED if name in mean]
    steps = np.diff(mean[staged])
    return {
        "": steps.min() if len(steps) else None,
        "n": num[staged].sum() if len(steps) else 0,
        **{f"mean.{source}": value for source, value in mean.items()},
    }


def test_hardness_is_the_place_in_the_raw_list(data_set, negatives, by_day):
    found = measures(data_set)["Q22"]
    wanted = hardness(negatives)
    agree(found, wanted, within=ROUNDED)
    assert {f"mean.{source}" for source in MIX} <= set(wanted)
    for dt in DAYS:
        agree(by_day[dt]["Q22"], hardness(negatives[negatives.dt == dt]), within=ROUNDED)
    assert (
        sum(sum(h["counts"]) for h in found["histogram"].values())
        == negatives.merge(cascade(), on=["request_id", "item_id"]).shape[0]
    )


def inequality(counts):
    """The mean difference of all pairs, over twice the mean."""
    x = counts.to_numpy(dtype=float)
    return np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean())


def items_of(data_set):
    """dt -> the items that a pointwise or pairwise sample of the day holds."""
    points, pairs = frame(data_set, "pointwise"), frame(data_set, "pairwise")
    held = [points[["dt", "item_id"]]]
    for column in ("pos_item_id", "neg_item_id"):
        held.append(pairs[["dt", column]].set_axis(["dt", "item_id"], axis=1))
    return pd.concat(held).groupby("dt").item_id.agg(set)


def test_repetition_and_coverage_are_those_of_the_rows(data_set, negatives, by_day):
    held = items_of(data_set)
    tables = [frame(data_set, name) for name in ("pointwise", "pairwise", "negatives")]
    rows = pd.concat([table[["dt", "user_id"]] for table in tables])
    before = {"items": [], "users": []}
    for dt in DAYS:
        log, drawn = log_of([dt]), negatives[negatives.dt == dt]
        top, num = drawn.item_id.value_counts().max(), len(drawn)
        excess = max(0, (top - 10) / num - 5 / log.item_id.nunique())
        distinct = drawn.item_id.nunique()
        repeated = {"": top / num, "n": num, "distinct": distinct / num, "excess": excess}
        agree(by_day[dt]["Q23"], repeated)
        wanted = {
            "items": len(held[dt]) / log.item_id.nunique(),
            "users": rows.user_id[rows.dt == dt].nunique() / log.user_id.nunique(),
        }
        drops = {f"{name}_drop": dropped(before[name], wanted[name]) for name in wanted}
        covered = distinct / log.item_id.nunique()
        whole = {"": wanted["items"], "n": log.item_id.nunique(), "negatives": covered}
        agree(by_day[dt]["Q26"], {**whole, **wanted, **drops})
        for name, of in before.items():
            of.append(wanted[name])
    assert drops["items_drop"] is not None
    found = measures(data_set)
    assert found["Q23"]["days"].keys() == found["Q26"]["days"].keys() == set(DAYS)


def dropped(before, now):
    if len(before) < 7:
        return None
    return max(0, 1 - now / sorted(before[-7:])[3])


def test_inequality_is_the_mean_difference_of_raw_counts(negatives, by_day):
    before = []
    for dt in DAYS:
        log = log_of([dt])
        positive = log.item_id[log["rank"].le(TOP_K).fillna(False)]
        of = {"logged": log.item_id, "positive": positive}
        of["negatives"] = negatives.item_id[negatives.dt == dt]
        gini = {name: inequality(items.value_counts()) for name, items in of.items()}
        wanted = {**gini, "n": len(log), "": abs(gini["positive"] - gini["logged"])}
        for name in ("positive", "negatives"):
            wanted[f"{name}_delta"] = abs(gini[name] - gini["logged"])
            usual = sorted(b[name] for b in before[-7:])[3] if len(before) >= 7 else None
            wanted[f"{name}_shift"] = None if usual is None else abs(gini[name] - usual)
        agree(by_day[dt]["Q25"], wanted)
        before.append(gini)
    assert wanted["negatives_shift"] is not None


def test_popularity_is_that_of_the_raw_clicks_of_the_days_before(negatives, by_day):
    assert by_day[DAYS[0]]["Q24"]["verdict"] == "not applicable"  # nothing came before
    for at, dt in enumerate(DAYS[1:], 1):
        known = log_of(DAYS[max(at - 3, 0) : at])
        clicks = known.groupby("item_id").click.sum()
        higher = clicks.map(lambda c, of=clicks: (of > c).sum())
        bucket = np.floor(np.log2(higher + 1)).astype(int)
        drawn = negatives[negatives.dt == dt]
        popular, uniform = (
            drawn.item_id[drawn.source == source].map(bucket).value_counts() for source in EASY
        )
        law, alpha_1, even = (
            ((clicks + 2) ** alpha).groupby(bucket).sum() for alpha in (0.6, 1, 0)
        )
        wanted = {
            "": divergence(popular, law),
            "n": popular.sum(),
            "alpha_1": divergence(popular, alpha_1),
            "uniform": divergence(popular, even),
            "uniform_source": divergence(uniform, even),
        }
        agree(by_day[dt]["Q24"], wanted)
        shown = by_day[dt]["Q24"]["histogram"]["drawn"]["counts"]
        assert {b: n for b, n in enumerate(shown) if n} == popular.to_dict()


def divergence(drawn, law):
    p, q = drawn / drawn.sum(), law / law.sum()
    return math.fsum(p[b] * math.log(p[b] / q[b]) for b in p.index)
