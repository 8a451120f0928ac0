"""How many candidates reach each stage, and what users do with those shown: the second page of
the report. Its one gate is feedback that fell silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from rankdistill.lists.batch import STAGES
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import (
    Gate,
    Histogram,
    Measure,
    Reading,
    Seen,
    Shared,
    binned,
    share,
    whole,
)
from rankdistill.quality.scored import hits_of, shown
from rankdistill.quality.state import Adder, State

# Against so many days before: feedback that was expected so often does not lack by chance (e^-12).
PAST_DAYS, LEAST_USUAL = 7, 12
# Of so many that were shown somebody responds to some, where no earlier day tells.
LEAST_SHOWN = 3_000
SIZE = max(STAGES.values()) + 1
SILENT = "silent_feedback"


def _watch(seen: Seen, add: Adder, facts: Facts) -> None:
    lists = seen.lists
    add.bins("last_stage", lists.request, lists.stage, SIZE)
    if facts.has_exposure:
        rows, request = shown(seen).rows, shown(seen).request
    else:
        rows, request = np.arange(len(lists.stage)), lists.request
    for name in facts.feedback:
        add.count(f"feedback.{name}", request[hits_of(lists, name, rows)])


def _read(state: State, shared: Shared) -> Reading:
    last = binned(state, "last_stage", SIZE)
    reached = {name: sum(last[stage:]) for name, stage in STAGES.items()}
    reached |= {name: whole(state, f"feedback.{name}") for name in shared.facts.feedback}
    num, silent = sum(last), _silent(reached, shared)
    untold = "" if shared.facts.has_exposure else "the log does not tell what was exposed"
    without = f"no feedback: {', '.join(silent)}" if silent else ""
    return Reading(
        share(reached["exposed"], num),
        num,
        {
            **{name: share(reached[name], num) for name in reached},
            SILENT: len(silent) if num and shared.facts.feedback else None,
        },
        {"funnel": Histogram(list(reached), list(reached.values()), "candidates")},
        "; ".join(filter(None, (untold, without))),
    )


def _silent(reached: Mapping[str, int], shared: Shared) -> list[str]:
    """Feedback columns that hold nothing, though earlier days did, or nobody did anything."""
    facts = shared.facts
    none = [name for name in facts.feedback if not reached[name]]
    of = "exposed" if facts.has_exposure else "recalled"
    if len(none) == len(facts.feedback) and reached[of] >= LEAST_SHOWN:
        return none
    held: Counter[str] = Counter()
    before = [day.readings["funnel"] for day in shared.past if "funnel" in day.readings]
    for reading in before[-PAST_DAYS:]:
        found = reading.histograms["funnel"]
        held.update(dict(zip(found.labels, map(int, found.counts), strict=True)))
    usual = {name: held[name] * reached[of] / held[of] for name in none if held[of]}
    return [name for name in none if usual.get(name, 0) >= LEAST_USUAL]


MEASURES = (
    Measure(
        id="funnel",
        name="Funnel",
        value="candidates that were exposed",
        watch={"lists": _watch},
        read=_read,
        gates={SILENT: Gate(0.0, None)},
    ),
)
