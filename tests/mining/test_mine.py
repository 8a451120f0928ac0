"""Mining a data set from end to end: against plain Python, on any engine, in any parts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from rankdistill import cli
from rankdistill.contract import table_contract
from rankdistill.errors import UserError
from rankdistill.hashing import xxh64
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.mining import work
from rankdistill.mining.mine import mine
from tests.mining.mining_kit import (
    SIZES,
    build_from,
    dot,
    known,
    make_data_set,
    make_vectors,
    options,
    run_mine,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mining")
    data_set = make_data_set(folder)
    return folder, data_set, make_vectors(folder, data_set)


@pytest.fixture
def mined(place, tmp_path, request):
    """mined(**options) -> (rows, manifest), each in a new folder."""
    folder, data_set, _ = place
    count = iter(range(99))

    def run(**given):
        name = f"{request.node.name}-{next(count)}".replace("/", "")
        return run_mine(folder, name, data_set, **given)

    return run


def key_of(value) -> int:
    return int(xxh64(pa.array([value]))[0])


def brute_force(place, source, k, num, margin):
    """Top draws of each (user, positive): all scores sorted, ties by the item's key."""
    _, data_set, vectors = place
    positive, out = known(data_set, source)
    rows = []
    for user in sorted(positive, key=key_of):
        own = vectors["users"][user]
        found = [
            (-dot(own, value), key_of(item), item)
            for item, value in vectors["items"].items()
            if item not in out[user]
        ]
        found.sort()
        for pos in sorted((p for p in positive[user] if p in vectors["items"]), key=key_of):
            limit = dot(own, vectors["items"][pos])
            limit -= margin * abs(limit)
            passed = [(r, -s, i) for r, (s, _, i) in enumerate(found[:k], 1) if -s <= limit]
            rows += [(user, pos, item, rank, score) for rank, score, item in passed[:num]]
    return rows


@pytest.mark.parametrize("source", ["pointwise", "responses"])
def test_mined_rows_are_those_of_a_search_in_plain_python(place, mined, source):
    rows, manifest = mined(positives=source, range_max=250, num_negatives=4, relative_margin=0.25)
    wanted = brute_force(place, source, 250, 4, 0.25)
    names = ["user_id", "pos_item_id", "item_id", "rank", "score"]
    assert list(zip(*(rows[name].to_pylist() for name in names), strict=True)) == wanted
    assert len(wanted) > 50
    assert manifest["counts"]["rows"] == len(wanted)
    assert manifest["positives"] == source
    assert set(rows["probability"].to_pylist()) == {1.0}
    vectors = place[2]
    for row in rows.to_pylist():
        own = dot(vectors["users"][row["user_id"]], vectors["items"][row["pos_item_id"]])
        assert row["pos_score"] == own
    key = rows.select(table_contract("mined")["key"])
    assert len(set(map(tuple, zip(*key.to_pydict().values(), strict=True)))) == len(rows)


@pytest.mark.parametrize("metric", ["inner_product", "cosine"])
def test_parts_memory_and_threads_change_no_row(mined, metric, monkeypatch):
    rules = {"metric": metric, "range_max": 250, "absolute_margin": 0.1}
    rules |= {"sampling_strategy": "random", "margin_from": "weakest"}
    rows, manifest = mined(**rules)
    monkeypatch.setattr(work, "_MAX_PAIRS", 50)
    monkeypatch.setattr(work, "block_sizes", lambda k, limit: (3, 7))
    engine = {"kind": "duckdb", "threads": 2}
    again, parts = mined(**rules, part_users=11, engine=engine)
    assert rows.equals(again)
    assert rows.num_rows > 50
    assert len(parts["files"]) > 5
    assert manifest["counts"] == parts["counts"]
    assert manifest["scores"]["negative"] == parts["scores"]["negative"]


@pytest.mark.spark
def test_spark_mines_the_same_rows(mined, spark):
    rules = {"range_max": 30, "sampling_strategy": "random", "part_users": 30}
    rows, _ = mined(**rules)
    assert rows.equals(mined(**rules, engine={"kind": "spark"})[0])


def test_the_seed_changes_random_draws_alone(mined):
    random = {"range_max": 60, "sampling_strategy": "random"}
    assert mined(**random)[0].equals(mined(**random)[0])
    assert not mined(**random)[0].equals(mined(**random, seed=1)[0])
    assert mined()[0].equals(mined(seed=1)[0])


def test_users_alone_are_anchors_where_there_are_no_positives(place, mined):
    rows, manifest = mined(positives="none", num_negatives=2)
    assert rows["pos_item_id"].null_count == rows["pos_score"].null_count == rows.num_rows
    assert rows.num_rows == 2 * len(place[2]["users"])
    assert manifest["scores"]["positive"]["count"] == 0
    _, out = known(place[1], "responses")
    for row in rows.to_pylist():
        assert row["item_id"] not in out[row["user_id"]]


def test_counts_say_what_had_no_vector_and_add_up(place, mined):
    _, manifest = mined(range_max=20, num_negatives=5, range_min=3, max_score=10.0, min_score=8.0)
    counts = manifest["counts"]
    positive, _ = known(place[1], "pointwise")
    pairs = [(user, item) for user, own in positive.items() for item in own]
    assert counts["anchors"] == sum(item in place[2]["items"] for _, item in pairs)
    assert counts["positive_rows_item_unknown"] > 0
    assert counts["looked_at"] == 20 * counts["anchors"]
    skipped = [counts[f"skipped.{name}"] for name in ("range_min", "max_score", "min_score")]
    assert counts["looked_at"] - sum(skipped) == counts["eligible"]
    assert min(skipped) > 0
    assert 0 < counts["anchors_without"] <= counts["anchors_short"]


def test_scores_are_told_as_of_the_rows(mined):
    rows, manifest = mined()
    score, told = rows["score"].to_numpy(), manifest["scores"]
    assert told["negative"]["count"] == len(score)
    assert told["negative"]["median"] == np.median(score)
    assert told["negative"]["75%"] == np.quantile(score, 0.75)
    difference = rows["pos_score"].to_numpy() - score
    assert told["difference"]["min"] == difference.min()
    assert told["positive"]["count"] == manifest["counts"]["anchors"]


def test_an_index_that_looks_everywhere_mines_the_same_scores(mined):
    """Of items that tie at the edge of what it is asked for, faiss proposes some."""
    pytest.importorskip("faiss")
    exact, _ = mined(range_max=30, metric="cosine")
    flat, _ = mined(range_max=30, metric="cosine", search={"kind": "flat"}, part_users=20)
    near = set(zip(*exact.select(["user_id", "score"]).to_pydict().values(), strict=True))
    assert set(zip(*flat.select(["user_id", "score"]).to_pydict().values(), strict=True)) == near


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        ({"positives": "none", "absolute_margin": 0.1}, "E0105", "a margin is measured from"),
        ({"items": {"path": "users", "id": "id", "vector": "vector"}}, "E0316", "no positive"),
        ({"items": {"path": "wide", "id": "id", "vector": "vector"}}, "E0315", "wide"),
        ({"items": {"path": "text", "id": "id", "vector": "vector"}}, "E0304", "items.id are str"),
        ({"items": {"path": "large", "id": "id", "vector": "vector"}}, "E0315", "overflow"),
    ],
)
def test_what_cannot_be_mined_says_why_and_leaves_nothing(place, tmp_path, given, code, told):
    folder, data_set, vectors = place
    ids = list(vectors["items"])
    for name, own, value in (
        ("users", [-i - 1 for i in range(3)], [[1.0] * 6] * 3),
        ("wide", ids, [[1.0] * 7] * len(ids)),
        ("text", [str(i) for i in ids], [[1.0] * 6] * len(ids)),
        ("large", ids, [[1e38] * 6] * len(ids)),
    ):
        table = {"id": own, "vector": pa.array(value, pa.list_(pa.float32()))}
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    if "items" in given:
        path = str(tmp_path / f"{given['items']['path']}.parquet")
        given = {"items": {**given["items"], "path": path}}
    with pytest.raises(UserError, match=told) as caught:
        mine(options(folder, **given), data_set, tmp_path / "out", notify=lambda *a, **k: None)
    assert caught.value.code == code
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_the_story_of_mining_runs_on_what_demo_leaves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = simulate(tmp_path / "rankdistill-demo" / "simulated", SimulateOptions(**SIZES)).out
    data_set = build_from(out / "log", tmp_path / "rankdistill-demo" / "feed")
    story = Path(__file__).parents[2] / "conf" / "mining.yaml"
    given = ["--config", str(story), "--data", str(data_set.root), "--out", "mined"]
    shown = CliRunner().invoke(cli.app, ["mine-negatives", *given, "--format", "json"])
    assert shown.exit_code == 0, shown.stderr
    counts = json.loads(shown.stdout)["counts"]
    assert counts["positive_rows_user_unknown"] == counts["positive_rows_item_unknown"] == 0
    assert 500 < counts["rows"] <= 3 * counts["anchors"]


def test_the_verb_prints_rules_and_scores_and_refuses_a_folder_with_something_in_it(
    place, tmp_path, monkeypatch
):
    folder, data_set, _ = place
    monkeypatch.chdir(folder)
    Path("mine.yaml").write_text(
        "users: {path: users.parquet, id: id, vector: vector}\n"
        "items: {path: items.parquet, id: id, vector: vector}\n"
        "relative_margin: 0.05\n"
    )
    out = str(tmp_path / "mined")
    given = ["mine-negatives", "--data", str(data_set.root), "--config", "mine.yaml", "--out", out]
    shown = CliRunner().invoke(cli.app, given)
    assert shown.exit_code == 0, shown.stderr
    assert "skipped by relative_margin 0.05" in shown.stdout
    assert "difference" in shown.stdout
    again = CliRunner().invoke(cli.app, [*given, "--set", "num_negatives=1"])
    assert again.exit_code == 4
    assert "not empty" in again.stderr
    as_json = [*given[:-1], str(tmp_path / "more"), "--format", "json", "--set", "range_max=9"]
    value = json.loads(CliRunner().invoke(cli.app, as_json).stdout)
    assert value["range_max"] == 9
    unknown = CliRunner().invoke(cli.app, [*as_json, "--set", "range_mx=9"])
    assert unknown.exit_code == 2
    assert 'did you mean "range_max"' in unknown.stderr
