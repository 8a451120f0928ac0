"""The measures by id. One more is one entry in the file of its theme."""

from __future__ import annotations

from rankdistill.quality.measure import Measure
from rankdistill.quality.measures import (
    calibration,
    collapse,
    drift,
    funnel,
    hardness,
    history,
    inversions,
    known,
    later,
    lengths,
    mixes,
    pairs,
    ranks,
    signal,
    softness,
    ties,
    weights,
)

# A line each: themes are added side by side.
_THEMES = (
    calibration,
    collapse,
    drift,
    funnel,
    hardness,
    history,
    inversions,
    known,
    later,
    lengths,
    mixes,
    pairs,
    ranks,
    signal,
    softness,
    ties,
    weights,
)

MEASURES: dict[str, Measure] = {
    measure.id: measure
    for measure in sorted(
        (measure for theme in _THEMES for measure in theme.MEASURES),
        key=lambda measure: measure.id,
    )
}
