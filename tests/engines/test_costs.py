"""What a build costs, in counters that are the same on every machine."""

from __future__ import annotations

import engine_kit as kit
import pytest

from bench import spark_events
from bench.logs import LENGTH, log
from rankdistill.engines.duckdb import DuckDb
from rankdistill.engines.duckdb_options import DuckDbOptions
from rankdistill.prepare import prepare

NUM_ROWS = 40_000
NUM_REQUESTS = NUM_ROWS // LENGTH
KINDS = {"pointwise": {}, "pairwise": {}, "listwise": {}}
CASCADE = {"columns": {"feedback": ["click"]}}
# At most so many bytes a row of each table, as zstd Parquet; of random ids, which do not compress.
BYTES = {"lists": 12 * LENGTH, "pointwise": 40, "pairwise": 40, "listwise": 9 * LENGTH}


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """The same requests as a log of rows and as one of lists."""
    folder = tmp_path_factory.mktemp("logs")
    return {
        layout: {"path": str(log(folder, NUM_ROWS, layout)), "layout": layout, **CASCADE}
        for layout in ("rows", "lists")
    }


@pytest.fixture
def stages(spark, events):
    """stages(build): what each stage of Spark did while `build` ran."""

    def of(build):
        start = spark_events.size(events)
        build()
        spark_events.settle(events, start)
        return spark_events.stages(events, start)

    return of


def shuffled(ran):
    return [stage["records_written"] for stage in ran if stage["records_written"]]


@pytest.mark.spark
@pytest.mark.parametrize("samples", [{"pairwise": {}}, KINDS], ids=["one kind", "all kinds"])
def test_each_row_is_shuffled_once_whatever_is_made_of_it(stages, logs, tmp_path, samples):
    more = {"samples": samples, "quality": {"measure": False}}
    ran = stages(lambda: kit.built(logs["rows"], tmp_path / "out", "spark", **more))
    assert shuffled(ran) == [NUM_ROWS]
    assert sum(stage["records_read"] for stage in ran) == NUM_ROWS
    assert sum(stage["bytes_written"] for stage in ran) < 50 * NUM_ROWS
    assert sum(stage["spilled"] for stage in ran) == 0


@pytest.mark.spark
def test_of_a_log_of_lists_the_ids_alone_are_shuffled(stages, logs, tmp_path):
    more = {"samples": KINDS, "quality": {"measure": False}}
    ran = stages(lambda: kit.built(logs["lists"], tmp_path / "out", "spark", **more))
    assert shuffled(ran) == [NUM_REQUESTS]  # once, to find those that occur twice
    assert sum(stage["bytes_written"] for stage in ran) < 12 * NUM_REQUESTS + 1000
    assert sum(stage["spilled"] for stage in ran) == 0


@pytest.mark.spark
def test_measures_across_requests_shuffle_three_small_rows_a_request(stages, logs, tmp_path):
    ran = stages(lambda: kit.built(logs["rows"], tmp_path / "out", "spark", samples=KINDS))
    assert shuffled(ran) == [NUM_ROWS, 3 * NUM_REQUESTS]


def test_duckdb_sorts_once_and_joins_nothing(logs, tmp_path):
    for layout, sorts in (("rows", 1), ("lists", 0)):
        engine = DuckDb(DuckDbOptions())
        plan = engine.explain(prepare(kit.settings(logs[layout], tmp_path), engine).query)
        engine.close()
        assert (plan.count("Order By:"), plan.count("Join")) == (sorts, 0)


def test_a_row_of_a_table_takes_few_bytes(logs, tmp_path):
    made = kit.built(logs["rows"], tmp_path / "out", "duckdb", samples=KINDS)
    for table, most in BYTES.items():
        parts = [part for part in made.parts if part.table == table]
        rows, written = (sum(getattr(p, n) for p in parts) for n in ("num_rows", "num_bytes"))
        assert 0 < written / rows < most, table
