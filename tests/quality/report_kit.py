"""A metrics.json with every kind of measure, picture and verdict the report knows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rankdistill.quality.judged import SEVERITY

NAMES = {
    **{"Q01": "Row conservation", "Q02": "Duplicate rows", "Q06": "Request length"},
    **{"Q07": "Teacher ties", "Q08": "Score-rank inversion", "Q13": "Grade mix"},
    **{"Q14": "Pair coverage", "Q15": "Pair margin", "Q17": "Weight mass"},
    **{"Q18": "Mix of sources", "Q22": "Hardness order", "Q24": "Popularity"},
    **{"Q26": "Coverage", "Q27": "Time leakage", "Q30": "Drift", "Q99": "A measure to come"},
}
SOURCES = ("popular", "prerank_dropped", "recall_dropped", "tail")


DAY = ("2026-11-01",)
# What the verdict is, by the gate of every measure here.
VALUES = {"ok": 0.0312, "warn": 0.112, "fail": 0.412, "not applicable": None}


def measure(
    name: str, verdict: str = "ok", /, dts: Sequence[str] = DAY, **changes: Any
) -> dict[str, Any]:
    """One measure of a metrics.json that says `verdict`."""
    value = VALUES[verdict]
    found = {
        "id": name,
        "name": NAMES.get(name, "Made up"),
        "what": "rows that are not what they should be",
        "unit": "share",
        "value": value,
        "n": 0 if value is None else 80_000,
        "parts": {},
        "chance": {},
        "histogram": {},
        "note": "",
        "verdict": verdict,
        "verdicts": {"": verdict},
        "threshold": {"": {"warn": 0.05, "fail": 0.30, "worse": "above"}},
        "why": "no teacher score is mapped" if value is None else "",
        "segments": [],
        "days": {dt: day(value, verdict) for dt in dts},
        "examples": [],
    }
    return found | changes


def day(value: float | None, verdict: str, n: int = 40_000, **beyond: float) -> dict[str, Any]:
    """What one day says. beyond: parts that are bad; where none is given the value is."""
    bad = beyond or ({"": value} if verdict in ("warn", "fail") else {})
    return {"value": value, "n": n, "chance": 0.0, "verdict": verdict, "beyond": bad}


def histogram(labels: Any, counts: Any, unit: str = "rows") -> dict[str, Any]:
    return {"labels": list(labels), "counts": list(counts), "unit": unit}


def document(measures: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A metrics.json of these measures."""
    held = Counter(m["verdict"] for m in measures)
    found = {
        "schema_version": 1,
        "verdict": max((m["verdict"] for m in measures), key=lambda verdict: SEVERITY[verdict]),
        "num_verdicts": {verdict: held[verdict] for verdict in SEVERITY},
        "days": ["2026-11-01"],
        "facts": {
            "student": "recall",
            "teacher_order": "rank",
            "feedback": ["click"],
            "kinds": {"pairwise": {"top_k": 10}},
            "provenance": {"config_hash": "2a7a42a3-1", "seed": "20261121"},
        },
        "configs": 1,
        "counts": {"candidates": 790_000, "requests": 4_000, "pairwise.rows": 160_000},
        "door": {"rows_in": 800_000, "rejected.score_nan": 9_000, "rejected.rank_null": 1_000},
        "measures": measures,
    }
    return found | changes


def full(days: int = 14) -> dict[str, Any]:
    """Every kind of picture: ordered bins, names, several series, a grid, days, segments."""
    dts = [f"2026-11-{day:02d}" for day in range(1, days + 1)]
    found = [_full(name, dts) for name in NAMES]
    found += [measure(f"Q{n:02d}", "not applicable", dts=dts) for n in (9, 10, 12, 20, 21, 28, 34)]
    return document(sorted(found, key=lambda m: m["id"]), days=dts)


def _full(name: str, dts: list[str]) -> dict[str, Any]:
    verdict = {"Q07": "fail", "Q17": "warn", "Q30": "warn"}.get(name, "ok")
    value = VALUES[verdict]
    wave = [value * (1 + 0.2 * math.sin(i)) for i in range(len(dts))]
    return measure(
        name,
        verdict,
        value=value,
        parts={"mean": 201.3, "least_fill": 0.97, "share.tail": 0.25},
        verdicts={"": verdict, "least_fill": "ok"},
        threshold={
            "": {"warn": 0.05, "fail": 0.30, "worse": "above"},
            "least_fill": {"warn": 0.95, "fail": 0.8, "worse": "below"},
        },
        histogram=PICTURES.get(name, {}),
        note="the last bin is open" if name == "Q06" else "",
        days={dt: day(v, verdict) for dt, v in zip(dts, wave, strict=True)},
        segments=[
            measure(name, segment=f"scene={scene}", n=n)
            for scene, n in (("home", 52_000), ("detail", 21_000), ("search", 7_000))
        ],
        examples=[
            {
                "request_id": 2026110100000000 + i,
                "item_id": f"item-{i * 37}",
                "note": "rank 3 twice",
            }
            for i in range(5)
        ]
        if verdict != "ok"
        else [],
    )


def _bell(middle: float, size: int, width: float) -> list[int]:
    return [int(40_000 * math.exp(-(((i - middle) / width) ** 2))) for i in range(size)]


_EDGES = ("0", "1", "2-4", "5-9", "10-19", "20-49", "50-99", "100-199", "200-499", "500-999")
_SCORES = [f"{-5 + i / 2:.1f}" for i in range(20)]
_RANKS = ("1", "2", "3-5", "6-10", "11-20", "21-50", "51+")
_POPULAR = [f"2^{i}" for i in range(14)]
PICTURES: Mapping[str, dict[str, Any]] = {
    "Q06": {"length": histogram((*_EDGES, "1,000-9,999", "10,000+"), [0, 3, 90, *_bell(3, 9, 2)])},
    "Q07": {
        "score": histogram(_SCORES, _bell(9, 20, 4), "candidates"),
        "ties_by_rank": histogram(
            [str(i) for i in range(1, 31)], [9_000 // i for i in range(1, 31)]
        ),
    },
    "Q08": {
        "inversions": histogram(
            [f"{i / 10:g}-{(i + 1) / 10:g}" for i in range(10)], _bell(0, 10, 2)
        )
    },
    "Q13": {"grade": histogram("012345", [50_000, 40_000, 30_000, 20_000, 10_000, 4_000], "items")},
    "Q14": {
        "ranks": histogram(
            [f"{a} / {b}" for a in _RANKS for b in _RANKS],
            [max(0, (j - i)) * 1_000 for i in range(7) for j in range(7)],
            "pairs",
        )
    },
    "Q17": {
        "weight": histogram(_RANKS, [100.5, 60.25, 90.0, 70.0, 40.0, 20.0, 10.0], "weight"),
        "mean_weight": histogram(_RANKS, [2.0, 1.5, 1.3, 1.1, 1.0, 1.0, 1.0], "mean weight"),
    },
    "Q18": {
        "drawn": histogram(SOURCES, [40_000, 20_000, 11_000, 20_000]),
        "wanted": histogram(SOURCES, [40_000, 20_000, 20_000, 20_000]),
    },
    "Q22": {"mean_percentile": histogram(SOURCES, [0.12, 0.31, 0.22, 0.64], "mean percentile")},
    "Q24": {
        "drawn": histogram(_POPULAR, _bell(5, 14, 4), "negatives"),
        "wanted": histogram(_POPULAR, _bell(6, 14, 4), "negatives"),
        "log": histogram(_POPULAR, _bell(9, 14, 3), "negatives"),
    },
    "Q30": {"change": histogram(_RANKS, [0.2, -0.1, 0.0, 0.05, -0.02, 0.1, -0.2], "share gained")},
}
