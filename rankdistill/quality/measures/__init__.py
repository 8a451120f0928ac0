"""The measures by id. One more is one entry in the file of its theme."""

from __future__ import annotations

from rankdistill.quality.measure import Measure
from rankdistill.quality.measures import (
    drift,
    hardness,
    history,
    known,
    later,
    lengths,
    mixes,
    pairs,
    weights,
)

_THEMES = (drift, hardness, history, known, later, lengths, mixes, pairs, weights)
MEASURES: dict[str, Measure] = {
    measure.id: measure
    for measure in sorted(
        (measure for theme in _THEMES for measure in theme.MEASURES),
        key=lambda measure: measure.id,
    )
}
