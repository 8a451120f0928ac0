"""Students evaluated on frozen requests: measures with intervals, segments, policies, and what
two students differ by. The result is a document of plain values, kept as evaluation.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankdistill.errors import TrainingError
from rankdistill.student.evaluation import policies, whole_catalogue
from rankdistill.student.evaluation.collected import Collected
from rankdistill.student.evaluation.contestant import Contestant
from rankdistill.student.evaluation.feedback import probability
from rankdistill.student.evaluation.gathered import Gathered, OfStudent, drawn_requests, read_all
from rankdistill.student.evaluation.intervals import Quantity, Summed, replicated
from rankdistill.student.evaluation.known import Known
from rankdistill.student.evaluation.measures import AUC, MEASURES
from rankdistill.student.evaluation.options import POLICIES, EvaluateOptions, Tiers
from rankdistill.student.evaluation.policies import Logged
from rankdistill.student.evaluation.segments import Named, Segment
from rankdistill.student.evaluation.told import CATALOGUE, Cell, tell
from rankdistill.student.reading import ListsSource

NUM_BINS = 10  # of the picture of calibration
# Candidates: measures make several hundred bytes of each; a tally is sorted anew every time.
LEARNED_AT_ONCE, MEASURED_AT_ONCE = 2**22, 2**18


@dataclass(frozen=True)
class Plan:
    """source: the requests to evaluate on; history: those of training (it may be empty);
    columns: request columns that are segments; against: another student; recall: one whose top
    `m` pass before."""

    source: ListsSource
    history: ListsSource
    student: Contestant
    options: EvaluateOptions
    seed: int
    columns: Sequence[str] = ()
    against: Contestant | None = None
    recall: Contestant | None = None

    @property
    def students(self) -> list[Contestant]:
        return [self.student, *([self.against] if self.against is not None else [])]


def evaluate(plan: Plan, notify: Callable[..., None]) -> dict[str, Any]:
    """measures, segments, policies, calibration, num_requests and longest_list, as JSON values.

    Raises TrainingError E0501 where a score is not finite, E0502 where there is no request.
    """
    rows = int(plan.history.num_rows.sum() + plan.source.num_rows.sum())
    notify("started", rows=rows)
    found = gather(plan, lambda num: notify("progress", rows=num))
    if not found.num_requests:
        raise TrainingError(
            "E0502",
            f"there is no request in {' and '.join(sorted(plan.source.splits))} to evaluate on",
            help="split.valid_until or --dt leaves none; see --split",
        )
    key = np.concatenate(found.key)
    if plan.options.catalogue:
        put_catalogue(found, key)
    cells = [*measure_cells(found), *segment_cells(found, plan), *item_cells(found)]
    cells += policy_cells(found, policies_of(plan))
    missing = left_out(plan, found, cells)
    names = {each["measure"] for each in missing}
    cells = [cell for cell in cells if cell.measure.split("@")[0] not in names and cell.is_told]
    quantities = [quantity for cell in cells for quantity in cell.quantities]
    notify("intervals")
    keys = {"request": key, "user": found.students[0].collected.users[0]}
    drawn = replicated(quantities, keys, plan.options.bootstrap, plan.seed)
    return {
        "num_requests": found.num_requests,
        "num_items": len(found.item_key),
        "longest_list": int(max(each.max(initial=0) for each in found.values["length"])),
        **tell(cells, drawn, plan.options),
        "left_out": missing,
        "calibration": [reliability(student.collected) for student in found.students],
    }


def gather(plan: Plan, told: Callable[[int], Any]) -> Gathered:
    """Both passes: over the requests of training, then over those to evaluate on."""
    chosen = policies_of(plan)
    inner = sorted({policy.inner for policy in chosen if isinstance(policy, Tiers)})
    names, options = names_of(plan), plan.options
    students = [
        OfStudent(each, Collected(names, options.conventions), Logged(inner, options.k[0]))
        for each in plan.students
    ]
    slots = [f"recall@{options.m[0]}@{options.k[0]}", f"survival@{options.m[0]}"]
    known = Known()
    found = Gathered(plan.source, options, known, students, slots, plan.seed, plan.recall)
    found.named = {name: Named(name) for name in plan.columns}

    def learn(lists: Any) -> None:
        known.add(lists)
        found.see_items(lists)

    read_all(plan.history, LEARNED_AT_ONCE, learn, told)
    read_all(plan.source, MEASURED_AT_ONCE, found.add, told)
    return found


def names_of(plan: Plan) -> list[str]:
    """Every measure that applies, with its numbers."""
    options, found = plan.options, list[str]()
    numbers: dict[tuple[str, ...], Any] = {
        ("k",): [(k,) for k in options.k],
        ("m",): [(m,) for m in options.m],
        ("p",): [(options.rbo,)],
        ("m", "k"): [(m, k) for m in options.m for k in options.k],
        ("first", "m", "k"): [(options.recall_m, m, k) for m in options.m for k in options.k],
        (): [()],
    }
    lacking = lacks(plan)
    for name, measure in MEASURES.items():
        if name == "gauc" and "feedback" not in lacking:
            found.append(AUC)
        if measure.needs not in lacking:
            found += ["@".join([name, *map(str, own)]) for own in numbers[measure.numbers]]
    return found


def lacks(plan: Plan) -> dict[str, str]:
    """What a measure may need -> why it is not there."""
    found = {}
    if not plan.source.response:
        found["feedback"] = "the log counts nothing as a response (log.response)"
    if plan.options.own_channel is None:
        found["alone"] = (
            "evaluate.own_channel does not say which recall channel the student stands for"
        )
    if plan.recall is None:
        found["recall_place"] = "no recall student is given (--recall)"
    return found


def left_out(plan: Plan, found: Gathered, cells: Sequence[Cell]) -> list[dict[str, str]]:
    """Measures that are not told, and why."""
    lacking, own = lacks(plan), plan.options.own_channel
    if own is not None and own not in found.channels:
        known = ", ".join(sorted(found.channels)) or "(none)"
        lacking["alone"] = f"no candidate came from evaluate.own_channel {own}; known are {known}"
    needs = {AUC: "feedback", **{name: measure.needs for name, measure in MEASURES.items()}}
    why = {name: lacking[need] for name, need in needs.items() if need in lacking}
    if not plan.options.catalogue:
        why |= dict.fromkeys(CATALOGUE, "evaluate.catalogue is 0")
    elif "feedback" in lacking:
        why |= dict.fromkeys(CATALOGUE, lacking["feedback"])
    for cell in cells:
        if cell.block == "measures" and not cell.is_told:
            why.setdefault(cell.measure, "no request has one")
    return [{"measure": name, "why": text} for name, text in why.items()]


def policies_of(plan: Plan) -> tuple[Any, ...]:
    """As configured; else a few, and tiers where the log has a score of its pre-ranker."""
    if plan.options.policies is not None:
        return plan.options.policies
    return (*POLICIES, *([Tiers()] if "prerank_score" in plan.source.columns else []))


def put_catalogue(found: Gathered, key: np.ndarray) -> None:
    """The measures over the whole catalogue, beside the others."""
    if not found.asked:
        return
    numbers, held, items = (np.concatenate(side) for side in zip(*found.asked, strict=True))
    chosen = drawn_requests(key[numbers], found.options.catalogue)
    of = np.repeat(np.arange(len(numbers)), held)
    new = np.full(len(numbers), -1)
    new[chosen] = np.arange(len(chosen))
    kept = new[of] >= 0
    item_key = np.concatenate(found.item_keys)
    order = np.argsort(item_key)
    place_of = order[np.searchsorted(item_key[order], items[kept])]
    offsets = np.concatenate([[0], np.cumsum(held[chosen])])
    for student in found.students:
        users, vectors = student.contestant.vectors()
        place = whole_catalogue.places(users[chosen], vectors, item_key, new[of[kept]], place_of)
        bound = found.options.conventions.recall_of
        for k in found.options.k:
            columns = whole_catalogue.columns(place, offsets, k, bound)
            for name, own in columns.items():
                whole = np.zeros((found.num_requests, 2))
                whole[numbers[chosen]] = own
                student.collected.put(f"{name}@{k}", whole)


def measure_cells(found: Gathered) -> Iterator[Cell]:
    """A cell for each measure: of all requests, every student's columns."""
    for name in found.students[0].collected.names:
        own = [s.collected.quantity(name) for s in found.students]
        yield Cell("measures", name, "", "", found.num_requests, own)


def segment_cells(found: Gathered, plan: Plan) -> Iterator[Cell]:
    """The head measures by segments of requests."""
    heads = head_names(plan)
    for segment in found.request_segments():
        for code, requests in _requests_of(segment):
            label = segment.labels[code]
            for name in heads:
                own = [s.collected.quantity(name, requests) for s in found.students]
                yield Cell("segments", name, segment.name, label, len(requests), own)


def head_names(plan: Plan) -> list[str]:
    """What segments are told by."""
    k, m = plan.options.k[0], plan.options.m[0]
    feedback = [AUC, "gauc", f"response_recall@{k}"] if plan.source.response else []
    return ["opa", f"ndcg@{k}", f"recall@{m}@{k}", *feedback]


def _requests_of(segment: Segment) -> Iterator[tuple[int, np.ndarray]]:
    for code in range(len(segment.labels)):
        requests = np.flatnonzero(segment.code == code)
        if len(requests):
            yield code, requests


def item_cells(found: Gathered) -> Iterator[Cell]:
    """Measures that add up over candidates, by segments of these."""
    for segment, name in found.students[0].by_item:
        for code, label in enumerate(found.item_labels(segment)):
            sides = slice(2 * code, 2 * code + 2)
            own = [Summed(s.by_item[segment, name][:, sides]) for s in found.students]
            num = int(own[0].sums[0, 1])
            if num:
                yield Cell("segments", name, segment, label, num, own)


def policy_cells(found: Gathered, chosen: Sequence[Any]) -> Iterator[Cell]:
    """What each policy keeps."""
    for policy in chosen:
        kept = [student.logged.kept(policy) for student in found.students]
        for name in policies.WHAT:
            own = [Quantity(each[name]) for each in kept]
            num = int(own[0].columns[:, 1].sum())
            yield Cell("policies", name, "", policies.name_of(policy), num, own)


def reliability(collected: Collected) -> list[dict[str, float]]:
    """Exposed candidates in ten bins of equal number by logit: expected and observed responses."""
    if AUC not in collected.names:
        return []
    _, score, label = collected.shown()
    order = np.argsort(score, kind="stable")
    bins = [part for part in np.array_split(order, NUM_BINS) if len(part)]
    return [
        {
            "n": len(part),
            "expected": round(float(probability(score[part]).mean()), 9),
            "observed": round(float(label[part].mean()), 9),
        }
        for part in bins
    ]
