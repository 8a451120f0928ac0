"""Metrics computed again from the tables: those that were kept, or what was changed is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankdistill.build import build
from rankdistill.engines.duckdb import DuckDb
from rankdistill.engines.duckdb_options import DuckDbOptions
from rankdistill.errors import ConfigError, InputError, PlaceError
from rankdistill.log.days import Asked
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.quality.options import QualityOptions
from rankdistill.recompute import differences, recomputed
from rankdistill.recount import recounted
from rankdistill.store.dataset import DataSet
from rankdistill.verdict import days_read, judged_build
from tests.feed_kit import feed

SIZES = {"num_candidates": 30, "num_ranked": 15, "num_exposed": 5, "num_items": 300}
KINDS = {
    "pointwise": {"top_k": 3},
    "pairwise": {"top_k": 3},
    "listwise": {"max_length": 5},
    "negatives": {},
}
SPLIT = {"train_until": "2026-11-03T00:00:00Z", "valid_until": "2026-11-04T00:00:00Z"}
OF_THE_DOOR = ("Q01", "Q02")  # what the tables do not hold
DAYS = [f"2026-11-{day:02d}" for day in range(1, 5)]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return simulate(folder, SimulateOptions(num_requests=150, days=4, **SIZES)).log


def settings(log, out, **more):
    return feed(log, out, **{"samples": KINDS, "split": SPLIT, **more})


def made(log, out, **more):
    # A pre-rank student's mix asks for more than such short lists hold.
    build(settings(log, out, **{"quality": {"fail_on": "never"}, **more}))
    return DataSet.open(out)


def again(data_set, dts=None):
    """(differences, the recount) of the current build."""
    current = data_set.current()
    stored = days_read(data_set, current)
    engine = DuckDb(DuckDbOptions())
    try:
        found = recounted(data_set, current, engine, dts or list(current.days), stored)
    finally:
        engine.close()
    return differences(found, stored), found


def rewrite(data_set, table, change, dt=DAYS[2], **options):
    """`change` the rows of each part of a day, behind the data set's back."""
    for file in data_set.files(table, dt=dt):
        rows = pq.ParquetFile(file).read()
        pq.write_table(change(rows), file, **options)


def column(name, change):
    def of(rows):
        values = pa.array(change(rows.column(name).to_pylist()), rows.schema.field(name).type)
        return rows.set_column(rows.schema.get_field_index(name), name, values)

    return of


def shuffled(rows):
    order = np.random.default_rng(7).permutation(rows.num_rows)
    return rows.take(pa.array(order))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("student", ["recall", "prerank"])
def test_the_tables_give_the_metrics_that_were_kept(log, tmp_path, student, threads):
    engine = {"kind": "duckdb", "threads": threads}
    data_set = made(log, tmp_path / "d", student=student, engine=engine)
    unlike, found = again(data_set)
    assert unlike == {}
    assert not any(found.skipped.values())
    states = found.days[DAYS[3]].states
    assert len(states) >= 24
    assert {"Q03", "Q06", "Q14", "Q19", "Q21", "Q23", "Q25", "Q26", "Q28"} <= set(states)


def test_days_built_one_by_one_and_anew_are_recounted_as_they_were_built(log, tmp_path):
    chosen = settings(log, tmp_path / "d")
    for dt in (*DAYS, DAYS[1]):
        build(chosen, asked=Asked(frozenset([dt])), force=True)
    unlike, found = again(DataSet.open(tmp_path / "d"))
    assert unlike == {}
    assert not any(found.skipped.values())
    assert again(DataSet.open(tmp_path / "d"), [DAYS[2]])[0] == {}


def test_rows_in_another_order_give_the_same_metrics(log, tmp_path):
    data_set = made(log, tmp_path / "d")
    rewrite(data_set, "lists", lambda rows: rows, row_group_size=11)
    for kind in KINDS:
        rewrite(data_set, kind, shuffled, row_group_size=50)
    assert again(data_set)[0] == {}


@pytest.mark.parametrize(
    ("table", "name", "change", "measure"),
    [
        ("pointwise", "weight", lambda v: [v[0] * 3, *v[1:]], "Q17"),
        ("pairwise", "margin", lambda v: [0.0, *v[1:]], "Q15"),
        ("negatives", "difficulty", lambda v: [0.01, *v[1:]], "Q22"),
        ("listwise", "grade", lambda v: [[0.0] * len(v[0]), *v[1:]], "Q13"),
        ("lists", "teacher_score", lambda v: [[0.5] * len(v[0]), *v[1:]], "Q07"),
    ],
)
def test_a_changed_value_is_found_with_its_measure_and_day(
    log, tmp_path, table, name, change, measure
):
    data_set = made(log, tmp_path / "d")
    rewrite(data_set, table, column(name, change))
    unlike, _ = again(data_set)
    assert unlike[measure] == [DAYS[2]]
    with pytest.raises(InputError, match="E0604") as error:
        recomputed(data_set, data_set.current(), QualityOptions(), None, None)
    assert f"{measure} on {DAYS[2]}" in error.value.found


@pytest.mark.parametrize("name", ["request_id", "item_id"])
def test_rows_of_nobody_are_refused(log, tmp_path, name):
    data_set = made(log, tmp_path / "d")
    rewrite(data_set, "pointwise", column(name, lambda v: [12345678, *v[1:]]))
    with pytest.raises(InputError, match="E0604"):
        again(data_set)


@pytest.mark.parametrize("table", ["lists", "pairwise", "responses"])
def test_a_damaged_part_is_told_as_one(log, tmp_path, table):
    data_set = made(log, tmp_path / "d")
    file = Path(data_set.files(table, dt=DAYS[2])[0])
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    with pytest.raises(PlaceError, match="E0204"):
        again(data_set)


def test_a_missing_row_is_found(log, tmp_path):
    data_set = made(log, tmp_path / "d")
    rewrite(data_set, "pairwise", lambda rows: rows.slice(1))
    assert "Q14" in again(data_set)[0]


def test_what_the_tables_do_not_tell_is_skipped_with_its_reason(log, tmp_path):
    items = tmp_path / "items.parquet"
    pq.write_table(pa.table({"item_id": list(range(500))}), items)
    catalogue = {"items": {"path": str(items)}}
    data_set = made(log, tmp_path / "d", catalogue=catalogue)
    unlike, found = again(data_set)
    assert unlike == {}
    assert set(found.skipped[DAYS[0]]) == {"Q18", "Q24"}


def test_a_day_whose_build_is_forgotten_is_compared_as_far_as_can_be(log, tmp_path):
    chosen = settings(log, tmp_path / "d")
    for dt in DAYS:
        build(chosen, asked=Asked(frozenset([dt])))
    data_set = DataSet.open(tmp_path / "d")
    data_set.gc(retention_hours=0, keep_builds=1)
    unlike, found = again(data_set)
    assert unlike == {}
    assert not found.skipped[DAYS[3]]
    assert {"Q03", "Q19", "Q24"} <= set(found.skipped[DAYS[0]])
    assert "Q06" not in found.skipped[DAYS[0]]


def test_the_document_computed_again_is_that_of_metrics_json(log, tmp_path):
    data_set = made(log, tmp_path / "d")
    document, notes = recomputed(data_set, data_set.current(), QualityOptions(), None, None)
    assert document == judged_build(data_set, data_set.current(), {})
    assert notes == ()


def test_a_build_without_metrics_gets_some_with_the_config_it_was_built_with(log, tmp_path):
    with_metrics = made(log, tmp_path / "a")
    plain = settings(log, tmp_path / "b", quality={"measure": False})
    build(plain)
    data_set = DataSet.open(tmp_path / "b")
    given = (data_set, data_set.current(), QualityOptions())
    with pytest.raises(InputError, match="E0601"):
        recomputed(*given, None, None)
    with pytest.raises(ConfigError, match="E0105"):
        recomputed(*given, settings(log, tmp_path / "b", seed=5), None)
    document, notes = recomputed(*given, plain, None)
    assert "had no metrics" in notes[-1]
    values = [
        {m["id"]: m["value"] for m in found["measures"] if m["id"] not in OF_THE_DOOR}
        for found in (document, judged_build(with_metrics, with_metrics.current(), {}))
    ]
    assert values[0] == values[1]


def test_nothing_of_a_recount_is_left_behind(log, tmp_path):
    data_set = made(log, tmp_path / "d")
    before = sorted(Path(data_set.root).rglob("*"))
    again(data_set)
    assert sorted(Path(data_set.root).rglob("*")) == before
