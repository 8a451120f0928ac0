"""The measures by id. One more is one entry in the file of its theme."""

from __future__ import annotations

from rankdistill.quality.measure import Measure
from rankdistill.quality.measures import (
    calibration,
    collapse,
    content,
    door,
    drift,
    funnel,
    hardness,
    history,
    hours,
    inversions,
    items,
    known,
    later,
    lengths,
    mixes,
    pairs,
    ranks,
    signal,
    softness,
    teachers,
    ties,
    weights,
)

# A line each: themes are added side by side.
_THEMES = (
    calibration,
    collapse,
    content,
    door,
    drift,
    funnel,
    hardness,
    history,
    hours,
    items,
    inversions,
    known,
    later,
    lengths,
    mixes,
    pairs,
    ranks,
    signal,
    softness,
    teachers,
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
