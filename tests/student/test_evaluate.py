"""`evaluate`: a trained student on later requests, from the run's folder to the page."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("torch")

from typer.testing import CliRunner

from rankdistill import cli
from rankdistill.errors import ConfigError, PlaceError, TrainingError, UserErrors
from rankdistill.evaluating import Asked, evaluate
from rankdistill.student.evaluation.page import page
from rankdistill.training import Asked as AskedToTrain
from rankdistill.training import train
from rankdistill.verbs import Run
from tests.quality.page_kit import PAYLOADS, Dom, harmful
from tests.student.kit import built

FEW = ("evaluate.bootstrap.replicates=100",)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A build, and two students of it: `feedback` learns from clicks alone."""
    folder = tmp_path_factory.mktemp("evaluate")
    _, chosen = built(folder)
    train(Run("train"), chosen, AskedToTrain(str(folder / "run")))
    fed = chosen.train.model_copy(
        update={"objectives": chosen.train.model_validate(FEEDBACK).objectives}
    )
    own = chosen.model_copy(update={"train": fed})
    train(Run("train"), own, AskedToTrain(str(folder / "feedback")))
    return folder


FEEDBACK = {"objectives": {"main": [{"kind": "bce", "on": "feedback"}]}}


def asked(place: Path, **changes) -> Asked:
    found = {
        **{"run": str(place / "run"), "config": None, "data": None, "build": None, "dts": ()},
        **{"split": None, "against": None, "recall": None, "out": str(place / "out")},
        "overrides": FEW,
        **changes,
    }
    return Asked(**found)


def evaluated(place: Path, **changes) -> dict:
    evaluate(Run("evaluate"), asked(place, **changes))
    return json.loads((place / "out" / "evaluation.json").read_text())


def value(document: dict, name: str) -> float:
    return next(f["value"] for f in document["measures"] if f["measure"] == name)


def test_a_student_is_measured_on_the_later_split(place):
    found = evaluated(place)
    assert (found["split"], found["num_requests"]) == ("valid", 100)
    assert found["first"].startswith("2026-11-02")
    names = {figure["measure"] for figure in found["measures"]}
    assert {"opa", "ndcg@10", "auc", "catalogue_recall@10", "survival@50"} <= names
    segments = {figure["segment"] for figure in found["segments"]}
    assert segments >= {"length", "user_activity", "scene", "item_popularity", "position"}
    assert any("chose the checkpoint" in note for note in found["notes"])
    for figure in found["measures"]:
        assert figure["low"] <= figure["value"] <= figure["high"]


def test_its_opa_is_what_validation_said_when_it_was_chosen(place):
    epochs = (place / "run" / "metrics.jsonl").read_text().splitlines()
    best = max(json.loads(epoch)["validation"]["opa"] for epoch in epochs)
    assert value(evaluated(place), "opa") == pytest.approx(best, abs=1e-8)


def test_the_segments_of_a_kind_hold_each_request_once(place):
    found = evaluated(place)
    for name in ("scene", "length", "user_activity"):
        held = [f for f in found["segments"] if (f["segment"], f["measure"]) == (name, "opa")]
        assert sum(f["n"] for f in held) == found["num_requests"]
        whole = sum(f["n"] * f["value"] for f in held) / found["num_requests"]
        assert whole == pytest.approx(value(found, "opa"), abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "measure", "keeps"),
    [("position", "survival@5", "exposed"), ("item_popularity", "recall@5@3", "top")],
)
def test_the_items_of_a_kind_are_those_that_a_policy_counts(place, kind, measure, keeps):
    """Of all items, by segment or not: the top 5 hold as many."""
    asked = ("evaluate.m=[5]", "evaluate.k=[3]", "evaluate.policies=[{kind: top, m: 5}]")
    bins = f"evaluate.segments.edges={{{kind}: [2, 3, 50]}}"
    found = evaluated(place, overrides=(*FEW, *asked, bins))
    held = [f for f in found["segments"] if (f["segment"], f["measure"]) == (kind, measure)]
    (whole,) = [f for f in found["policies"] if f["keeps"] == keeps]
    assert len(held) > 1
    assert sum(f["n"] for f in held) == whole["n"]
    total = sum(f["n"] * f["value"] for f in held)
    assert total == pytest.approx(whole["n"] * whole["value"], abs=1e-5)


def test_twice_the_same_bytes(place):
    evaluated(place)
    files = [place / "out" / name for name in ("evaluation.json", "evaluation.html")]
    before = [file.read_bytes() for file in files]
    evaluated(place)
    assert [file.read_bytes() for file in files] == before


def test_a_student_is_not_told_apart_from_itself(place):
    found = evaluated(place, against=str(place / "run"))
    for block in ("measures", "segments", "policies"):
        for figure in found[block]:
            assert figure["difference"]["verdict"] == "not told apart"
            assert figure["difference"]["value"] in (0, None)


def test_one_that_learned_the_teacher_s_order_orders_better_than_one_of_clicks(place):
    found = evaluated(place, against=str(place / "feedback"))
    opa = next(f for f in found["measures"] if f["measure"] == "opa")
    assert opa["difference"]["verdict"] == "better"
    assert opa["difference"]["value"] == pytest.approx(opa["value"] - opa["against"]["value"])


def test_a_recall_student_passes_its_top_to_this_one(place):
    few = (*FEW, "evaluate.recall_m=20", "evaluate.m=[5]")  # 20 candidates each: all pass
    found = evaluated(place, recall=str(place / "feedback"), overrides=few)
    assert value(found, "joint_recall@20@5@10") == value(found, "recall@5@10")


def test_what_was_learned_from_is_no_test(place, tmp_path):
    until = datetime(2026, 11, 2, 12, tzinfo=UTC)
    run = learned_until(place, tmp_path, int(until.timestamp() * 1e6))
    with pytest.raises(TrainingError, match="E0502") as caught:
        evaluated(place, run=run, data=str(place / "feed"))
    assert "trained until 2026-11-02 12:00" in caught.value.found


def test_a_log_without_times_cannot_tell_what_was_learned(place, tmp_path):
    run = learned_until(place, tmp_path, None)
    found = evaluated(place, run=run, data=str(place / "feed"))
    assert any("cannot be told" in note for note in found["notes"])


def learned_until(place, folder, time):
    """The run, as if the last request that it learned from was of that time."""
    shutil.copytree(place / "run", folder / "run")
    file = folder / "run" / "run.json"
    facts = json.loads(file.read_text())
    file.write_text(json.dumps(facts | {"learned": facts["learned"] | {"until": time}}))
    return str(folder / "run")


def test_without_a_config_only_its_own_block_is_set(place):
    with pytest.raises(ConfigError, match="E0108"):
        evaluated(place, overrides=("train.epochs=2",))


def test_a_key_that_is_none_is_told_with_the_override_that_would_be_right(place):
    with pytest.raises(UserErrors) as caught:
        evaluated(place, overrides=("evaluate.kk=[10]",))
    assert "--set 'evaluate.k=[10]'" in caught.value.errors[0].help


def test_what_does_not_fit_the_lists_is_told_before_they_are_read(place):
    overrides = (
        "evaluate.segments.columns=[scen, category, user_id]",
        "evaluate.own_channel=two_tower",
        "evaluate.policies=[{kind: tiers, inner: category}, {kind: top}]",
    )
    with pytest.raises(UserErrors) as caught:
        evaluated(place, overrides=overrides)
    keys = [".".join(map(str, error.key)) for error in caught.value.errors]
    segments = [f"evaluate.segments.columns.{at}" for at in range(3)]
    assert keys == [*segments, "evaluate.own_channel", "evaluate.policies.0.inner"]
    assert 'did you mean "scene"?' in caught.value.errors[0].help


def test_days_are_segments_where_asked_for(place):
    found = evaluated(place, overrides=(*FEW, "evaluate.segments.columns=[dt]"))
    held = [f for f in found["segments"] if (f["segment"], f["measure"]) == ("dt", "opa")]
    assert [(f["label"], f["n"]) for f in held] == [("2026-11-02", 100)]


@pytest.mark.parametrize("name", ["evaluation.json", "evaluation.html"])
def test_files_of_others_stay_as_they_are(place, tmp_path, name):
    (tmp_path / name).write_text('{"schema_version": 1, "mine": 2}')
    with pytest.raises(PlaceError, match="E0202") as caught:
        evaluated(place, out=str(tmp_path))
    assert "none that rankdistill wrote" in caught.value.message
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_page_is_put_neither_into_a_table_nor_through_a_link(place, tmp_path):
    with pytest.raises(PlaceError, match="lies in a table"):
        evaluated(place, out=str(place / "feed" / "lists"))
    (tmp_path / "evaluation.json").symlink_to(place / "aim")
    with pytest.raises(PlaceError, match="symbolic link"):
        evaluated(place, out=str(tmp_path))


def test_measures_that_are_not_there_say_why(place):
    why = {one["measure"]: one["why"] for one in evaluated(place)["left_out"]}
    assert set(why) == {"marginal_recall", "joint_recall"}
    assert "evaluate.own_channel" in why["marginal_recall"]
    none = evaluated(place, overrides=(*FEW, "evaluate.catalogue=0"))
    assert "catalogue_mrr" in {one["measure"] for one in none["left_out"]}
    assert "<b>joint_recall</b>: no recall student" in page(none)


def test_a_student_of_another_data_set_is_told_as_such(place, tmp_path):
    shutil.copytree(place / "feedback", tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    facts = json.loads(file.read_text())
    file.write_text(json.dumps(facts | {"data_set": str(tmp_path / "other")}))
    found = evaluated(place, against=str(tmp_path / "run"))
    assert any("its ids have to be those of" in note for note in found["notes"])
    assert not any("its ids" in note for note in evaluated(place)["notes"])


def test_a_top_that_holds_whole_lists_is_told_as_such(place):
    found = evaluated(place)
    longest = found["longest_list"]
    assert longest > 10
    assert any(f"more than {longest} candidates" in note for note in found["notes"]) == (
        longest <= 50
    )
    short = evaluated(place, overrides=(*FEW, f"evaluate.m=[{longest - 1}]"))
    assert not any("candidates" in note for note in short["notes"])
    whole = evaluated(place, overrides=(*FEW, f"evaluate.m=[{longest}]"))
    assert value(whole, f"survival@{longest}") == 1


@pytest.mark.parametrize("by", ["request", "user"])
def test_gauc_is_told_by_request_or_by_user(place, by):
    found = evaluated(place, overrides=(*FEW, f"evaluate.conventions.gauc_by={by}"))
    gauc = next(f for f in found["measures"] if f["measure"] == "gauc")
    assert gauc["what"] == f"AUC within {by}s"
    assert gauc["low"] < gauc["value"] < gauc["high"]
    assert {f["segment"] for f in found["segments"] if f["measure"] == "gauc"} >= {"scene"}


def test_gauc_by_user_takes_any_rule_of_ties(place):
    rules = ("evaluate.conventions.gauc_by=user", "evaluate.conventions.ties=")
    told = [
        value(evaluated(place, overrides=(*FEW, rules[0], rules[1] + ties)), "gauc")
        for ties in ("id", "hash", "worst")
    ]
    assert told[0] == told[1] == told[2]


def test_training_is_no_split_to_evaluate_on():
    done = CliRunner().invoke(cli.app, ["evaluate", "--run", "run", "--split", "train"])
    assert done.exit_code == 2


def test_a_split_without_requests_is_refused(place):
    with pytest.raises(TrainingError, match="no request in test"):
        evaluated(place, split="test")


def test_a_run_with_options_of_another_version_is_told_as_such(place, tmp_path):
    shutil.copytree(place / "run", tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    file.write_text(file.read_text().replace('"epochs"', '"rounds"', 1))
    with pytest.raises(TrainingError, match="another version"):
        evaluated(place, run=str(tmp_path / "run"))


def test_the_page_is_one_file_that_loads_nothing(place):
    evaluated(place, against=str(place / "feedback"))
    text = (place / "out" / "evaluation.html").read_text()
    dom = Dom(text)
    assert harmful(dom) == []
    assert "default-src 'none'" in text
    assert dom.count("svg") >= 6
    assert "<b>opa</b>: pairs ordered as the teacher does" in text
    assert dom.count("table") == dom.count("svg")
    assert "matplotlib" not in text
    assert "2026-11-02" in text


def test_names_from_a_log_stay_text_on_the_page(place):
    found = evaluated(place)
    for at, payload in enumerate(PAYLOADS):
        one = {**found["segments"][0], "label": payload, "segment": payload}
        found["segments"].append(one)
        found["notes"].append(payload)
        found["students"][0]["run"] = payload if at % 2 else "run"
    assert harmful(Dom(page(found))) == []
