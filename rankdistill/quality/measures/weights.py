"""What weighs how much in the loss: by rank, and by how few rows (Q17)."""

from __future__ import annotations

import numpy as np

from rankdistill.lists.batch import segment_sum
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import (
    Gate,
    Histogram,
    Measure,
    Reading,
    Seen,
    Shared,
    Watcher,
    binned,
    share,
    whole,
)
from rankdistill.quality.scale import RANK_LABELS, RANKS, Octaves, rank_bins
from rankdistill.quality.state import FIXED_POINT, Adder, State, fixed

SIZES = Octaves(-20, 20)
# Larger weights count as this one; the sum of their squares, by request, as its square.
MOST = 2.0**20
FINE = 2**40  # fixed point of the squares of small weights
# kind -> the candidate whose rank the weight is told by
OF = {"pointwise": "item", "pairwise": "pos"}


def _watch(kind: str) -> Watcher:
    def watch(seen: Seen, add: Adder, facts: Facts) -> None:
        lists, drawn = seen.lists, seen.drawn
        request, weight = drawn.request, np.minimum(drawn.weight, MOST)
        rank = rank_bins(lists.teacher_rank[getattr(drawn, OF[kind])])
        add.bins(f"{kind}.rows", request, rank, len(RANKS))
        add.weigh(f"{kind}.mass", request, rank, len(RANKS), fixed(weight))
        add.bins(f"{kind}.size", request, SIZES.bins(weight), SIZES.size)
        # Rows stand by request.
        bounds = np.searchsorted(request, np.arange(lists.num_requests + 1))
        square = np.minimum(segment_sum(weight * weight, bounds), MOST**2)
        floor = np.floor(square)
        add.total(f"{kind}.square", floor.astype(np.int64))
        add.total(f"{kind}.square_rest", np.rint((square - floor) * FINE).astype(np.int64))

    return watch


def _read(state: State, shared: Shared) -> Reading:
    parts: dict[str, float | None] = {}
    histograms, num, firsts, shares = {}, 0, [], []
    for kind in [kind for kind in OF if kind in shared.facts.kinds]:
        rows, mass = (binned(state, f"{kind}.{name}", len(RANKS)) for name in ("rows", "mass"))
        if not sum(rows):
            continue
        num += sum(rows)
        parts |= (found := _of_kind(kind, state, mass, sum(rows)))
        shares.append(found[f"{kind}.ess"])
        # Where rank 1 alone is a positive, its weight is what was asked for.
        if shared.facts.kinds[kind].get("top_k") != 1:
            firsts.append(found[f"{kind}.first"])
        share_of = [m / max(sum(mass), 1) for m in mass]
        mean = [m / FIXED_POINT / n if n else 0.0 for m, n in zip(mass, rows, strict=True)]
        histograms[f"{kind}.mass"] = Histogram(RANK_LABELS, share_of, "share of the weight")
        histograms[f"{kind}.mean"] = Histogram(RANK_LABELS, mean, "mean weight")
    parts["first"] = max((f for f in firsts if f is not None), default=None)
    return Reading(min((s for s in shares if s is not None), default=None), num, parts, histograms)


def _of_kind(kind: str, state: State, mass: list[int], num: int) -> dict[str, float | None]:
    """The parts of a kind of `num` rows: W(1), ESS / N, max / median (to an eighth)."""
    total = sum(mass)
    square = whole(state, f"{kind}.square") + whole(state, f"{kind}.square_rest") / FINE
    size = binned(state, f"{kind}.size", SIZES.size)
    largest, median = SIZES.quantile(size, 1.0), SIZES.quantile(size, 0.5)
    return {
        f"{kind}.first": share(mass[1], total),
        f"{kind}.ess": share((total / FIXED_POINT) ** 2, num * square),
        f"{kind}.max_over_median": share(largest or 0, median or 0),
    }


def _unweighted(facts: Facts) -> str | None:
    has = [kind for kind in OF if kind in facts.kinds]
    return None if has else "neither points nor pairs are built, and nothing else has weights"


MEASURES = (
    Measure(
        id="Q17",
        name="Weight mass",
        value="share of rows that weigh as much as all do (ESS / N), least of points and pairs",
        watch={kind: _watch(kind) for kind in OF},
        read=_read,
        applies=_unweighted,
        gates={"": Gate(0.20, 0.05, "below"), "first": Gate(0.50, None)},
    ),
)
