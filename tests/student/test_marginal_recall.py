"""Marginal recall from a mapped channel column to the page: what a student finds alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

from rankdistill.evaluating import Asked, evaluate
from rankdistill.store.dataset import DataSet
from rankdistill.student.evaluation.contestant import Contestant
from rankdistill.student.evaluation.options import EvaluateOptions
from rankdistill.student.reading import lists_source
from rankdistill.training import Asked as AskedToTrain
from rankdistill.training import train
from rankdistill.verbs import Run
from tests.student.kit import built

MIXES = (["two_tower"], ["two_tower", "hot"], ["hot"], ["two_tower", "swing"], ["swing", "hot"])


def with_channels(log: Path) -> None:
    """Candidates brought by one channel or by several, as their ids have it."""
    for file in sorted(log.rglob("*.parquet")):
        rows = pq.ParquetFile(file).read()
        channels = [MIXES[item % len(MIXES)] for item in rows.column("item_id").to_pylist()]
        pq.write_table(rows.append_column("channels", pa.array(channels)), file)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("channels")
    _, chosen = built(folder, ["log.columns.recall_channel=channels"], with_channels)
    train(Run("train"), chosen, AskedToTrain(str(folder / "run")))
    return folder


def evaluated(place: Path, *overrides: str) -> dict:
    few = ("evaluate.bootstrap.replicates=100", "evaluate.m=[5, 20]", "evaluate.k=[3]")
    asked = [str(place / "run"), None, None, None, (), None, None, None, str(place / "out")]
    evaluate(Run("evaluate"), Asked(*asked, (*few, *overrides)))
    return json.loads((place / "out" / "evaluation.json").read_text())


def by_hand(place: Path, m: int) -> float:
    """The mean over requests of the teacher's top 3 that two_tower alone brought and that stand
    in the student's top m."""
    found = DataSet.open(str(place / "feed"))
    source = lists_source(found, found.newest(), splits=["valid"], columns=["category"])
    student, shares = Contestant.load(place / "run"), []
    for piece in source.pieces:
        lists = source.read([piece])
        score = student.score(student.chunk(lists, source, EvaluateOptions()))
        items = np.array(lists.candidates.column("item_id").to_pylist())
        for first, last in zip(lists.offsets[:-1], lists.offsets[1:], strict=True):
            top = [at for at in range(first, last) if 0 < lists.teacher_rank[at] <= 3]
            best = np.argsort(-score[first:last])[:m] + first
            alone = [at for at in top if items[at] % len(MIXES) == 0]
            shares.append(len(set(alone) & set(best.tolist())) / len(top))
    return float(np.mean(shares))


def test_it_is_what_is_found_by_hand_in_the_lists(place):
    found = evaluated(place, "evaluate.own_channel=two_tower")
    by_name = {figure["measure"]: figure for figure in found["measures"]}
    for m in (5, 20):
        figure = by_name[f"marginal_recall@{m}@3"]
        assert figure["value"] == pytest.approx(by_hand(place, m), abs=1e-8)
        assert figure["low"] < figure["value"] < figure["high"]
        assert figure["value"] < by_name[f"recall@{m}@3"]["value"]
    assert by_name["marginal_recall@20@3"]["value"] > 0.1


def test_without_a_channel_of_its_own_it_is_left_out_and_says_so(place):
    found = evaluated(place)
    assert not [f for f in found["measures"] if f["measure"].startswith("marginal")]
    why = {one["measure"]: one["why"] for one in found["left_out"]}
    assert "does not say which recall channel" in why["marginal_recall"]


def test_a_channel_that_brought_nothing_is_told_with_those_that_did(place):
    found = evaluated(place, "evaluate.own_channel=twotower")
    assert not [f for f in found["measures"] if f["measure"].startswith("marginal")]
    told = "no candidate came from evaluate.own_channel twotower; known are hot, swing, two_tower"
    assert told in found["notes"]
    assert told in (place / "out" / "evaluation.html").read_text()
