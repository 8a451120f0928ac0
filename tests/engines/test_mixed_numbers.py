"""pandas writes a column of integers as floats on days with a null: both are one column."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankdistill.build import build
from rankdistill.log.days import Asked
from rankdistill.settings import Settings
from rankdistill.store.dataset import DataSet

ENGINES = ["duckdb", pytest.param("spark", marks=pytest.mark.spark)]


@pytest.fixture
def log(tmp_path):
    days = {
        "2026-03-01": (pa.array([1, 2], pa.int64()), pa.array([1, 0], pa.int64())),
        "2026-03-02": (pa.array([1.0, 2.0]), pa.array([1.0, None])),
        "2026-03-03": (pa.array([1, 2], pa.int32()), pa.nulls(2)),
    }
    for day, (rank, click) in days.items():
        folder = tmp_path / "log" / f"dt={day}"
        folder.mkdir(parents=True)
        columns = {"request_id": ["r", "r"], "item_id": [7, 8], "rank": rank, "click": click}
        pq.write_table(pa.table(columns), folder / "part.parquet")
    return tmp_path / "log"


def settings(log, output, engine):
    return Settings.model_validate(
        {
            "output": str(output),
            "engine": {"kind": engine},
            "log": {"path": str(log), "columns": {"feedback": ["click"]}},
            "samples": {"pairwise": {}},
        }
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_days_of_integers_and_days_of_floats_build_together_and_apart(
    engine, log, tmp_path, request
):
    if engine == "spark":
        request.getfixturevalue("spark")
    together = settings(log, tmp_path / "together", engine)
    build(together)
    apart = settings(log, tmp_path / "apart", "duckdb")
    for day in ("2026-03-02", "2026-03-03", "2026-03-01"):
        build(apart, asked=Asked(frozenset({day})))
    found = [DataSet.open(each.output).content_hash("lists") for each in (together, apart)]
    assert found[0] == found[1]
    assert found[0].rows == 3
