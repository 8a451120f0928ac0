"""Measures of days on real logs, against plain Python: drift (Q30), hours and volume (Q31), the
history (Q32), teachers (Q34)."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from statistics import median

import numpy as np
import pandas as pd
import pytest

from rankdistill.quality.metrics import judged_days
from tests.quality.measured import days, frame
from tests.quality.real_kit import candidates, needs_real_logs, of_logs

# 0.999 quantiles of chi-square by degrees of freedom from 1, as printed in statistical tables.
CHI_SQUARE = (
    *(10.828, 13.816, 16.266, 18.467, 20.515, 22.458, 24.322, 26.124, 27.877, 29.588),
    *(31.264, 32.909, 34.528, 36.123, 37.697, 39.252, 40.790, 42.312, 43.820),
)
QUARTERS = [2.0**n * (1 + k / 4) for n in range(-10, 20) for k in range(4)]
EIGHTHS = [2.0**n * (1 + k / 8) for n in range(20) for k in range(8)]
LENGTHS = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000]
PLACES = [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200, 500]


def magnitudes(values) -> Counter:
    """By quarters of an octave, of both signs."""
    return Counter(int(math.copysign(bisect_right(QUARTERS, abs(v)), v)) for v in values)


def binned(values, edges) -> Counter:
    return Counter(bisect_right(edges, v) for v in values)


def divided(now: Counter, before: Counter) -> list[tuple[int, int]]:
    """Bins that either has, neighbours together: twenty of about as many rows of the past."""
    total, passed, found = before.total(), 0, {}
    for code in sorted({*now, *before}):
        place = min(20 * passed // total, 19)
        a, b = found.get(place, (0, 0))
        found[place] = a + now[code], b + before[code]
        passed += before[code]
    return list(found.values())


def distances(now: Counter, before: Counter) -> tuple[float, float, float]:
    """(population stability index, Jensen-Shannon distance, what the former may be by chance)."""
    bins, psi, divergence = divided(now, before), 0.0, 0.0
    n, m, half = now.total(), before.total(), len(bins) / 2
    for held in bins:
        a, b = (held[0] + 0.5) / (n + half), (held[1] + 0.5) / (m + half)
        psi += (a - b) * math.log(a / b)
        p, q = held[0] / n, held[1] / m
        divergence += sum(x * math.log2(2 * x / (p + q)) / 2 for x in (p, q) if x)
    chance = (1 / n + 1 / m) * CHI_SQUARE[max(len(bins) - 2, 0)]
    return psi, math.sqrt(max(divergence, 0)), chance


def day_of(log: pd.DataFrame) -> pd.Series:
    return log.request_time.dt.strftime("%Y-%m-%d")


def histograms(log: pd.DataFrame, data_set) -> dict[str, dict[str, Counter]]:
    """dt -> name -> bins: of the raw rows, of weights, grades and pairs of the tables."""
    points, lists, pairs = (frame(data_set, t) for t in ("pointwise", "listwise", "pairwise"))
    found = {}
    for dt, own in log.groupby(day_of(log)):
        requests = own.groupby("request_id").agg(t=("request_time", "first"), n=("item_id", "size"))
        drawn = pairs[pairs.dt == dt].request_id.astype(str).value_counts()
        long = requests.index[requests.n >= 2].astype(str)
        found[dt] = {
            "score": magnitudes(own.teacher_score),
            "length": binned(requests.n, LENGTHS),
            "position": binned(own.position.dropna(), PLACES),
            "hour": Counter(requests.t.dt.hour),
            "weight": magnitudes(points.weight[points.dt == dt]),
            "grade": Counter(lists.grade[lists.dt == dt].explode().dropna().astype(int)),
            "pairs": binned(drawn.reindex(long, fill_value=0), EIGHTHS),
        }
    return found


@of_logs("made_up", "trec", "bts_file", "random_file", "ratings")
def test_a_day_drifts_as_far_as_its_distributions_do(real, name):
    made = histograms(candidates(real(name).log), real(name).data_set)
    dts, judged = list(made), judged_days(days(real(name).data_set), {})
    assert list(judged) == dts and judged[dts[0]]["Q30"].reading.value is None
    for place, dt in enumerate(dts[1:], start=1):
        found, heard = judged[dt]["Q30"].reading, {"": (0.0, 0.0)}
        for what, now in made[dt].items():
            before = sum((made[d][what] for d in dts[max(place - 7, 0) : place]), Counter())
            if not now or not before:
                assert f"psi.{what}" not in found.parts
                continue
            psi, js, chance = distances(now, before)
            assert found.parts[f"psi.{what}"] == pytest.approx(psi, abs=1e-9), (dt, what)
            if psi > chance:
                heard[what] = psi, js
        assert found.value == pytest.approx(max(psi for psi, _ in heard.values()), abs=1e-9), dt
        assert found.parts["js"] == pytest.approx(max(js for _, js in heard.values()), abs=1e-9)
        assert found.n == made[dt]["score"].total()
    values = [judged[dt]["Q30"].reading.value for dt in dts[1:]]
    assert real(name).measures["Q30"]["value"] == pytest.approx(max(values))


@of_logs("made_up", "trec", "bts_file", "random_file", "weeks_of_ratings")
def test_hours_and_volume_are_those_of_the_raw_times(real, name):
    log, judged = candidates(real(name).log), judged_days(days(real(name).data_set), {})
    requests = log.drop_duplicates("request_id")
    table = pd.crosstab(day_of(requests), requests.request_time.dt.hour)
    table = table.reindex(columns=range(24), fill_value=0)
    assert list(judged) == list(table.index)
    for place, (dt, held) in enumerate(table.iterrows()):
        found, before = judged[dt]["Q31"].reading, table.iloc[max(place - 7, 0) : place]
        assert (found.value, found.n) == ((held == 0).sum(), held.sum())
        assert list(found.histograms["hour"].counts) == held.tolist()
        lost = ((held == 0) & (before.mean() >= 12)).sum() if place else None
        assert found.parts["lost_hours"] == lost
        usual = before.sum(axis=1).median()
        volume = abs(math.log2(held.sum() / usual)) if place >= 7 else None
        assert found.parts["volume"] == (volume if volume is None else pytest.approx(volume))


@needs_real_logs
def test_volume_of_a_log_of_many_weeks_is_judged(real):
    log, found = real("weeks_of_ratings").log, real("weeks_of_ratings").measures["Q31"]
    volume = log.groupby(day_of(log)).request_id.nunique()
    usual = volume.rolling(7).median().shift()
    apart = (np.log2(volume / usual)).abs() - 3 * np.log2(np.e) * np.sqrt(1 / volume + 1 / usual)
    verdicts = apart.map(lambda v: "ok" if not v > 0.3 else "fail" if v > 1 else "warn")
    assert {dt: told["verdict"] for dt, told in found["days"].items()} == dict(verdicts)
    assert "warn" in set(verdicts)


@needs_real_logs
def test_anomalies_are_robust_distances_from_the_same_weekdays(real):
    told = real("weeks_of_ratings").measures
    dts = list(told["Q32"]["days"])
    num = 0
    for place, dt in enumerate(dts):
        past = [d for d in dts[:place] if (pd.Timestamp(dt) - pd.Timestamp(d)).days % 7 == 0]
        found = {}
        for name in set(told) - {"Q30", "Q31", "Q32"}:
            of_day = {d: told[name]["days"][d]["value"] for d in [*past, dt]}
            known = [v for d, v in of_day.items() if v is not None and d != dt]
            if of_day[dt] is not None and len(known) >= 7:
                change = abs(of_day[dt] - median(known))
                least = max(abs(median(known)) / 4, 0.02)
                mad = median(abs(v - median(known)) for v in known)
                z = change / max(1.4826 * mad, least / 4)
                found[name] = z if change > least else 0.0
        day = told["Q32"]["days"][dt]
        assert day["n"] == len(found)
        assert day["value"] == (pytest.approx(max(found.values())) if found else None)
        num += any(found.values())
    assert num > 0


@of_logs("made_up", "trec", "trec_on_one_day", "bandit_pages")
def test_teachers_of_a_day_are_counted_and_their_scores_compared(real, name):
    log, judged = candidates(real(name).log), judged_days(days(real(name).data_set), {})
    dts = day_of(log) if name != "trec_on_one_day" else pd.Series("2026-11-01", log.index)
    assert list(judged) == sorted(dts.unique())
    for dt, own in log.groupby(dts):
        found = judged[dt]["Q34"]
        num = own.groupby("teacher_version").request_id.nunique()
        first, *rest = sorted(num.index, key=lambda version: (-num[version], version))
        scores = {v: magnitudes(own.teacher_score[own.teacher_version == v]) for v in num.index}
        psi = max((distances(scores[v], scores[first])[0] for v in rest), default=None)
        assert (found.reading.value, found.reading.n) == (len(num), num.sum())
        assert found.verdict == ("warn" if rest else "ok")
        assert found.reading.parts["score_psi"] == (None if psi is None else pytest.approx(psi))
