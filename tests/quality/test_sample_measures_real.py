"""The measures of samples on real ranked lists, against the same plain Python."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.quality.samples_kit import START, Scene, build, facts_of
from tests.quality.test_sample_measures import KINDS, ORACLES, check

DATA = os.environ.get("RANKDISTILL_REAL_DATA", "")
pytestmark = pytest.mark.skipif(not DATA, reason="RANKDISTILL_REAL_DATA is not set")
QUERIES, DEPTH = 12, 100


def trec_scene() -> Scene:
    """The first documents of some queries: all are ranked, with scores, ties among them, and the
    judged ones of the first five are taken for shown and clicked."""
    folder, rows, num = Path(DATA) / "cedr-trec-runs/wt", [], Counter()
    judged = {}
    for line in (folder / "qrels").read_text().splitlines():
        query, _, document, relevance = line.split()
        judged[query, document] = int(relevance) > 0
    for line in (folder / "test.wt12.run").read_text().splitlines():
        query, _, document, rank, score, _ = line.split()
        num[query] += 1
        if num[query] > DEPTH or len(num) > QUERIES:
            continue
        is_shown = int(rank) <= 5
        rows.append(
            {
                "request_id": query,
                "item_id": document,
                "user_id": query,
                "request_time": START,
                "rank": int(rank),
                "teacher_score": float(score),
                "stage": "exposed" if is_shown else "ranked",
                "substage": None,
                "position": int(rank) if is_shown else None,
                "click": float(judged.get((query, document), False)) if is_shown else None,
            }
        )
    return Scene(rows, [("someone", START, "some document")], {"some document": 1})


@pytest.mark.parametrize("measure", ["Q13", "Q14", "Q15", "Q17", "Q19", "Q21", "Q33"])
def test_a_measure_says_of_real_lists_what_plain_rows_say(measure):
    given = trec_scene()
    mix = {"tail": 0.9, "popular": 0.1}
    kinds = {**KINDS, "negatives": KINDS["negatives"].model_copy(update={"mix": mix})}
    built = build(given, kinds, facts=facts_of(kinds))
    list(check(given, built, measure, ORACLES[measure]))
    assert built.judged(measure).reading.n > 0
