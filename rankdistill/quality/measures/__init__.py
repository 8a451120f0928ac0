"""The measures by id. One more is one entry in the file of its theme."""

from __future__ import annotations

from importlib import import_module

from rankdistill.quality.measure import Measure

# A line each: themes are added side by side.
_THEMES = (
    "calibration",
    "collapse",
    "content",
    "door",
    "drift",
    "funnel",
    "hardness",
    "history",
    "hours",
    "inversions",
    "items",
    "known",
    "later",
    "lengths",
    "mixes",
    "pairs",
    "ranks",
    "signal",
    "softness",
    "teachers",
    "ties",
    "weights",
)

MEASURES: dict[str, Measure] = {
    measure.id: measure
    for measure in sorted(
        (m for theme in _THEMES for m in import_module(f"{__name__}.{theme}").MEASURES),
        key=lambda measure: measure.id,
    )
}
