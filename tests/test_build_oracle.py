"""Whole builds on DuckDB: as the oracle says, and whatever the files and batches look like."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples

from rankdistill.build import BuildResult, build
from rankdistill.lists.batch import Lists
from rankdistill.store.dataset import DataSet
from tests.log.door_kit import (
    as_lists,
    assert_as_told,
    cases,
    in_lists,
    log_block,
    reasons,
    settings,
    table,
)
from tests.oracle import Options, oracle

KINDS: dict[str, Any] = {"pointwise": {}, "pairwise": {}, "listwise": {}}
NUMBER = itertools.count()


def built(log: dict[str, Any], out: Path, **more: Any) -> tuple[BuildResult, DataSet]:
    config = {"samples": KINDS, "engine": {"kind": "duckdb", "threads": 2}, **more}
    return build(settings(log, out, **config)), DataSet.open(out)


def hashes(log: dict[str, Any], out: Path, **more: Any) -> dict[str, str]:
    """{table: content hash}, and the counts at the door."""
    made, data_set = built(log, out, **more)
    found = {name: str(data_set.content_hash(name)) for name in made.build.tables}
    return found | {"door": str(sorted(made.door.items())), "by_dt": str(sorted(made.by_dt))}


@examples(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases())
def test_a_build_makes_what_the_oracle_makes(tmp_path, case):
    rows, options = case
    if options.rank_base == 1:  # a log that counts from 0 would be refused whole
        rows = [{**row, "rank": row["rank"] or None} if "rank" in row else row for row in rows]
    folder = tmp_path / str(next(NUMBER))
    folder.mkdir()
    pq.write_table(table(rows), folder / "log.parquet")
    told = oracle(rows, options)
    if not told.lists:
        return
    block = log_block(options, path=str(folder / "log.parquet"))
    made, data_set = built(block, folder / "out")
    stored = {}
    for batch in data_set.read("lists"):
        stored |= as_lists(Lists.from_rows(batch, options.teacher_order))
    assert_as_told(stored, told, options)
    assert reasons(made.door) == dict(told.reasons)
    set_aside = sum(told.reasons.values())
    assert made.door["rows_in"] == len(rows) == made.door["rows_used"] + set_aside
    if set_aside:
        assert {r for b in data_set.read("rejects") for r in b["reason"].to_pylist()} == {
            *told.reasons
        }


def awkward(num: int = 2000, seed: int = 4) -> list[dict[str, Any]]:
    """Rows of about 60 requests over two days with every kind of fault."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(num):
        request = int(random.integers(0, 60))
        score = float(round(random.normal(), 1))
        rows.append(
            {
                "request_id": None if random.random() < 0.02 else f"r{request}",
                "request_time": 1_790_000_000 + request * 3_600 + int(random.random() < 0.001),
                "item_id": None if random.random() < 0.02 else f"i{random.integers(0, 80)}",
                "user_id": f"u{request % 7}",
                "city": ["x", "y"][request % 2],
                "rank": int(random.integers(1, 40)) if random.random() > 0.01 else -1,
                "teacher_score": random.choice([score, None, float("nan")], p=[0.96, 0.02, 0.02]),
                "click": float(random.random() < 0.1),
            }
        )
    return rows


OPTIONS = Options(mapped=("rank", "teacher_score"), max_candidates=30)
TIMED = {"request_time": {"column": "request_time", "unit": "s"}}


def timed(block: dict[str, Any]) -> dict[str, Any]:
    return {**block, "columns": {**block["columns"], **TIMED}}


def written(source: pa.Table, folder: Path, num_files: int, row_group: int) -> str:
    folder.mkdir()
    size = -(-len(source) // num_files)
    for i in range(num_files):
        part = source.slice(i * size, size)
        pq.write_table(part, folder / f"{i}.parquet", row_group_size=row_group)
    return str(folder)


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("usual")
    path = written(table(awkward()), folder / "in", 1, 100_000)
    return hashes(timed(log_block(OPTIONS, path=path)), folder / "out")


@pytest.mark.parametrize(
    ("num_files", "row_group", "batch_rows", "threads"),
    [(1, 100_000, 1, 1), (3, 7, 1_000_000, 2), (5, 100, 50, 3)],
)
def test_files_row_groups_batches_threads_and_row_order_change_nothing(
    tmp_path, usual, num_files, row_group, batch_rows, threads
):
    source = table(awkward())
    shuffled = source.take(np.random.default_rng(batch_rows).permutation(len(source)))
    path = written(shuffled, tmp_path / "in", num_files, row_group)
    engine = {"kind": "duckdb", "batch_rows": batch_rows, "threads": threads}
    block = timed(log_block(OPTIONS, path=path))
    assert hashes(block, tmp_path / "out", engine=engine) == usual


def test_lists_in_any_batches_and_files_are_the_same(tmp_path):
    rows = [r for r in awkward(600) if r["request_id"] and r["item_id"]]
    source = in_lists([{k: v for k, v in r.items() if k != "request_time"} for r in rows])
    found = []
    for num_files, batch_rows in ((1, 1_000_000), (4, 10)):
        folder = tmp_path / str(num_files)
        folder.mkdir()
        shuffled = source.take(np.random.default_rng(num_files).permutation(len(source)))
        block = log_block(OPTIONS, "lists", path=written(shuffled, folder / "in", num_files, 9))
        engine = {"kind": "duckdb", "batch_rows": batch_rows}
        found.append(hashes(block, folder / "out", engine=engine))
    assert found[0] == found[1]


def made_from(
    rows: list[dict], folder: Path, samples: dict[str, Any] = KINDS, **log: Any
) -> dict[str, list[dict]]:
    """The rows of every table of a build."""
    folder.mkdir()
    pq.write_table(table(rows), folder / "log.parquet")
    block = timed(log_block(OPTIONS, path=str(folder / "log.parquet"), **log))
    made, data_set = built(block, folder / "out", samples=samples)
    return {
        name: sorted((r for b in data_set.read(name) for r in b.to_pylist()), key=repr)
        for name in made.build.tables
    }


def metamorphic(what: str, times: int = 200) -> pytest.MarkDecorator:
    return pytest.mark.fault("21", what, times=times)


@metamorphic("an unrelated request: the others' rows stay")
def test_an_unrelated_request_changes_nothing_for_the_others(tmp_path, trial, told):
    rows = awkward(500, trial)
    more = [{**row, "request_id": "another"} for row in rows[:1]]
    more = [{**more[0], "item_id": f"n{i}", "rank": i + 1, "teacher_score": 1.0} for i in range(9)]
    before = made_from(rows, tmp_path / "a")
    after = made_from([*more, *rows], tmp_path / "b")
    for name, expected in before.items():
        if name == "metrics":  # of all requests together
            continue
        assert [row for row in after[name] if row["request_id"] != "another"] == expected


@metamorphic("scores a*s + b, a > 0: the same rank-based samples")
def test_scaled_scores_give_the_same_rank_based_samples(tmp_path, trial, told):
    rows, a, b = awkward(500, trial), 2.0 ** (trial % 9 - 4), trial % 11 - 5
    scaled = [
        {**r, "teacher_score": None if r["teacher_score"] is None else r["teacher_score"] * a + b}
        for r in rows
    ]
    plain, other = made_from(rows, tmp_path / "a"), made_from(scaled, tmp_path / "b")
    for name in ("pointwise", "pairwise", "listwise"):
        for row in (*plain[name], *other[name]):
            row.pop("teacher_score", None)
            row.pop("margin", None)
        assert sorted(plain[name], key=repr) == sorted(other[name], key=repr)


@metamorphic("items renamed in order: lists are renamed alone")
def test_item_renames_that_keep_their_order_map_through(tmp_path, trial, told):
    rows = awkward(500, trial)
    renamed = [{**r, "item_id": r["item_id"] and "long-prefix-" + r["item_id"]} for r in rows]
    before, after = made_from(rows, tmp_path / "a"), made_from(renamed, tmp_path / "b")
    for row in after["lists"]:
        row["item_id"] = [item.removeprefix("long-prefix-") for item in row["item_id"]]
    assert sorted(after["lists"], key=repr) == before["lists"]
    assert len(after["pairwise"]) == len(before["pairwise"]) > 0


@metamorphic("requests renamed, strategy all: pairs are renamed alone")
def test_request_renames_map_through_where_nothing_is_drawn(tmp_path, trial, told):
    rows = [r for r in awkward(500, trial) if r["request_id"]]
    every = {"pairwise": {"strategy": {"kind": "all"}, "top_k": 3}}
    renamed = [{**r, "request_id": f"{trial}-{r['request_id'][::-1]}"} for r in rows]
    before = made_from(rows, tmp_path / "a", samples=every)["pairwise"]
    after = made_from(renamed, tmp_path / "b", samples=every)["pairwise"]
    for row in after:
        row["request_id"] = row["request_id"].removeprefix(f"{trial}-")[::-1]
    assert before
    told.compare(map(repr, before), map(repr, after))


@metamorphic("rows shuffled, files split and merged: equal hashes")
def test_shuffled_rows_in_other_files_are_the_same(tmp_path, trial, told):
    source, draw = table(awkward(500, trial)), np.random.default_rng(trial)
    found = []
    for name, order in (("a", np.arange(len(source))), ("b", draw.permutation(len(source)))):
        (tmp_path / name).mkdir()
        files, group = (1, 10_000) if name == "a" else (int(draw.integers(2, 6)), 50)
        path = written(source.take(order), tmp_path / name / "in", files, group)
        found.append(hashes(timed(log_block(OPTIONS, path=path)), tmp_path / name / "out"))
    assert found[0] == found[1]


def test_a_share_of_the_requests_is_drawn_by_hash_and_gives_the_same_rows(tmp_path):
    rows = awkward(800)
    whole, some = (
        made_from(rows, tmp_path / "a"),
        made_from(rows, tmp_path / "b", sample_requests=0.4),
    )
    drawn = {row["request_id"] for row in some["lists"]}
    assert 0 < len(drawn) < len(whole["lists"])
    for name in ("lists", "pairwise", "rejects"):
        old = [r for r in whole[name] if r["request_id"] in drawn or not r["request_id"]]
        new = [r for r in some[name] if r["request_id"] in drawn or not r["request_id"]]
        assert old == new
