"""Measures of rows, lists, scores and positions on real logs, against pandas over the raw files."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from tests.quality.measured import frame
from tests.quality.real_kit import KEY, candidates, needs_real_logs, of_logs

LOGS = (
    "made_up",
    "trec",
    "trec_file",
    "spoiled_file",
    "bts_file",
    "random_file",
    "bandit_pages",
    "ratings",
)


@of_logs(*LOGS)
def test_every_row_is_used_repeated_or_of_a_bad_score(real, name):
    log, found = real(name).log, real(name).measures
    bad = {
        "nan": 0,
        "infinite": np.isinf(log.teacher_score).mean(),
        "null": 0,
    }
    # pandas writes what is missing as null; a run file says nan.
    bad["null" if name == "made_up" else "nan"] = log.teacher_score.isna().mean()
    sound = log[np.isfinite(log.teacher_score)]
    repeated = 1 - len(sound.drop_duplicates(KEY)) / len(sound)
    used = len(candidates(log)) / len(log)
    assert (found["Q01"]["value"], found["Q01"]["n"]) == (0, len(log))
    assert found["Q01"]["parts"] == pytest.approx({"used": used, "rejected": 1 - used})
    assert found["Q02"]["value"] == pytest.approx(repeated * len(sound) / len(log))
    assert found["Q04"]["parts"] == pytest.approx(
        {kind: share * len(log) / found["Q04"]["n"] for kind, share in bad.items()}
    )
    assert found["Q04"]["n"] == len(candidates(log)) + sum(bad.values()) * len(log)
    assert (repeated > 0) == (name in ("made_up", "bandit_pages", "spoiled_file"))
    assert (sum(bad.values()) > 0) == (name in ("made_up", "spoiled_file"))


@of_logs("made_up", "bandit_pages", "spoiled_file")
def test_repeats_are_told_apart_by_whether_they_are_equal(real, name):
    log = real(name).log
    sound = log[np.isfinite(log.teacher_score)]
    columns = [c for c in log if c != "request_time"]  # alike in a request
    used = sound.merge(candidates(log)[columns], "left", KEY, suffixes=("", "_used"))
    pairs = [(used[c], used[f"{c}_used"]) for c in columns if c not in KEY]
    is_equal = np.logical_and.reduce([(a == b) | (a.isna() & b.isna()) for a, b in pairs])
    equal = is_equal.sum() - len(candidates(log))
    differing = len(sound) - is_equal.sum()
    assert real(name).measures["Q02"]["parts"] == pytest.approx(
        {"equal": equal / len(log), "differing": differing / len(log)}
    )
    assert min(equal, differing) > 0


EDGES = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000, np.inf]


@of_logs(*LOGS)
def test_requests_are_as_long_as_they_have_candidates(real, name):
    lengths = candidates(real(name).log).groupby("request_id").size()
    found = real(name).measures["Q06"]
    counts = pd.cut(lengths, EDGES, right=False).value_counts(sort=False)
    assert found["histogram"]["length"]["counts"] == counts.tolist()
    assert (found["value"], found["n"]) == (pytest.approx((lengths < 2).mean()), len(lengths))
    assert found["parts"]["mean"] == pytest.approx(lengths.mean())


def faults(log: pd.DataFrame, column: str) -> pd.DataFrame:
    """Of each request with such ranks: whether one is missing, and whether one stands twice."""
    by_request = log.dropna(subset=column).groupby("request_id")[column]
    distinct, highest, num = by_request.nunique(), by_request.max(), by_request.size()
    return pd.DataFrame({"gap": distinct < highest, "repeat": distinct < num})


@of_logs("made_up", "trec", "spoiled_file", "ratings", "bandit_pages")
def test_ranks_and_positions_have_the_gaps_and_repeats_of_the_log(real, name):
    log, found = candidates(real(name).log), real(name).measures["Q05"]
    # Of pages, the position is the teacher's order as well.
    ranks = faults(log, "rank" if "rank" in log else "position")
    assert (found["value"], found["n"]) == (pytest.approx(ranks.any(axis=1).mean()), len(ranks))
    assert found["parts"]["rank_gaps"] == pytest.approx(ranks.gap.mean())
    assert found["parts"]["rank_repeats"] == pytest.approx(ranks.repeat.mean())
    assert (found["value"] > 0) == (name in ("made_up", "spoiled_file", "bandit_pages"))
    if "position" in log:
        places = faults(log, "position")
        assert found["parts"]["positions"] == pytest.approx(places.any(axis=1).mean())
        assert found["parts"]["position_gaps"] == pytest.approx(places.gap.mean())
        assert found["parts"]["position_repeats"] == pytest.approx(places.repeat.mean())


@needs_real_logs
@pytest.mark.parametrize("policy", ["bts", "random"])
def test_gaps_of_single_exposures_are_counted_and_not_judged(real, policy):
    found, log = real(f"{policy}_file").measures["Q05"], real(f"{policy}_file").log
    assert (found["value"], found["verdict"], found["n"]) == (0, "ok", len(log))
    for gaps in ("rank_gaps", "position_gaps"):
        assert found["parts"][gaps] == pytest.approx((log.position > 1).mean())


@of_logs("bts_file", "random_file", "bandit_pages")
def test_propensities_are_calibrated_as_far_as_clicks_say(real, name):
    log, found = candidates(real(name).log), real(name).measures["Q09"]
    score, click = log.teacher_score, log.click
    bins = pd.cut(score, np.arange(21) / 20, right=False)
    of_bin = pd.DataFrame({"s": score, "y": click}).groupby(bins, observed=True)
    apart = (of_bin.s.mean() - of_bin.y.mean()).abs()
    assert found["n"] == len(log)
    assert found["value"] == pytest.approx((of_bin.size() * apart).sum() / len(log), abs=1e-5)
    assert found["parts"]["bias"] == pytest.approx(score.sum() / click.sum(), rel=1e-4)
    assert found["histogram"]["rows"]["counts"] == of_bin.size().tolist()
    variance = (score * (1 - score)).groupby(bins, observed=True).sum()
    chance = np.sqrt(2 / np.pi * variance).sum() + 3 * np.sqrt((1 - 2 / np.pi) * variance.sum())
    assert found["chance"][""] == pytest.approx(chance / len(log), rel=1e-3)


def gauc(log: pd.DataFrame, value: str, sign: int) -> tuple[float, int]:
    """(sum m AUC / sum m over requests with m > 0 clicks and some without, those requests)."""
    found = []
    shown = log.dropna(subset=["position", value])
    clicked = shown.groupby("request_id").click.transform("max") > 0
    for _, own in shown[clicked].groupby("request_id"):
        hits, others = (sign * own[value][own.click == y] for y in (1, 0))
        if len(hits) and len(others):
            won = np.mean([(a > b) + (a == b) / 2 for a, b in product(hits, others)])
            found.append((len(hits), won))
    weight, auc = map(np.array, zip(*found, strict=True))
    return float((weight * auc).sum() / weight.sum()), len(found)


@of_logs("made_up", "trec", "bandit_pages")
def test_the_teacher_knows_as_much_of_clicks_as_the_log_says(real, name):
    log, found = candidates(real(name).log), real(name).measures["Q10"]
    (score, num), (place, _) = gauc(log, "teacher_score", 1), gauc(log, "position", -1)
    assert (found["value"], found["n"]) == (pytest.approx(score, abs=1e-5), num)
    assert found["parts"]["place"] == pytest.approx(place, abs=1e-5)
    assert found["parts"]["gain"] == pytest.approx(score - place, abs=2e-5)


@of_logs("made_up", "trec", "ratings", "bandit_pages")
def test_soft_labels_have_the_entropy_of_the_softmax(real, name):
    log, found = candidates(real(name).log), real(name).measures["Q12"]
    logit = log.teacher_score
    if name == "bandit_pages":  # the score is a probability
        logit = np.log(logit / (1 - logit))
    grown = np.exp(logit - logit.groupby(log.request_id).transform("max"))
    q = grown / grown.groupby(log.request_id).transform("sum")
    by_request = (-q * np.log(q)).groupby(log.request_id)
    entropy = by_request.sum()[by_request.size() > 1] / np.log(by_request.size())
    entropy = entropy.dropna()
    flat, peaked = (entropy > 0.99).mean(), (entropy < 0.01).mean()
    assert (found["parts"]["flat"], found["parts"]["peaked"]) == pytest.approx((flat, peaked))
    assert (found["value"], found["n"]) == (pytest.approx(max(flat, peaked)), len(entropy))
    assert found["parts"]["mean"] == pytest.approx(entropy.mean(), abs=1e-6)


@of_logs("made_up", "trec", "ratings")
def test_pairs_of_feedback_have_the_orientation_of_the_raw_positions(real, name):
    log = candidates(real(name).log).astype(dict.fromkeys(KEY, str))
    negatives = frame(real(name).data_set, "negatives").astype(dict.fromkeys(KEY, str))
    drawn = negatives[negatives.source == "exposed_unclicked"][KEY]
    place = log.set_index(KEY).position.reindex(pd.MultiIndex.from_frame(drawn))
    clicked = log[log.click == 1][["request_id", "position"]]
    pairs = drawn.assign(place=place.to_numpy()).merge(clicked, on="request_id")
    apart = pairs[pairs.place != pairs.position]
    found = real(name).measures["Q16"]
    assert found["n"] == len(apart) > 500
    assert found["value"] == pytest.approx((apart.position < apart.place).mean())


def unclicked(log: pd.DataFrame) -> pd.Series:
    """How many shown items of each request with a click may be its negatives: not clicked, nor by
    the user in the week before."""
    clicks, shown = log[log.click == 1], log[log.click == 0]
    before = shown.reset_index().merge(clicks, on=["user_id", "item_id"], suffixes=("", "_before"))
    ago = before.request_time - before.request_time_before
    known = before["index"][(ago > pd.Timedelta(0)) & (ago <= pd.Timedelta("7d"))]
    left = shown[~shown.index.isin(known)].request_id.value_counts()
    return left.reindex(clicks.request_id.unique(), fill_value=0)


@of_logs("made_up", "trec", "ratings")
def test_sources_have_the_shares_and_fills_that_the_pages_allow(real, name):
    log = candidates(real(name).log).reset_index(drop=True)
    # Eight negatives in parts of .5, .3, .2 by largest remainders.
    target = {"exposed_unclicked": 4, "tail": 2, "popular": 2}
    negatives, found = frame(real(name).data_set, "negatives"), real(name).measures["Q18"]
    shares = negatives.source.value_counts(normalize=True)
    apart = {source: abs(shares[source] - n / 8) for source, n in target.items()}
    assert (found["value"], found["n"]) == (pytest.approx(max(apart.values())), len(negatives))
    for source, num in target.items():
        assert found["parts"][f"share.{source}"] == pytest.approx(shares[source])
        assert found["parts"][f"target.{source}"] == num / 8
    fills = [found["parts"][f"fill.{source}"] for source in target]
    assert fills[0] == pytest.approx(np.minimum(unclicked(log), 4).mean() / 4)
    assert found["parts"]["least_fill"] == min(fills)


@of_logs("made_up", "trec", "ratings", "bandit_pages", "spoiled_file")
def test_the_funnel_is_as_wide_as_the_log(real, name):
    log, found = candidates(real(name).log), real(name).measures["funnel"]
    num, position = len(log), log.get("position", pd.Series(np.nan, log.index))
    wide = {"recalled": num, "preranked": num, "ranked": num}
    wide |= {"reranked": position.notna().sum(), "exposed": position.notna().sum()}
    if "click" in log:
        wide["click"] = log.click[position.notna()].sum()
    shown = found["histogram"]["funnel"]
    assert dict(zip(shown["labels"], shown["counts"], strict=True)) == wide
    assert (found["value"], found["n"]) == (pytest.approx(wide["exposed"] / num), num)


@needs_real_logs
def test_a_segment_says_what_its_day_says(real):
    told = real("trec").measures  # a version of the teacher on each of two days
    segmented = {name: m for name, m in told.items() if m["segments"]}
    assert len(segmented) > 12
    for name, found in segmented.items():
        for day, segment in zip(found["days"].values(), found["segments"], strict=True):
            assert segment["value"] == pytest.approx(day["value"]), name
            assert segment["n"] == day["n"], name
