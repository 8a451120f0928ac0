"""What pairs are made of: how many requests have some (Q14), how far apart their scores are
(Q15), and whether they would teach the position (Q16)."""

from __future__ import annotations

import numpy as np

from rankdistill.lists.batch import numbers, spans
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
from rankdistill.quality.scale import RANK_LABELS, RANKS, Octaves, rank_bins
from rankdistill.quality.scored import show_requests
from rankdistill.quality.state import Adder, State
from rankdistill.samples.facts import SOURCE_CODE

NUMBERS = Octaves(0, 20)  # pairs of a request
GAPS = Octaves(-20, 10)  # score gaps
# Strategies that take every pair: there a cap is how many are wanted, not what is lost.
EVERY = ("all", "topk")


def _without_pairs(facts: Facts) -> str | None:
    return None if "pairwise" in facts.kinds else "no pairs are built"


def _watch_coverage(seen: Seen, add: Adder, facts: Facts) -> None:
    lists, drawn = seen.lists, seen.drawn
    num = np.bincount(drawn.request, minlength=lists.num_requests)
    request = np.flatnonzero(lists.lengths >= 2)
    show_requests(
        add,
        lists,
        request[num[request] == 0],
        lambda r: f"{lists.lengths[r]:,} candidates, no pair",
    )
    add.bins("pairs", request, NUMBERS.bins(num[request]), NUMBERS.size)
    add.total("rows", np.where(lists.lengths >= 2, num, 0))
    cap = facts.kinds["pairwise"]["max_pairs_per_request"]
    if cap is not None:
        add.total("at_cap", num == cap)
    rank = lists.teacher_rank
    cell = rank_bins(rank[drawn.pos]) * len(RANKS) + rank_bins(rank[drawn.neg])
    add.bins("ranks", drawn.request, cell, len(RANKS) ** 2)


def _read_coverage(state: State, shared: Shared) -> Reading:
    held = binned(state, "pairs", NUMBERS.size)
    num, options = sum(held), shared.facts.kinds["pairwise"]
    at_cap = None
    if options["max_pairs_per_request"] is not None:
        # A request may reach the cap by chance: nothing was cut where no row was.
        cut = shared.counts.get("pairwise.rows_capped", 0)
        at_cap = share(whole(state, "at_cap") if cut else 0, num)
    labels, octaves = NUMBERS.by_octave(held)
    return Reading(
        share(num - held[0], num),
        num,
        {
            "mean": share(whole(state, "rows"), num),
            "p50": NUMBERS.quantile(held, 0.5),
            "p99": NUMBERS.quantile(held, 0.99),
            "at_cap": at_cap,
            "cap_hit": None if options["strategy"]["kind"] in EVERY else at_cap,
        },
        {"pairs": Histogram(labels, octaves, "requests"), **_by_rank(state)},
    )


def _by_rank(state: State) -> dict[str, Histogram]:
    """Pairs by the ranks of the positive and of the negative."""
    size = len(RANKS)
    table = np.reshape(binned(state, "ranks", size * size), (size, size))
    pos, neg = table.sum(axis=1).tolist(), table.sum(axis=0).tolist()
    both = [
        (f"{RANK_LABELS[i]} over {RANK_LABELS[j]}", int(table[i, j]))
        for i, j in zip(*np.nonzero(table), strict=True)
    ]
    return {
        "pos_rank": Histogram(RANK_LABELS, pos, "pairs"),
        "neg_rank": Histogram(RANK_LABELS, neg, "pairs"),
        "ranks": Histogram([label for label, _ in both], [n for _, n in both], "pairs"),
    }


def _without_scored_pairs(facts: Facts) -> str | None:
    return _without_pairs(facts) or (None if facts.has_score else "no teacher score is mapped")


def _watch_margin(seen: Seen, add: Adder, facts: Facts) -> None:
    request, margin = seen.drawn.request, seen.drawn.margin
    is_scored = ~np.isnan(margin)
    if not is_scored.all():
        request, margin = request[is_scored], margin[is_scored]
    gap = np.abs(margin)
    add.bins("gap", request, GAPS.bins(gap), GAPS.size)
    for name, found in (
        ("near", gap < facts.measures.get("min_margin", 0.0)),
        ("inverted", margin < 0),
    ):
        add.count(name, request[found] if found.any() else request[:0])


def _read_margin(state: State, shared: Shared) -> Reading:
    held = binned(state, "gap", GAPS.size)
    num, least = sum(held), shared.facts.measures.get("min_margin", 0.0)
    labels, octaves = GAPS.by_octave(held)
    unset = "" if least else "quality.min_margin is 0, so that no gap is too small"
    return Reading(
        share(whole(state, "near"), num),
        num,
        {
            "inverted": share(whole(state, "inverted"), num),
            "median_gap": GAPS.quantile(held, 0.5),
        },
        {"gap": Histogram(labels, octaves, "pairs")},
        unset,
    )


def _without_shown_pairs(facts: Facts) -> str | None:
    if why := no_negatives(facts):
        return why
    options = facts.kinds["negatives"]
    if not (options.get("mix") or {}).get("exposed_unclicked"):
        return "no negative is an exposed item that was not clicked; an order needs no such look"
    rules = options["positives"]
    if "feedback" not in ([rules] if isinstance(rules, str) else rules):
        return "positives are not told by feedback"
    return None


def _watch_orientation(seen: Seen, add: Adder, facts: Facts) -> None:
    lists, drawn = seen.lists, seen.drawn
    position = numbers(lists.candidates.column("position"), np.int32)  # 0: not known
    row = np.flatnonzero((drawn.source == SOURCE_CODE["exposed_unclicked"]) & (drawn.item >= 0))
    row = row[position[drawn.item[row]] > 0]
    is_shown = lists.responded & (position > 0)
    if facts.kinds["negatives"]["per"] == "positive":
        row = row[is_shown[drawn.pos[row]]]
        pos = drawn.pos[row]
    else:
        positives = np.flatnonzero(is_shown)
        bounds = np.searchsorted(positives, lists.offsets)
        num = np.diff(bounds)[drawn.request[row]]
        pos = positives[spans(bounds[drawn.request[row]], num)]
        row = np.repeat(row, num)
    request, ahead = drawn.request[row], position[drawn.item[row]] - position[pos]
    add.count("ahead", request[ahead > 0])
    add.count("apart", request[ahead != 0])


def _read_orientation(state: State, shared: Shared) -> Reading:
    num = whole(state, "apart")
    return Reading(share(whole(state, "ahead"), num), num)


MEASURES = (
    Measure(
        id="Q14",
        name="Pair coverage",
        value="requests of at least two candidates that have a pair",
        watch={"pairwise": _watch_coverage},
        read=_read_coverage,
        applies=_without_pairs,
        gates={"": Gate(0.80, 0.50, "below"), "cap_hit": Gate(0.10, 0.50)},
    ),
    Measure(
        id="Q15",
        name="Pair margin",
        value="pairs whose teacher scores are closer than quality.min_margin",
        watch={"pairwise": _watch_margin},
        read=_read_margin,
        applies=_without_scored_pairs,
        gates={"": Gate(0.20, 0.60)},
    ),
    Measure(
        id="Q16",
        name="Position orientation",
        value="pairs built from feedback whose positive was shown above the negative",
        watch={"negatives": _watch_orientation},
        read=_read_orientation,
        applies=_without_shown_pairs,
        gates={"": Gate(0.85, 0.97)},
    ),
)
