"""The Spark engine: the same rows as DuckDB, from a plan that shuffles once or not at all."""

import json
import re
from pathlib import Path

import engine_kit as kit
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest

from rankdistill.engines.spark import Spark
from rankdistill.engines.spark_options import SparkOptions
from rankdistill.engines.spark_session import REDACTION, redaction
from rankdistill.plan import plan
from rankdistill.prepare import prepare

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]


def test_rows_with_nulls_duplicates_and_ties_come_out_alike(tmp_path):
    found = kit.assert_alike(kit.in_parquet(tmp_path, kit.odd_rows()), tmp_path)
    assert json.loads(found["door"])["rejected.request_id_missing"] > 0


def test_integer_ids_come_out_alike(tmp_path):
    kit.assert_alike(kit.in_parquet(tmp_path, kit.odd_rows(text_ids=False)), tmp_path)


@pytest.mark.parametrize(("partitions", "num_files", "batch_rows"), [(1, 3, 7), (7, 2, 10**6)])
def test_neither_partitions_nor_files_nor_batches_nor_order_matter(
    tmp_path, partitions, num_files, batch_rows
):
    table = kit.odd_rows(800)
    expected = kit.hashes(kit.in_parquet(tmp_path, table), tmp_path, "duckdb")
    shuffled = table.take(np.random.default_rng(1).permutation(len(table)))
    conf = {"spark.sql.shuffle.partitions": str(partitions)}
    engine = {"kind": "spark", "conf": conf, "batch_rows": batch_rows}
    log = kit.in_parquet(tmp_path, shuffled, num_files)
    assert kit.hashes(log, tmp_path, "spark", engine=engine) == expected


@pytest.mark.parametrize("names", [("vids", None), ("cands.vid", "cands.score")])
def test_lists_as_columns_and_as_structs_come_out_alike(tmp_path, names):
    item, score = names
    columns = {"request_id": "rid", "user_id": "uid", "item_id": item}
    log = kit.lists_log(tmp_path) | {"columns": columns, "teacher_order": "list_order"}
    if score:
        columns["teacher_score"] = score
    found = kit.assert_alike(log, tmp_path)
    assert json.loads(found["door"])["requests.request_repeated"] == 4


def test_feedback_of_a_lists_log_comes_out_alike(tmp_path):
    feedback = pa.table({"r": [0, 1, 1, 77, None], "v": [3, 4, 4, 1, 1], "like": [1, 0, 1, 1, 1]})
    pq.write_table(feedback, tmp_path / "feedback.parquet")
    columns = {"request_id": "r", "item_id": "v", "feedback": ["like"]}
    log = kit.lists_log(tmp_path) | {
        "columns": {"request_id": "rid", "item_id": "vids"},
        "teacher_order": "list_order",
        "feedback": {"path": str(tmp_path / "feedback.parquet"), "columns": columns},
    }
    kit.assert_alike(log, tmp_path)


def test_conditions_come_out_alike(tmp_path):
    where = [
        {"column": "teacher_score", "op": "not_null"},
        {"column": "user_id", "op": "in", "values": [1, 2, 3]},
        {"column": "item_id", "op": "!=", "value": "v3"},
        {"column": "seen", "op": ">=", "value": "1970-06-01"},
        {"column": "rank", "op": "<", "value": 20},
    ]
    kit.assert_alike(kit.in_parquet(tmp_path, kit.odd_rows()) | {"where": where}, tmp_path)


def plan_of(log: dict, out: Path) -> str:
    engine = Spark(SparkOptions())
    return engine.explain(prepare(kit.settings(log, out, "spark"), engine).query)


def test_rows_are_shuffled_once_and_lists_never(tmp_path):
    rows = plan_of(kit.in_parquet(tmp_path, kit.odd_rows(50)), tmp_path)
    columns = {"request_id": "rid", "item_id": "vids"}
    log = kit.lists_log(tmp_path) | {"columns": columns, "teacher_order": "list_order"}
    lists = plan_of(log, tmp_path)
    assert len(re.findall(r"\bExchange\b", rows)) == 1
    assert len(re.findall(r"\bExchange\b", lists)) == 0
    for text in (rows, lists):
        assert text.count("MapInArrow") == 1
        assert not re.search(r"Window|Join|BatchEvalPython|ArrowEvalPython|Sort\b", text)


def test_a_plan_tells_what_spark_shuffles_and_of_duckdb_nothing(tmp_path):
    log = kit.in_parquet(tmp_path, kit.odd_rows(300))
    told = plan(kit.settings(log, tmp_path / "out", "spark")).lines
    # Seven columns and eight bytes for their nulls; the ids of request and item are text.
    assert [line for line in told if line.startswith("shuffle")] == [
        f"shuffle   300 rows of about {7 * 8 + 8 + 2 * 16} bytes, 0 MB before compression; "
        "spark.sql.shuffle.partitions: 1 or more, no fewer than cores"
    ]
    plain = plan(kit.settings(log, tmp_path / "out", "duckdb")).lines
    assert not [line for line in plain if line.startswith("shuffle")]


def test_spark_hides_settings_that_hold_secrets(spark):
    pattern = spark.sparkContext.getConf().get(REDACTION)
    assert pattern == redaction(None, [])
    compiled = spark.sparkContext._jvm.java.util.regex.Pattern.compile(pattern)
    keys = ("fs.azure.account.key.x.blob", "fs.s3a.secret.key", "spark.app.name")
    assert [compiled.matcher(key).find() for key in keys] == [True, True, False]
