"""Q05, Q06 and the funnel against plain Python."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from statistics import mean

import pytest

from rankdistill.lists.batch import STAGES
from tests.builders import ranked_list
from tests.quality.lists_kit import FACTS, awkward, clean, lists_of, members, told
from tests.quality.measured import built, clean_log, measures


def faults(ranks: list[int]) -> tuple[bool, bool]:
    """(some number up to the highest is missing, some stands twice)."""
    return set(ranks) != set(range(1, max(ranks) + 1)), len(set(ranks)) < len(ranks)


@pytest.mark.parametrize("whose", ["rank", "position"])
@pytest.mark.parametrize("seed", range(5))
def test_gaps_and_repeats_are_those_of_each_request(whose: str, seed: int) -> None:
    rows = awkward(seed=seed)
    ranks = [[c[whose] for c in found if c[whose]] for found in members(rows).values()]
    oracle = [faults(found) for found in ranks if found]
    reading, num = told("Q05", rows).reading, len(oracle)
    either = reading.value if whose == "rank" else reading.parts["positions"]
    assert either == sum(gap or repeat for gap, repeat in oracle) / num
    assert reading.parts[f"{whose}_gaps"] == sum(gap for gap, _ in oracle) / num
    assert reading.parts[f"{whose}_repeats"] == sum(repeat for _, repeat in oracle) / num


def test_gaps_of_sampled_ranks_are_counted_and_not_judged() -> None:
    rows = [row for row in clean(20) if row["rank"] not in (2, 5)]
    found = told("Q05", rows, replace(FACTS, ranks="sampled"))
    assert (found.reading.value, found.verdict) == (0.0, "ok")
    assert found.reading.parts["rank_gaps"] == found.reading.parts["position_gaps"] == 1.0


def test_a_repeat_is_judged_where_ranks_are_sampled() -> None:
    rows = ranked_list(1, [3.0, 2.0, 1.0], rank=[1, 4, 4])
    assert told("Q05", rows, replace(FACTS, ranks="sampled")).verdict == "fail"


def test_rows_below_the_first_rank_are_those_of_the_door() -> None:
    door = {"rows_in": 1000, "rejected.rank_below_base": 20}
    found = told("Q05", clean(10), **door)
    assert (found.reading.parts["below_first"], found.verdict) == (0.02, "warn")


EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 10_000, 100_000, math.inf)


@pytest.mark.parametrize("seed", range(3))
def test_lengths_are_counted_by_fixed_edges(seed: int) -> None:
    long = [row for n in (1, 2, 99, 100, 500, 1000) for row in ranked_list(900 + n, [0.5] * n)]
    rows = [*awkward(seed=seed), *long]
    lengths = [len(found) for found in members(rows).values()]
    reading = told("Q06", rows).reading
    held = [sum(a <= n < b for n in lengths) for a, b in pairwise(EDGES)]
    assert reading.histograms["length"].counts == held
    assert (reading.value, reading.n) == (mean(n < 2 for n in lengths), len(lengths))
    assert reading.parts["mean"] == pytest.approx(mean(lengths))


@pytest.mark.parametrize(("cap", "verdict"), [(39, "warn"), (30, "fail"), (40, "ok")])
def test_rows_beyond_the_cap_are_a_share_of_the_log(tmp_path, cap: int, verdict: str) -> None:
    folder = {"path": str(tmp_path / "log.parquet"), "columns": {"feedback": ["click"]}}
    pairs = {"samples": {"pairwise": {}}}
    data_set = built(tmp_path, clean_log(), log={**folder, "max_candidates": cap}, **pairs)
    found = measures(data_set)["Q06"]
    assert found["parts"]["over_cap"] == pytest.approx((40 - cap) / 40)
    assert found["verdicts"]["over_cap"] == verdict
    assert measures(data_set)["Q01"]["value"] == 0


def test_the_funnel_counts_what_reaches_each_stage() -> None:
    rows = [{**row, "like": row["click"]} for row in awkward()]
    last = Counter(STAGES[row["stage"]] for row in rows if "item_id" in row)
    counts = {s: sum(n for at, n in last.items() if at >= STAGES[s]) for s in STAGES}
    clicks = sum(row.get("click") == 1.0 for row in rows)
    picture = told("funnel", rows).reading.histograms["funnel"]
    shown = dict(zip(picture.labels, picture.counts, strict=True))
    assert shown == {**counts, "click": clicks}


def test_feedback_counts_where_the_log_does_not_tell_what_was_exposed() -> None:
    lists = lists_of(ranked_list(1, [2.0, 1.0], click=[1.0, 0.0]))
    found = told("funnel", lists, replace(FACTS, has_exposure=False)).reading
    assert (found.value, found.parts["click"]) == (0.0, 0.5)
