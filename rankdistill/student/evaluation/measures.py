"""The measures by name. Adding one is a function and a line here.

A name may carry numbers: recall@50@10 is `recall` with m = 50 and k = 10. `auc` alone is no
ratio of sums; `collected` has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rankdistill.lists.batch import segment_sum
from rankdistill.student.evaluation import feedback, teacher
from rankdistill.student.evaluation.conventions import Conventions
from rankdistill.student.evaluation.judged import Judged
from rankdistill.student.evaluation.teacher import Ratio

AUC, GAUC = "auc", "gauc"
OF_EVALUATE = {"alone", "recall_place"}  # what a measure may need that training does not have


@dataclass(frozen=True)
class Measure:
    """function: (judged, its numbers) -> top and bottom, of requests or, `by` slot, of
    candidates; how: the mean of the requests' ratios, or the ratio of sums; better: 1 more is,
    -1 less is, 0 nearer to 1 is; relevance: `no_relevant` says what a list without one counts.
    """

    function: Callable[..., Ratio]
    what: str
    by: Literal["request", "slot"] = "request"
    how: Literal["mean", "ratio"] = "mean"
    better: Literal[1, 0, -1] = 1
    numbers: tuple[str, ...] = ()
    relevance: bool = False
    needs: str = "teacher"


MEASURES: dict[str, Measure] = {
    "opa": Measure(teacher.pairs_alike, "pairs ordered as the teacher does, mean of requests"),
    "opa_micro": Measure(
        teacher.pairs_alike, "pairs ordered as the teacher does, of all pairs", how="ratio"
    ),
    "opa_stage": Measure(teacher.ranked_above_dropped, "ranked above dropped, mean of requests"),
    "tau_b": Measure(teacher.tau_b, "Kendall's tau-b with the teacher"),
    "ndcg": Measure(
        teacher.ndcg, "NDCG of the teacher's grades", numbers=("k",), relevance=True, needs="grade"
    ),
    "recall": Measure(
        teacher.recall, "of the teacher's top k in the student's top m", "slot", numbers=("m", "k")
    ),
    "rbo": Measure(teacher.rbo, "rank-biased overlap, p in percent", numbers=("p",)),
    "marginal_recall": Measure(
        teacher.marginal,
        "of the teacher's top k found by this student alone",
        *("slot",),
        numbers=("m", "k"),
        needs="alone",
    ),
    "joint_recall": Measure(
        teacher.joint,
        "of the teacher's top k after recall's top and this student's top m",
        *("slot",),
        numbers=("first", "m", "k"),
        needs="recall_place",
    ),
    "survival": Measure(
        feedback.survival, "exposed items in the student's top m", "slot", numbers=("m",)
    ),
    "gauc": Measure(feedback.gauc, "AUC within requests", how="ratio", needs="feedback"),
    "logloss": Measure(
        feedback.logloss, "log loss of the logits", "slot", "ratio", -1, needs="feedback"
    ),
    "calibration": Measure(
        feedback.calibration, "expected over observed", "slot", "ratio", 0, needs="feedback"
    ),
    "response_ndcg": Measure(
        feedback.response_ndcg,
        "NDCG of responses",
        numbers=("k",),
        relevance=True,
        needs="feedback",
    ),
    "response_recall": Measure(
        feedback.response_recall,
        "responses in the student's top k",
        numbers=("k",),
        relevance=True,
        needs="feedback",
    ),
    "response_mrr": Measure(
        feedback.response_mrr,
        "1 / place of the first response",
        numbers=("k",),
        relevance=True,
        needs="feedback",
    ),
}


def parsed(name: str) -> tuple[Measure, tuple[int, ...]]:
    """The measure and its numbers. ValueError where there is none of that name."""
    base, *rest = name.split("@")
    measure = MEASURES.get(base)
    if measure is None:
        raise ValueError(f'measure "{name}" is unknown; known are {", ".join(written())}')
    numbers = tuple(int(text) for text in rest if text.isdecimal())
    is_whole = len(numbers) == len(rest) == len(measure.numbers) and 0 not in numbers
    if not is_whole or (base == "rbo" and numbers[0] > 99):
        raise ValueError(f'measure "{name}" is written {_written(base)}, with numbers from 1')
    return measure, numbers


def written() -> list[str]:
    """The names as they are written: recall@m@k."""
    return [_written(name) for name in MEASURES]


def _written(name: str) -> str:
    return "@".join([name, *MEASURES[name].numbers])


def terms(judged: Judged, name: str) -> Ratio:
    """(top, bottom) of each request, float64 [R]: the value of some requests is the sum of the
    tops over that of the bottoms."""
    measure, numbers = parsed(name)
    top, bottom = (side.astype(np.float64) for side in measure.function(judged, *numbers))
    if measure.by == "slot":
        top, bottom = segment_sum(top, judged.offsets), segment_sum(bottom, judged.offsets)
    if measure.how == "ratio":
        return top, bottom
    return settled(judged, measure, top, bottom)


def slot_terms(judged: Judged, name: str) -> Ratio:
    """(top, bottom) of each candidate, [N], of a measure that adds up over candidates."""
    measure, numbers = parsed(name)
    assert measure.by == "slot", name
    return measure.function(judged, *numbers)


def settled(judged: Judged, measure: Measure, top: np.ndarray, bottom: np.ndarray) -> Ratio:
    """Ratios of which each counts one, or as the conventions have it where there is none."""
    chosen: Conventions = judged.conventions
    held = bottom > 0
    value = np.divide(top, bottom, out=np.zeros(len(top)), where=held)
    counted = held.astype(np.float64)
    is_empty = judged.lengths == 0
    if measure.relevance and chosen.no_relevant != "skip":
        without = ~held & ~is_empty
        counted[without] = 1.0
        value[without] = float(chosen.no_relevant == "one")
    if chosen.empty == "zero":
        counted[is_empty if measure.relevance else ~held] = 1.0
    return value, counted


def is_better(name: str, value: float, other: float) -> bool:
    """Whether the value is better than the other, by the measure's own sense."""
    sense = 1 if name == AUC else parsed(name)[0].better
    assert sense, name
    return (value - other) * sense > 0
