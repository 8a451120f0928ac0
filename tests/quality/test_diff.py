"""What `diff` says of two builds: schema, config, counts, drift, and the rows of one side."""

from __future__ import annotations

import pyarrow as pa
import pytest

from rankdistill.build import build
from rankdistill.differ import against, diff, pick
from rankdistill.errors import ConfigError, PlaceError
from rankdistill.log.days import Asked
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.quality.compare import schema_changes
from rankdistill.quality.report.changes import notes, sentence
from rankdistill.settings import Settings
from tests.feed_kit import feed

SIZES = {"num_candidates": 12, "num_ranked": 8, "num_exposed": 3, "num_items": 100}
SEED = Settings.model_fields["seed"].default
SAMPLES = {"pointwise": {"top_k": 3}, "pairwise": {"top_k": 3}}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return simulate(folder, SimulateOptions(num_requests=40, days=2, **SIZES)).log


def made(log, out, asked=None, **more):
    build(feed(log, out, **{"samples": SAMPLES, **more}), asked=asked)
    return str(out)


def changed(found, what):
    return {row["key"] for row in found[what]}


def test_a_build_does_not_differ_from_itself_or_from_one_of_other_threads(simulated, tmp_path):
    one = pick(made(simulated, tmp_path / "a"))
    other = pick(made(simulated, tmp_path / "b", engine={"kind": "duckdb", "threads": 1}))
    assert diff(one, one, {})["equal"]
    found = diff(one, other, {})
    assert found["equal"], found


def test_another_seed_draws_other_pairs_and_is_told_by_key(simulated, tmp_path):
    one, other = (pick(made(simulated, tmp_path / f"{n}", seed=n)) for n in (1, 2))
    found = diff(one, other, {})
    assert not found["equal"]
    assert changed(found, "config") == {"provenance.config_hash", "provenance.seed"}
    assert "lists" not in found["only"]
    keys = ["request_id", "pos_item_id", "neg_item_id"]
    sides = [
        {
            tuple(row.values())
            for batch in p.data_set.read("pairwise", columns=keys)
            for row in batch.to_pylist()
        }
        for p in (one, other)
    ]
    told = found["only"]["pairwise"]
    assert told["only_a"] == len(sides[0] - sides[1]) > 0
    assert told["only_b"] == len(sides[1] - sides[0]) > 0
    assert tuple(told["examples_a"][0].values()) == min(sides[0] - sides[1])


def test_rows_are_held_against_each_other_on_days_in_common_alone(simulated, tmp_path):
    both = pick(made(simulated, tmp_path / "a"))
    first = Asked(frozenset(["2026-11-01"]))
    same, other = (
        pick(made(simulated, tmp_path / f"{seed}", first, seed=seed)) for seed in (SEED, 7)
    )
    found = diff(both, same, {})
    assert (found["only"], found["equal"]) == ({}, False)
    assert "1 day only in A (2026-11-02)" in sentence(found)
    told = diff(same, both, {})
    assert "1 day only in B" in sentence(told) and "Only B has 2026-11-02" in notes(told)[0]
    unlike = diff(both, other, {})["only"]
    assert unlike == diff(pick(both.name, "2026-11-01"), other, {})["only"]
    assert unlike["pairwise"]["only_b"] > 0 and "lists" not in unlike


def test_a_side_that_was_not_measured_is_not_called_equal(simulated, tmp_path):
    one = pick(made(simulated, tmp_path / "a"))
    bare = pick(made(simulated, tmp_path / "b", quality={"measure": False}))
    found = diff(one, bare, {})
    assert (found["only"], found["schema"], found["equal"]) == ({}, [], False)
    assert sentence(found) == "Schema and rows are equal; nothing else is compared."


def test_equal_keys_with_other_weights_are_told(simulated, tmp_path):
    flat = {"pointwise": {"top_k": 3, "weight": {"kind": "const"}}}
    one = pick(made(simulated, tmp_path / "a", samples={"pointwise": {"top_k": 3}}))
    other = pick(made(simulated, tmp_path / "b", samples=flat))
    found = diff(one, other, {})
    assert not found["equal"]
    told = found["only"]["pointwise"]
    assert (told["only_a"], told["only_b"]) == (0, 0)
    assert found["drift"][0]["distribution"] == "weight"


def test_tables_and_columns_of_one_side_are_named():
    a = {"x": pa.schema([("i", pa.int64()), ("gone", pa.int8())]), "y": pa.schema([])}
    b = {"x": pa.schema([("i", pa.string()), ("new", pa.int8())])}
    assert schema_changes(a, b) == [
        {"table": "x", "column": "i", "a": "int64", "b": "string"},
        {"table": "x", "column": "gone", "a": "int8", "b": None},
        {"table": "x", "column": "new", "a": None, "b": "int8"},
        {"table": "y", "column": None, "a": "table", "b": None},
    ]


def test_baselines_are_days_and_builds(simulated, tmp_path):
    place = made(simulated, tmp_path / "a")
    made(simulated, tmp_path / "a", seed=2)
    before, now = against(pick(place), "yesterday")
    assert (before.days, now.days) == (("2026-11-01",), ("2026-11-02",))
    assert not diff(before, now, {})["equal"]
    before, now = against(pick(place), "last:1")
    assert (before.build.number, now.build.number) == (1, 2)
    assert pick(f"{place}@1").build.number == 1
    for baseline in ("weekday", "last:5"):
        with pytest.raises(PlaceError, match="E0206"):
            against(pick(place), baseline)
    with pytest.raises(ConfigError, match="E0107"):
        against(pick(place), "tomorrow")
    with pytest.raises(PlaceError, match="E0206"):
        pick(place, "2026-12-01")
