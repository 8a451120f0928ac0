"""What the samples are made of: grades of lists (Q13), sources of negatives (Q18)."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter

from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import (
    Gate,
    Histogram,
    Measure,
    Reading,
    Seen,
    Shared,
    binned,
    by_name,
    no_negatives,
)
from rankdistill.quality.scale import RANK_LABELS, RANKS, rank_bins
from rankdistill.quality.state import Adder, State
from rankdistill.samples.grade_rules import Grade, GradeOptions

MAX_GRADES = 31  # whole grades 0 .. 30 have a bin each; others fall into equal bins
EQUAL_BINS = 10
# Of fewer items a grade may be missing by chance.
LEAST_ITEMS = 1_000


def entropy(counts: Sequence[float]) -> float:
    """- sum p ln p of counts, in nats."""
    total = sum(counts)
    return -sum(n / total * math.log(n / total) for n in counts if n)


@dataclass(frozen=True)
class Grades:
    """The bins of a rule's grades. width: of a bin, None where each is one whole grade; needs:
    the grades that must not be empty."""

    size: int
    width: float | None = None
    needs: tuple[int, ...] = ()

    def labels(self) -> list[str]:
        if self.width is None:
            return [str(grade) for grade in range(self.size)]
        return [f"{b * self.width:.3g}-{(b + 1) * self.width:.3g}" for b in range(self.size)]

    def middles(self) -> np.ndarray:
        """The grade that a bin stands for, float64 [size]."""
        code = np.arange(self.size)
        return code.astype(float) if self.width is None else (code + 0.5) * self.width


def grades_of(facts: Facts) -> Grades:
    """The bins of the configured grade rule."""
    return _grades_of(json.dumps(facts.kinds["listwise"]["grade"]))


@functools.lru_cache(maxsize=8)
def _grades_of(rule: str) -> Grades:
    found: GradeOptions = TypeAdapter(Grade).validate_json(rule)
    if not found.is_integer or found.highest >= MAX_GRADES:
        return Grades(EQUAL_BINS, found.highest / EQUAL_BINS)
    size = int(found.highest) + 1
    # A list that is too short leaves grades of ranks empty, a log without a stage those of stages,
    # and max_length those of the lowest quantiles; fixed levels of scores are empty where they do
    # not fit the scores. 0 is "no score".
    has_levels = json.loads(rule)["kind"] in ("score_thresholds", "score_sigmoid")
    return Grades(size, None, tuple(range(1, size)) if has_levels else ())


def _watch_grades(seen: Seen, add: Adder, facts: Facts) -> None:
    drawn, bins = seen.drawn, grades_of(facts)
    request = np.repeat(drawn.request, np.diff(drawn.offsets))
    grade = drawn.grade if bins.width is None else drawn.grade / np.float32(bins.width)
    cell = rank_bins(seen.lists.teacher_rank[drawn.item]) * bins.size
    cell += np.minimum(grade.astype(np.int64), bins.size - 1)
    add.bins("grade_by_rank", request, cell, len(RANKS) * bins.size)


def _read_grades(state: State, shared: Shared) -> Reading:
    bins = grades_of(shared.facts)
    shape = len(RANKS), bins.size
    table = np.reshape(binned(state, "grade_by_rank", shape[0] * shape[1]), shape)
    held, labels = table.sum(axis=0).tolist(), bins.labels()
    num = sum(held)
    if not num:
        return Reading(None, 0)
    missing = [labels[grade] for grade in bins.needs if not held[grade]]
    mean = table @ bins.middles() / np.maximum(table.sum(axis=1), 1)
    return Reading(
        entropy(held) / math.log(bins.size),
        num,
        {
            "empty": len(missing) if bins.needs and num >= LEAST_ITEMS else None,
            **{f"share.{label}": n / num for label, n in zip(labels, held, strict=True)},
        },
        {
            "grade": Histogram(labels, held, "items"),
            "mean_by_rank": Histogram(RANK_LABELS, mean.tolist(), "mean grade"),
        },
        f"no item has grade {', '.join(missing)}" if missing else "",
    )


def _without_lists(facts: Facts) -> str | None:
    return None if "listwise" in facts.kinds else "no graded lists are built"


def _watch_sources(seen: Seen, add: Adder, facts: Facts) -> None:
    assert seen.table is not None
    name = "early" if seen.side.is_empty(facts.kinds["negatives"]["mix"]) else "source"
    add.named(name, seen.drawn.request, seen.table.column("source"))


def _read_sources(state: State, shared: Shared) -> Reading:
    held = by_name(state, "source")
    num = sum(held.values())
    targets, short = (_of_sources(shared.counts, what) for what in ("target", "short"))
    wanted = sum(targets.values())
    if not num or not wanted:
        note = "the catalogue was empty: no earlier day was there" if "early" in state else ""
        return Reading(None, num, note=note)
    off = max(abs(held.get(k, 0) / num - n / wanted) for k, n in targets.items())
    filled = {k: 1 - short[k] / n for k, n in targets.items() if n}
    least = min(filled, key=lambda k: filled[k])
    return Reading(
        off,
        num,
        {
            "least_fill": filled[least],
            **{f"share.{k}": held.get(k, 0) / num for k in targets},
            **{f"target.{k}": n / wanted for k, n in targets.items()},
            **{f"fill.{k}": fill for k, fill in filled.items()},
        },
        {
            "source": Histogram(list(targets), [held.get(k, 0) for k in targets]),
            "target": Histogram(list(targets), list(targets.values())),
        },
        # Three standard errors: a small day falls short by chance.
        chance={"least_fill": 3 * math.sqrt(filled[least] * (1 - filled[least]) / targets[least])},
    )


def _of_sources(counts: Mapping[str, int], what: str) -> dict[str, int]:
    """source -> how many were its target, or short of it, on days that are judged."""
    head = f"negatives.{what}."
    return {
        name.removeprefix(head): number - counts.get(name.replace(head, f"{_EARLY}.{what}."), 0)
        for name, number in counts.items()
        if name.startswith(head)
    }


_EARLY = "negatives.early"


MEASURES = (
    Measure(
        id="Q13",
        name="Grade mix",
        value="evenness of the grades: entropy / log(number of grades)",
        watch={"listwise": _watch_grades},
        read=_read_grades,
        applies=_without_lists,
        gates={"": Gate(0.15, None, "below"), "empty": Gate(None, 0)},
        unit="number",
    ),
    Measure(
        id="Q18",
        name="Mix of sources",
        value="largest distance of a source's share from its target",
        watch={"negatives": _watch_sources},
        read=_read_sources,
        applies=no_negatives,
        gates={"": Gate(0.02, 0.10), "least_fill": Gate(0.95, 0.80, "below")},
        by_segment=False,
    ),
)
