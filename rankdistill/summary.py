"""What a build made, for the terminal: counts per table, and a look at weights and grades."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.build import BuildResult
from rankdistill.judge import describe_door
from rankdistill.quality.text_table import text_table
from rankdistill.samples.sources import ORDER
from rankdistill.store.dataset import DataSet

# What the counts of a kind say beside its rows; {} is the number.
NOTES = {
    "pointwise": {
        "positives": "{} positives",
        "requests_without_positive": "{} requests without a positive",
        "negatives_missing": "{} negatives wanted but not there",
    },
    "pairwise": {
        "requests_without_row": "{} requests without a pair",
        "pairs_tied_skipped": "{} pairs of tied scores skipped",
        "pairs_gap_not_positive": "{} pairs without a positive weight skipped",
        "rows_not_drawn": "too many to try: the bound is shown",
        "rows_capped": "{} pairs over the cap left out",
    },
    "negatives": {
        "requests_without_positive": "{} requests without a positive",
        "unfilled": "{} wanted but not there",
        "collided": "{} drawn twice",
    },
    "listwise": {
        "items": "{} items",
        "items_cut": "{} items beyond max_length left out",
        "lists_of_one_grade": "{} lists of one grade",
        "requests_without_row": "{} requests of one candidate without a list",
    },
}
FINDINGS = {
    "candidates": "{} candidates",
    "one_candidate_requests": "{} requests of one candidate",
    "requests_with_rank_gap": "{} requests with gaps in rank",
    "rank_ties": "{} tied ranks",
    "score_ties": "{} neighbours with tied scores",
    "score_inversions": "{} neighbours with rising scores",
}


def build_summary(made: BuildResult, output: str) -> str:
    """The build, the door, and a line per table with its rows and what was left out."""
    build, total = made.build, made.totals
    state = f"build {build.number} of {output}"
    rows = []
    if "lists" in build.tables:
        rows.append({"table": "lists", "rows": total["requests"], "note": _findings(total)})
    for kind in NOTES:
        if f"{kind}.rows" in total:  # else not of this build: the table is of other days
            rows.append(
                {"table": kind, "rows": total[f"{kind}.rows"], "note": left_out(kind, total)}
            )
    written = f"only {', '.join(made.mended)}" if made.mended else "nothing"
    lines = [state if made.is_new else f"up to date: {state}; {written} written"]
    lines.append(f"days      {span_of(made.by_dt)}")
    if made.is_new:
        lines.append(f"door      {describe_door(made.door)}")
    lines += [f"window    {text}" for text in made.notes]
    return "\n".join([*lines, *_features(total), "", text_table(rows)])


def _features(total: Counter[str]) -> Iterator[str]:
    """Of each joined feature table, how many look-ups found no row."""
    found: dict[str, Counter[str]] = {}
    for name, number in total.items():
        if name.startswith("features."):
            found.setdefault(name.split(".")[1], Counter())[name.split(".")[3]] += number
    for table, counts in sorted(found.items()):
        missing, looked_up = counts["missing"], counts["looked_up"]
        yield f"features  {table}: no row for {missing:,} of {looked_up:,} looked up"


def span_of(days: Iterable[str]) -> str:
    """ "first .. last, n days"."""
    found = sorted(days)
    if len(found) < 2:
        return found[0] if found else "none"
    return f"{found[0]} .. {found[-1]}, {len(found)} days"


def left_out(kind: str, total: Counter[str], share: float = 1.0) -> str:
    """What a kind's rows consist of and what was left out, in words; why it is empty if so.

    share: of the requests that were counted.
    """
    if total["requests"] and not total[f"{kind}.rows"]:
        return _why_empty(kind, total)
    found = {name: total[f"{kind}.{name}"] / share for name in NOTES[kind]}
    texts = [text.format(f"{found[n]:,.0f}") for n, text in NOTES[kind].items() if found[n]]
    return "; ".join([*_by_source(kind, total), *texts])


def _by_source(kind: str, total: Counter[str]) -> Iterator[str]:
    """What was drawn from each source, and which ran short."""
    drawn = {n.removeprefix(f"{kind}.drawn."): num for n, num in total.items() if ".drawn." in n}
    if kind == "negatives" and drawn:
        names = sorted(drawn, key=ORDER.index)
        yield ", ".join(f"{name} {drawn[name]:,}" for name in names)
        for name in names:
            if short := total[f"{kind}.short.{name}"]:
                yield f"{name} {short:,} short"


def _findings(total: Counter[str]) -> str:
    return "; ".join(text.format(f"{total[n]:,}") for n, text in FINDINGS.items() if total[n])


def _why_empty(kind: str, total: Counter[str]) -> str:
    lone = total["one_candidate_requests"] == total["requests"]
    if lone and kind in ("pairwise", "listwise"):
        return "empty: every request has one candidate, and this kind needs two"
    if lone and kind == "negatives":
        return "empty: every request has one candidate, so none has another beside its positive"
    if kind == "negatives" and total[f"{kind}.requests_without_positive"] == total["requests"]:
        return "empty: no request has a positive (samples.negatives.positives)"
    return "empty: no request has what this kind needs; rankdistill preview REQUEST_ID --why"


def sample_shape(data_set: DataSet) -> str:
    """Weights, sources and grades of each sample kind of the current build, as a table."""
    build = data_set.current()
    assert build is not None
    rows = [
        _shape(kind, list(data_set.read(kind, columns=_columns(kind))))
        for kind in ("pointwise", "pairwise", "listwise")
        if kind in build.tables
    ]
    return text_table(rows)


def _columns(kind: str) -> list[str]:
    return {
        "pointwise": ["source", "weight", "label"],
        "pairwise": ["source", "weight"],
        "listwise": ["source", "weight", "grade"],
    }[kind]


def _shape(kind: str, batches: list[pa.RecordBatch]) -> dict[str, Any]:
    weights = [batch.column("weight").to_numpy(zero_copy_only=False) for batch in batches]
    weight = np.concatenate(weights) if weights else np.zeros(0)
    sources: Counter[str] = Counter()
    for batch in batches:
        sources.update(dict(_counts(batch.column("source"))))
    what = ", ".join(f"{name} {n:,}" for name, n in sorted(sources.items()))
    if kind == "listwise":
        grades: Counter[float] = Counter()
        for batch in batches:
            grades.update(dict(_counts(batch.column("grade").flatten())))
        what = "grades " + ", ".join(f"{g:g}: {n:,}" for g, n in sorted(grades.items()))
    return {
        "kind": kind,
        "rows": len(weight),
        "weight min": float(weight.min()) if len(weight) else None,
        "mean": float(weight.mean()) if len(weight) else None,
        "max": float(weight.max()) if len(weight) else None,
        "of which": what,
    }


def _counts(column: pa.Array) -> Iterator[tuple[Any, int]]:
    for entry in pc.value_counts(column).to_pylist():
        yield entry["values"], entry["counts"]
