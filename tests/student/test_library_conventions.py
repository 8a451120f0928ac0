"""Under a library's conventions the measures are the library's own numbers, ties and all."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankdistill.student.evaluation.conventions import LIKE
from rankdistill.student.evaluation.judged import Judged
from tests.student.judged_kit import ROW, judged, rows
from tests.student.test_feedback_measures import by_user, exposed
from tests.student.test_teacher_measures import value

LISTS = st.lists(st.lists(ROW, min_size=1, max_size=7), min_size=1, max_size=6)
FEW = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def trec(found: Judged, relevance: str, measure: str, name: str) -> float:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    table = {
        f"q{at}": row for at, row in enumerate(rows(found, number=np.arange(len(found.score))))
    }
    relevant = {
        q: {f"d{r['number']:03d}": int(r[relevance]) for r in row} for q, row in table.items()
    }
    run = {q: {f"d{r['number']:03d}": r["score"] for r in row} for q, row in table.items()}
    told = pytrec_eval.RelevanceEvaluator(relevant, {measure}).evaluate(run)
    return sum(query[name] for query in told.values()) / len(table)


@FEW
@given(LISTS, st.integers(1, 8))
def test_trec_eval(requests, k):
    found = judged(requests, like="trec_eval")
    grades = trec(found, "grade", f"ndcg_cut.{k}", f"ndcg_cut_{k}")
    assert value(found, f"ndcg@{k}") == pytest.approx(grades, abs=1e-6)
    clicks = trec(found, "responded", f"ndcg_cut.{k}", f"ndcg_cut_{k}")
    assert value(found, f"response_ndcg@{k}") == pytest.approx(clicks, abs=1e-6)
    recalled = trec(found, "responded", f"recall.{k}", f"recall_{k}")
    assert value(found, f"response_recall@{k}") == pytest.approx(recalled, abs=1e-6)
    first = trec(found, "responded", "recip_rank", "recip_rank")
    assert value(found, "response_mrr@100") == pytest.approx(first, abs=1e-6)


@FEW
@given(LISTS.filter(lambda lists: min(map(len, lists)) > 1), st.integers(1, 8))
def test_scikit_learn(requests, k):
    metrics = pytest.importorskip("sklearn.metrics")
    found = judged(requests, like="sklearn")
    table = rows(found)
    ndcgs = [
        metrics.ndcg_score([[r["grade"] for r in row]], [[r["score"] for r in row]], k=k)
        for row in table
    ]
    assert value(found, f"ndcg@{k}") == pytest.approx(np.mean(ndcgs))
    shown = [r for row in table for r in exposed(row)]
    label, logit = [r["responded"] for r in shown], np.array([r["score"] for r in shown])
    if len(set(label)) == 2:
        assert value(found, "auc") == pytest.approx(metrics.roc_auc_score(label, logit))
        chance = 1 / (1 + np.exp(-logit))
        assert value(found, "logloss") == pytest.approx(metrics.log_loss(label, chance))


@FEW
@given(LISTS, st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_gauc_is_scikit_learn_s_auc_of_each_group(requests, users):
    metrics = pytest.importorskip("sklearn.metrics")
    table = rows(judged(requests))
    for groups, told in (
        (range(len(table)), value(judged(requests), "gauc")),
        (users, by_user(requests, users).value("gauc")),
    ):
        top = size = 0.0
        for group in set(groups):
            shown = [r for g, row in zip(groups, table, strict=False) if g == group for r in row]
            shown = exposed(shown)
            label = [r["responded"] for r in shown]
            if len(set(label)) == 2:
                top += len(shown) * metrics.roc_auc_score(label, [r["score"] for r in shown])
                size += len(shown)
        assert told == (pytest.approx(top / size) if size else None)


@FEW
@given(LISTS, st.integers(1, 8))
def test_lightgbm(requests, k):
    lightgbm = pytest.importorskip("lightgbm")
    found = judged(requests, like="lightgbm")
    score = found.score.astype(np.float64)
    data = lightgbm.Dataset(
        score[:, None], found.columns["grade"], group=found.lengths, init_score=score
    )
    options = {"objective": "lambdarank", "metric": "ndcg", "eval_at": [k], "verbose": -1}
    told = lightgbm.Booster(options, data).eval_train()
    assert value(found, f"ndcg@{k}") == pytest.approx(told[0][2])


@FEW
@given(LISTS, st.integers(1, 8))
def test_xgboost(requests, k):
    xgboost = pytest.importorskip("xgboost")
    found = judged(requests, like="xgboost")
    data = xgboost.DMatrix(found.score[:, None], found.columns["grade"], nthread=1)
    data.set_group(found.lengths)
    data.set_base_margin(found.score)
    chosen = {"objective": "rank:ndcg", "eval_metric": f"ndcg@{k}", "base_score": 0, "nthread": 1}
    text = xgboost.Booster(chosen, [data]).eval(data)
    told = float(re.search(r":([-\d.e]+)$", text)[1])
    assert value(found, f"ndcg@{k}") == pytest.approx(told, abs=1e-5)


def test_what_is_given_beside_a_library_goes_first():
    for library, said in LIKE.items():
        chosen = judged([[]], like=library, no_relevant="skip").conventions
        assert (chosen.ties, chosen.no_relevant) == (said["ties"], "skip")
