"""Known log shapes: a RecFlow file made from its column list, and real logs where they are."""

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest

from rankdistill.build import build
from rankdistill.store.dataset import DataSet
from rankdistill.summary import build_summary
from tests.log.door_kit import settings

FLAGS = [
    "realshow",
    "rerank_pos",
    "rerank_neg",
    "rank_pos",
    "rank_neg",
    "coarse_neg",
    "prerank_neg",
]
RESPONSES = ["effective_view", "long_view", "like", "follow", "forward", "comment"]
KINDS = {"pointwise": {}, "pairwise": {}, "listwise": {}}


def recflow(num_requests=30):
    """Requests of 20 candidates: shown, re-ranked, ranked, and dropped by both pre-rankers."""
    random = np.random.default_rng(7)
    rows = []
    for request in range(num_requests):
        for place in range(20):
            flags = dict.fromkeys(FLAGS, 0)
            if place < 4:  # shown ones are flagged at every stage they passed
                flags |= {"realshow": 1, "rerank_pos": 1, "rank_pos": 1}
            elif place < 8:
                flags |= {"rerank_neg": 1, "rank_pos": 1}
            elif place < 12:
                flags |= {"rank_neg": 1}
            else:
                flags |= {"coarse_neg" if place < 16 else "prerank_neg": 1}
            shown = place < 4
            rows.append(
                {
                    "request_id": 10_000 + request,
                    "request_timestamp": 1_700_000_000_000 + request * 60_000,
                    "user_id": request % 5,
                    "video_id": request * 100 + place,
                    **flags,
                    "rank_index": place * 3 + 1 if place < 12 else 0,
                    "rerank_index": place + 1 if place < 8 else 0,
                    **{name: int(shown and random.random() < 0.5) for name in RESPONSES},
                    "playing_time": int(random.integers(0, 9_000)) if shown else 0,
                    "duration": 9_000,
                }
            )
    return pa.Table.from_pylist(rows)


def built(log, out, **more):
    made = build(settings(log, out, **{"samples": KINDS, **more}))
    return made, DataSet.open(out), build_summary(made, str(out))


def rows_of(data_set, name):
    return [row for batch in data_set.read(name) for row in batch.to_pylist()]


def test_a_recflow_file_builds_with_every_row_at_its_furthest_stage(tmp_path):
    pyarrow.feather.write_feather(recflow(), tmp_path / "day.feather")
    log = {"preset": "recflow", "format": "feather", "path": str(tmp_path / "day.feather")}
    made, data_set, _ = built(log, tmp_path / "out")
    assert made.door == {**made.door, "rows_in": 600, "rows_used": 600}
    lists = rows_of(data_set, "lists")
    assert lists[0]["stage"] == [5] * 4 + [4] * 4 + [3] * 4 + [2] * 8
    assert lists[0]["substage"][12:] == [2] * 4 + [1] * 4
    assert lists[0]["rank"] == [place * 3 + 1 for place in range(12)] + [None] * 8
    assert lists[0]["rerank_rank"][8:] == [None] * 12
    assert lists[0]["playing_time"][4:] == [None] * 16
    assert {row["dt"] for row in lists} == {"2023-11-14"}
    assert made.totals["rank_gaps"] == 0  # a sample of ranks has gaps by nature
    assert all(made.totals[f"{kind}.rows"] > 0 for kind in KINDS)


REAL = os.environ.get("RANKDISTILL_REAL_DATA", "")
real = pytest.mark.skipif(
    not Path(REAL, "cedr-trec-runs").is_dir(),
    reason="RANKDISTILL_REAL_DATA is unset or holds no cedr-trec-runs: real logs not tried",
)


@real
@pytest.mark.parametrize("run", ["test.wt12.run", "test.wt13.run"])
def test_a_real_trec_run_with_judgments_is_accounted_for_row_by_row(tmp_path, run):
    folder = Path(REAL, "cedr-trec-runs", "wt")
    lines = [line.split() for line in (folder / run).read_text().splitlines()]
    judged = [line.split() for line in (folder / "qrels").read_text().splitlines()]
    grades = {(query, doc): float(grade) for query, _, doc, grade in judged}
    queries = Counter(line[0] for line in lines)
    by_place = {(line[0], int(line[3])): float(line[4]) for line in lines}
    ties = sum(by_place.get((q, rank + 1)) == score for (q, rank), score in by_place.items())

    feedback = {
        "path": str(folder / "qrels"),
        "format": "trec",
        "names": ["query", "iteration", "doc", "relevance"],
        "columns": {"request_id": "query", "item_id": "doc", "feedback": ["relevance"]},
    }
    log = {"preset": "trec_run", "path": str(folder / run), "feedback": feedback}
    made, data_set, _ = built(log, tmp_path / "out")
    keys = {(line[0], line[2]) for line in lines}
    assert made.door == {
        **{"rows_in": len(lines), "rows_used": len(lines), "rank_one": len(queries)},
        **{"requests_in": len(queries), "requests_used": len(queries)},
        "feedback.rows_in": len(judged),
        "feedback.joined": len(keys & set(grades)),
        "feedback.without_candidate": sum(k[0] in queries and k not in keys for k in grades),
        "feedback.without_request": sum(line[0] not in queries for line in judged),
    }
    assert made.totals["score_ties"] == ties
    assert all(made.totals[f"{kind}.rows"] > 0 for kind in KINDS)
    found = {
        (row["request_id"], doc): grade
        for row in rows_of(data_set, "lists")
        for doc, grade in zip(row["item_id"], row["relevance"], strict=True)
    }
    assert found == {key: grades.get(key) for key in keys}


@real
def test_open_bandit_gives_points_alone_and_says_why(tmp_path):
    path = Path(REAL, "open-bandit", "bts", "men", "men.csv")
    with path.open() as file:
        logged = list(csv.DictReader(file))
    made, data_set, text = built(
        {"preset": "open_bandit", "path": str(path)}, tmp_path / "out", student="prerank"
    )
    assert made.door == {**made.door, "rows_in": len(logged), "rows_used": len(logged)}
    lists = rows_of(data_set, "lists")
    users = {tuple(row[f"user_feature_{i}"] for i in range(4)) for row in logged}
    assert len({row["user_id"] for row in lists}) == len(users)
    assert sum(row["click"][0] for row in lists) == sum(int(row["click"]) for row in logged)
    assert Counter(row["dt"] for row in lists) == Counter(row["timestamp"][:10] for row in logged)
    totals = made.totals
    assert totals["pairwise.rows"] == totals["listwise.rows"] == 0 < totals["pointwise.rows"]
    assert text.count("empty: every request has one candidate") == 2
