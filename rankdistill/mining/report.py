"""What a mining found, as sentence-transformers tells it: rules, what is left, scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from rankdistill.quality.text_table import text_table
from rankdistill.samples.mining import RULES

MAX_ROWS = 20_000_000  # of which scores are read back at once; of more, every n-th part
STATISTICS: dict[str, Callable[[np.ndarray], Any]] = {
    "mean": np.mean,
    "median": np.median,
    "std": np.std,
    "min": np.min,
    "25%": lambda score: np.quantile(score, 0.25),
    "50%": lambda score: np.quantile(score, 0.5),
    "75%": lambda score: np.quantile(score, 0.75),
    "max": np.max,
}
# Counts of what was set aside before the search, in words.
SET_ASIDE = {
    "positive_rows_without_user": "positive rows without a user",
    "positive_rows_user_unknown": "positive rows whose user has no vector",
    "positive_rows_item_unknown": "positive rows whose item has no vector",
    "positives_zero_vector": "positives of items of length 0, which have no cosine",
    "users_zero_vector": "users of length 0, who have no nearest item",
    "items_zero_vector": "items of length 0",
}


def distribution(parts: Sequence[Path], positives: Sequence[Path]) -> dict[str, Any]:
    """Statistics of the positives (each anchor's once), the negatives, and their differences."""
    every = max(1, -(-sum(pq.read_metadata(part).num_rows for part in parts) // MAX_ROWS))
    negative, difference = [np.zeros(0)], [np.zeros(0)]
    for part in parts[::every]:
        rows = pq.read_table(part, columns=["score", "pos_score"])
        score = rows.column("score").to_numpy()
        negative.append(score)
        if rows.column("pos_score").null_count == 0:
            difference.append(rows.column("pos_score").to_numpy() - score)
    own = [np.load(file) for file in positives[::every]]
    found = {"positive": own, "negative": negative, "difference": difference}
    return {name: _statistics(np.concatenate([np.zeros(0), *p])) for name, p in found.items()}


def _statistics(score: np.ndarray) -> dict[str, Any]:
    told = {name: float(of(score)) if len(score) else None for name, of in STATISTICS.items()}
    return {"count": len(score)} | told


def mining_report(manifest: Mapping[str, Any], out: str) -> str:
    """The mining as the terminal shows it."""
    counts = manifest["counts"]
    head = f"{counts.get('rows', 0):,} negatives of build {manifest['build']} in {out}"
    of_whom = "users" if manifest["positives"] is None else "(user, positive) pairs"
    lines = [
        head,
        f"anchors   {counts.get('anchors', 0):,} {of_whom} of {counts.get('users', 0):,} users",
        f"searched  {counts['items']:,} items, {manifest['range_max']} a user, less "
        f"{counts.get('excluded', 0):,} that the users know",
    ]
    lines += [f"aside     {counts[n]:,} {text}" for n, text in SET_ASIDE.items() if counts.get(n)]
    lines += ["", text_table(_rules(counts, manifest["options"])), "", *_shortage(manifest)]
    lines.append(text_table(_scores(manifest["scores"])))
    if (read := manifest["scores"]["negative"]["count"]) < counts.get("rows", 0):
        lines.append(f"(scores of {read:,} of the negatives: one part in several was read)")
    return "\n".join(lines)


def _rules(counts: Mapping[str, int], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line for what was looked at, each rule, what was left, what was drawn."""
    total = counts.get("looked_at", 0)
    named = {"looked at": total}
    for rule in RULES:
        if f"skipped.{rule}" in counts:
            named[f"skipped by {rule} {options[rule]:g}"] = counts[f"skipped.{rule}"]
    named |= {"eligible": counts.get("eligible", 0), "kept": counts.get("rows", 0)}
    share = {name: f"{number / total:.2%}" if total else "" for name, number in named.items()}
    return [{"candidates": n, "pairs": number, "share": share[n]} for n, number in named.items()]


def _shortage(manifest: Mapping[str, Any]) -> list[str]:
    counts, options = manifest["counts"], manifest["options"]
    short, total = counts.get("anchors_short", 0), counts.get("anchors", 0)
    if not short:
        return []
    return [
        f"{short:,} anchors ({short / total:.2%}) have fewer than {options['num_negatives']} "
        f"negatives, {counts.get('anchors_without', 0):,} of them none; a larger range_max, or "
        "wider rules, would find more",
        "",
    ]


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"score": name, **{of: scores[of][name] for of in scores}}
        for name in ("count", *STATISTICS)
    ]
