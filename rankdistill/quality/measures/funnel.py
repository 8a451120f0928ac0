"""How many candidates reach each stage, and what users do with those shown. No gate: the
second page of the report."""

from __future__ import annotations

import numpy as np

from rankdistill.lists.batch import STAGES
from rankdistill.quality.facts import Facts
from rankdistill.quality.measure import (
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

SIZE = max(STAGES.values()) + 1


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
    num = sum(last)
    return Reading(
        share(reached["exposed"], num),
        num,
        {name: share(reached[name], num) for name in reached},
        {"funnel": Histogram(list(reached), list(reached.values()), "candidates")},
        "" if shared.facts.has_exposure else "the log does not tell what was exposed",
    )


MEASURES = (
    Measure(
        id="funnel",
        name="Funnel",
        value="candidates that were exposed",
        watch={"lists": _watch},
        read=_read,
    ),
)
