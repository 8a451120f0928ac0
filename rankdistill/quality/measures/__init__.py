"""The measures by id. One more is one entry in the file of its theme."""

from __future__ import annotations

from rankdistill.quality.measure import Measure
from rankdistill.quality.measures import lengths, mixes

MEASURES: dict[str, Measure] = {
    measure.id: measure
    for measure in sorted(
        (*lengths.MEASURES, *mixes.MEASURES),
        key=lambda measure: measure.id,
    )
}
