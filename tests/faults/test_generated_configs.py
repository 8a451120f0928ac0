"""Generated configurations over generated logs, built whole: what must hold of every sample."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from rankdistill.build import build
from rankdistill.errors import UserErrors
from rankdistill.store.dataset import DataSet
from tests.explored import explore
from tests.log.door_kit import settings, table
from tests.samples.test_laws import GRADES, NEGATIVES, STRATEGIES

NUMBER = itertools.count()
STAGES = ["recalled", "preranked", "preranked", "ranked", "ranked", "reranked", "exposed"]
COLUMNS = {"rank": "rank", "teacher_score": "teacher_score", "position": "position"}
MIXES = [
    {"popular": 0.5, "prerank_dropped": 0.25, "tail": 0.25},
    {"prerank_dropped": 0.5, "tail": 0.5},
    {"uniform": 0.5, "recall_dropped": 0.3, "exposed_unclicked": 0.2},
    {"tail": 1.0},
    {"uniform": 1.0},
]
POINTS = st.fixed_dictionaries(
    {
        "positives": st.sampled_from(["rank", "feedback", "exposed", ["rank", "feedback"]]),
        "top_k": st.sampled_from([1, 3]),
        "gap": st.sampled_from(["keep", "drop"]),
        "negatives": st.sampled_from(NEGATIVES),
        "allow_exposed": st.booleans(),
    }
)
PAIRS = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(STRATEGIES),
        "top_k": st.sampled_from([1, 3, 10]),
        "weight": st.sampled_from([{"kind": k} for k in ("none", "rank_gap", "delta_ndcg")]),
        "max_pairs_per_request": st.sampled_from([2, 1000]),
    }
)
LISTED = st.fixed_dictionaries(
    {"grade": st.sampled_from(GRADES), "max_length": st.sampled_from([2, 5, 50])}
)
DRAWN = st.fixed_dictionaries(
    {
        "per": st.sampled_from(["request", "positive"]),
        "num": st.sampled_from([1, 4]),
        "top_k": st.sampled_from([1, 3]),
        "mix": st.sampled_from(MIXES),
        "history_window": st.sampled_from([None, "1d"]),
    }
)
CASES = (
    st.integers(0, 2**32),
    st.fixed_dictionaries(
        {"pointwise": POINTS, "pairwise": PAIRS, "listwise": LISTED, "negatives": DRAWN}
    ),
    st.sampled_from(["recall", "prerank"]),
    st.integers(0, 2**31),
)


def log_of(seed: int) -> list[dict[str, Any]]:
    """A dozen requests of up to 15 candidates, with ties, nulls, repeats and rejected rows."""
    draw, rows = random.Random(seed), []
    for request in range(12):
        for place in range(draw.randrange(16)):
            stage = draw.choice(STAGES)
            is_ranked = stage in ("ranked", "reranked", "exposed")
            score = round(draw.gauss(0, 1), 1) if is_ranked or draw.random() < 0.1 else None
            rows.append(
                {
                    "request_id": None if draw.random() < 0.02 else f"r{request}",
                    "item_id": None if draw.random() < 0.02 else f"i{draw.randrange(40)}",
                    "user_id": f"u{request % 5}",
                    "request_time": 1_793_491_200 + 7_000 * request,
                    "stage": stage,
                    "rank": place + 1 if is_ranked else None,
                    "position": draw.randrange(1, 9) if stage == "exposed" else None,
                    "teacher_score": math.nan if draw.random() < 0.02 else score,
                    "click": float(draw.random() < 0.3) if stage == "exposed" else None,
                }
            )
    return [*rows, *(row for row in rows if draw.random() < 0.03)]


def made(folder: Path, seed: int, samples: dict, student: str, own_seed: int) -> dict[str, Any]:
    """The rows of every table, and the metrics beside them."""
    folder.mkdir()
    pq.write_table(table(log_of(seed)), folder / "log.parquet")
    log = {"path": str(folder / "log.parquet"), "stage": {"from": "column", "column": "stage"}}
    time = {"request_time": {"column": "request_time", "unit": "s"}}
    log["columns"] = {**COLUMNS, **time, "feedback": ["click"]}
    catalogue = {"window": "1d", "allow_short_history": True}
    more = {"seed": own_seed, "student": student, "samples": samples, "catalogue": catalogue}
    build(settings(log, folder / "out", engine={"kind": "duckdb", "threads": 1}, **more))
    data_set = DataSet.open(folder / "out")
    names = ("lists", "pointwise", "pairwise", "listwise", "negatives")
    found: dict[str, Any] = {n: [r for b in data_set.read(n) for r in b.to_pylist()] for n in names}
    found["metrics"] = json.loads((folder / "out" / "metrics.json").read_text())
    return found


def values_of(found: dict[str, Any], measure: str) -> list[float]:
    return [m["value"] for m in found["metrics"]["measures"] if m["id"] == measure]


def check(found: dict[str, Any]) -> None:
    logged = {row["request_id"]: {*row["item_id"]} for row in found["lists"]}
    assert values_of(found, "Q01") == [0]  # no row is lost at the door
    # Null where no negative was drawn.
    assert {value for value in values_of(found, "Q19") if value is not None} <= {0}
    check_pairs(found["pairwise"], logged)
    check_weights(found)
    check_points(found["pointwise"], logged)
    for row in found["listwise"]:
        assert {*row["item_id"]} <= logged[row["request_id"]]
        assert len({*row["item_id"]}) == len(row["item_id"]) >= 2
        assert all(math.isfinite(grade) and grade >= 0 for grade in row["grade"])
    seen = Counter((r["request_id"], r["item_id"]) for r in found["negatives"])
    assert max(seen.values(), default=1) == 1  # strata are disjoint
    for row in found["negatives"]:
        assert row["item_id"] != row["pos_item_id"]
        assert row["pos_item_id"] is None or row["pos_item_id"] in logged[row["request_id"]]


def check_pairs(rows: list[dict], logged: dict[Any, set]) -> None:
    pairs = [(row["request_id"], row["pos_item_id"], row["neg_item_id"]) for row in rows]
    assert len({*pairs}) == len(pairs)
    for request, pos, neg in pairs:
        assert pos != neg
        assert {pos, neg} <= logged[request]
    assert not {*pairs} & {(request, neg, pos) for request, pos, neg in pairs}


def check_weights(found: dict[str, Any]) -> None:
    for name in ("pointwise", "pairwise", "listwise"):
        assert all(math.isfinite(row["weight"]) and row["weight"] >= 0 for row in found[name])
    for name in ("pointwise", "negatives"):
        assert all(0 < row["probability"] <= 1 for row in found[name])


def check_points(rows: list[dict], logged: dict[Any, set]) -> None:
    points = [(row["request_id"], row["item_id"]) for row in rows]
    assert len({*points}) == len(points)  # neither two strata, nor positive and negative
    assert all(item in logged[request] for request, item in points)
    sources: dict[float, set] = {0.0: set(), 1.0: set()}
    for row in rows:
        sources[row["label"]].add(row["source"])
    assert not sources[0.0] & sources[1.0]


@pytest.mark.fault("20", "generated configs over generated logs: what must hold", times=100)
def test_whatever_is_configured_the_samples_keep_their_promises(tmp_path, trial, told):
    built = Counter()

    def law(seed: int, samples: dict, student: str, own_seed: int) -> None:
        folder = tmp_path / str(next(NUMBER))
        try:
            found = made(folder, seed, samples, student, own_seed)
        except UserErrors as fault:  # a config that cannot be meant, found before a row is read
            refused = {error.code for error in fault.errors}
            found = {}
        if not found:
            assert refused == {"E0105"}
            assert not (folder / "out").exists()
            built["refused"] += 1
            return
        built.update({name: len(rows) for name, rows in found.items()})
        check(found)

    explore(law, trial, told, *CASES, examples=10, shrink=False)
    assert built["refused"] < 6  # of 10: the promises are kept by builds, not by refusals
    for name in ("pointwise", "pairwise", "listwise", "negatives"):
        assert built[name], f"no row of {name} was looked at"
