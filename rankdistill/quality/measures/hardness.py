"""How hard negatives are by the teacher: too near to the positives (Q21), and harder the later
the stage that they come from (Q22)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa

from rankdistill.lists.batch import Lists, spans
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import (
    Gate,
    Histogram,
    Measure,
    Reading,
    Seen,
    Shared,
    binned,
    no_negatives,
    share,
    whole,
)
from rankdistill.quality.measures.known import positives, show
from rankdistill.quality.state import FIXED_POINT, Adder, State, fixed
from rankdistill.samples.facts import SOURCE_CODE, SOURCES
from rankdistill.samples.margins import half_ranks, weakest_positive

# Of how much of the weakest positive's score (or quantile) a negative is too near: 19 / 20.
NEAR = (19, 20)
# Sources by the stage that their items reached, the earliest first.
STAGED = ("recall_dropped", "prerank_dropped", "tail", "exposed_unclicked")
TENTHS = 10
_SIZE = len(SOURCES)


def _unscored(facts: Facts) -> str | None:
    return no_negatives(facts) or (None if facts.has_score else "no teacher score is mapped")


def _watch_near(seen: Seen, add: Adder, facts: Facts) -> None:
    lists, drawn = seen.lists, seen.drawn
    # What feedback says is no match is judged by feedback (Q20), however high it was ranked.
    told = drawn.source != SOURCE_CODE["exposed_unclicked"]
    add.count("rows", drawn.request if told.all() else drawn.request[told])
    row = np.flatnonzero((drawn.item >= 0) & told)
    request, item, source = drawn.request[row], drawn.item[row], drawn.source[row]
    # A share of a score means something where 0 does; of signed scores, quantiles are compared.
    value = lists.score if facts.score_kind == "probability" else quantiles(lists)
    is_positive = positives(seen, facts.kinds["negatives"])
    weakest = weakest_positive(value, np.isnan(value), lists, is_positive)[request]
    own = value[item]
    known = np.flatnonzero(~np.isnan(own) & ~np.isnan(weakest))
    near = known[NEAR[1] * own[known] > NEAR[0] * weakest[known]]
    add.bins("known", request[known], source[known], _SIZE)
    add.bins("near", request[near], source[near], _SIZE)
    show(seen, add, row[near], "item_id", "above 95% of its weakest positive")


def quantiles(lists: Lists) -> np.ndarray:
    """2 * worse + equal of each scored candidate's request (`half_ranks`), float64 [N]; NaN
    where there is no score. What falls strictly, then stops, needs no sort."""
    score = lists.score
    unscored = np.isnan(score)
    num = lists.lengths - np.diff(np.searchsorted(np.flatnonzero(unscored), lists.offsets))
    half = 2.0 * (num[lists.request] - lists.place) - 1
    half[unscored] = np.nan
    is_odd = (score[:-1] <= score[1:]) | (unscored[:-1] & ~unscored[1:])
    borders = lists.offsets[(lists.offsets > 0) & (lists.offsets < len(score))]
    is_odd[borders - 1] = False
    at = np.flatnonzero(is_odd)
    if len(at):
        requests = np.unique(np.searchsorted(lists.offsets, at, side="right") - 1)
        rows = spans(lists.offsets[requests], lists.lengths[requests])
        exact, _ = half_ranks(_scores_of(lists, requests, rows))
        half[rows] = np.where(exact < 0, np.nan, exact)
    return half


def _scores_of(lists: Lists, requests: np.ndarray, rows: np.ndarray) -> Lists:
    """Some requests with nothing but the scores of their candidates (rows)."""
    return Lists(
        np.concatenate([[0], np.cumsum(lists.lengths[requests])]),
        lists.requests.select(["request_id"]).take(pa.array(requests)),
        lists.candidates.select(["teacher_score"]).take(pa.array(rows)),
        lists.teacher_rank[rows],
    )


def _read_near(state: State, shared: Shared) -> Reading:
    known, near = (binned(state, name, _SIZE) for name in ("known", "near"))
    num, used = whole(state, "rows"), [code for code in range(_SIZE) if known[code]]
    if not used:
        return Reading(None, 0, note="no negative has a teacher score beside a scored positive")
    return Reading(
        share(sum(near), num),
        num,
        {
            "scored": share(sum(known), num),
            **{f"near.{SOURCES[code]}": share(near[code], known[code]) for code in used},
        },
        {"near": Histogram([SOURCES[c] for c in used], [near[c] for c in used])},
    )


def _watch_order(seen: Seen, add: Adder, facts: Facts) -> None:
    drawn = seen.drawn
    row = np.flatnonzero(~np.isnan(drawn.difficulty))
    request, source, difficulty = drawn.request[row], drawn.source[row], drawn.difficulty[row]
    tenth = np.minimum((difficulty * TENTHS).astype(np.int64), TENTHS - 1)
    add.bins("tenth", request, source * np.int64(TENTHS) + tenth, _SIZE * TENTHS)
    add.weigh("sum", request, source, _SIZE, fixed(difficulty))


def _read_order(state: State, shared: Shared) -> Reading:
    tenths = np.reshape(binned(state, "tenth", _SIZE * TENTHS), (_SIZE, TENTHS))
    num, sums = tenths.sum(axis=1).tolist(), binned(state, "sum", _SIZE)
    mean = {
        SOURCES[code]: sums[code] / FIXED_POINT / num[code] for code in range(_SIZE) if num[code]
    }
    staged = [name for name in STAGED if name in mean]
    steps = [mean[later] - mean[earlier] for earlier, later in pairwise(staged)]
    labels = [f"{t / TENTHS:g}-{(t + 1) / TENTHS:g}" for t in range(TENTHS)]
    return Reading(
        min(steps, default=None),
        sum(num[SOURCES.index(name)] for name in staged) if steps else 0,
        {f"mean.{name}": value for name, value in mean.items()},
        {
            f"difficulty.{name}": Histogram(labels, tenths[SOURCES.index(name)].tolist())
            for name in mean
        },
        "" if steps else "negatives of one stage only: there is nothing to compare",
    )


def _of_one_stage(facts: Facts) -> str | None:
    mix = facts.kinds.get("negatives", {}).get("mix") or {}
    is_staged = sum(bool(mix.get(name)) for name in STAGED) > 1
    why = "the mix has fewer than two sources of logged candidates"
    return no_negatives(facts) or (None if is_staged else why)


MEASURES = (
    Measure(
        id="Q21",
        name="Positive-aware margin",
        value="negatives above 95% of their weakest positive's score (quantile, of a logit)",
        watch={"negatives": _watch_near},
        read=_read_near,
        applies=_unscored,
        gates={"": Gate(0.02, 0.10)},
    ),
    Measure(
        id="Q22",
        name="Hardness order",
        value="mean teacher percentile of a stage's negatives less that of the stage before, least",
        watch={"negatives": _watch_order},
        read=_read_order,
        applies=_of_one_stage,
        gates={"": Gate(0.10, 0.0, "below")},
        unit="number",
    ),
)
