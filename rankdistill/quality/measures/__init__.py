"""The measures by id. One more is one entry in the file of its theme."""

from __future__ import annotations

from rankdistill.quality.measure import Measure
from rankdistill.quality.measures import drift, history, lengths, mixes

MEASURES: dict[str, Measure] = {
    measure.id: measure
    for measure in sorted(
        (*drift.MEASURES, *history.MEASURES, *lengths.MEASURES, *mixes.MEASURES),
        key=lambda measure: measure.id,
    )
}
