"""The Spark engine: the same rows as DuckDB, from a plan that shuffles once or not at all."""

import gzip
import itertools
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import engine_kit as kit
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
import yaml

from rankdistill.engines.spark import Spark
from rankdistill.engines.spark_options import SparkOptions
from rankdistill.errors import ConfigError, InputError
from rankdistill.prepare import prepare
from rankdistill.store.dataset import DataSet

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]
ROWS = {"columns": kit.COLUMNS}


def in_parquet(folder: Path, table: pa.Table, num_files: int = 1) -> dict:
    """`table` as files under `folder`/in; the log block that reads them."""
    (folder / "in").mkdir(exist_ok=True)
    size = -(-len(table) // num_files)
    for i in range(num_files):
        pq.write_table(table.slice(i * size, size), folder / "in" / f"{i}.parquet")
    return {"path": str(folder / "in"), **ROWS}


def lists_log(folder: Path, num: int = 50) -> dict:
    random = np.random.default_rng(3)
    rows = []
    for request in [*range(num), 7, 8]:  # two ids occur twice
        size = int(random.integers(0, 9))
        items = random.permutation(20)[:size]
        candidates = [
            {"vid": int(v), "score": float(round(random.normal(), 1)), "a.b": {"click": int(v) % 2}}
            for v in items
        ]
        rows.append({"rid": request, "uid": "u", "cands": candidates, "vids": items.tolist()})
    pq.write_table(pa.Table.from_pylist(rows), folder / "lists.parquet", row_group_size=20)
    return {"path": str(folder / "lists.parquet"), "layout": "lists"}


def test_rows_with_nulls_duplicates_and_ties_come_out_alike(tmp_path):
    found = kit.assert_alike(in_parquet(tmp_path, kit.odd_rows()), tmp_path)
    assert json.loads(found["door"])["rejected.request_id_missing"] > 0


def test_integer_ids_come_out_alike(tmp_path):
    kit.assert_alike(in_parquet(tmp_path, kit.odd_rows(text_ids=False)), tmp_path)


@pytest.mark.parametrize(("partitions", "num_files", "batch_rows"), [(1, 3, 7), (7, 2, 10**6)])
def test_neither_partitions_nor_files_nor_batches_nor_order_matter(
    tmp_path, partitions, num_files, batch_rows
):
    table = kit.odd_rows(800)
    expected = kit.hashes(in_parquet(tmp_path, table), tmp_path, "duckdb")
    shuffled = table.take(np.random.default_rng(1).permutation(len(table)))
    conf = {"spark.sql.shuffle.partitions": str(partitions)}
    engine = {"kind": "spark", "conf": conf, "batch_rows": batch_rows}
    log = in_parquet(tmp_path, shuffled, num_files)
    assert kit.hashes(log, tmp_path, "spark", engine=engine) == expected


@pytest.mark.parametrize("names", [("vids", None), ("cands.vid", "cands.score")])
def test_lists_as_columns_and_as_structs_come_out_alike(tmp_path, names):
    item, score = names
    columns = {"request_id": "rid", "user_id": "uid", "item_id": item}
    log = lists_log(tmp_path) | {"columns": columns, "teacher_order": "list_order"}
    if score:
        columns["teacher_score"] = score
    found = kit.assert_alike(log, tmp_path)
    assert json.loads(found["door"])["requests.request_repeated"] == 4


def test_csv_with_odd_names_and_quotes_comes_out_alike(tmp_path):
    names = 'a.b,,"q""u`x",x) or 1=1 --,select'
    lines = [
        "1,i1,3.5,1,",
        '1,"i,2",2.5,2,"say ""hi"""',
        '2,"i\r\n3",NaN,1,x',
        '"",i4,1,1,',
        "3,i5,,1, ",
    ]
    (tmp_path / "log.csv").write_bytes(("\ufeff" + "\r\n".join([names, *lines]) + "\r\n").encode())
    columns = {
        "request_id": {"name": "a.b"},
        "item_id": {"name": ""},
        "teacher_score": {"name": 'q"u`x'},
        "rank": {"name": "x) or 1=1 --"},
        "item": {"note": {"name": "select"}},
    }
    log = {"path": str(tmp_path / "log.csv"), "format": "csv", "columns": columns}
    found = json.loads(kit.assert_alike(log, tmp_path)["door"])
    assert (found["rows_in"], found["rows_used"]) == (5, 2)


def test_parquet_columns_with_odd_names_come_out_alike(tmp_path):
    names = ["a.b", "", 'q"u`x', "select"]
    table = pa.table([["1", "1"], [1, 2], [0.5, 0.25], [{"in.ner`": 1}, None]], names=names)
    keys = ["request_id", "item_id", "teacher_score"]
    log = in_parquet(tmp_path, table) | {
        "columns": {key: {"name": name} for key, name in zip(keys, names, strict=False)},
        "where": [{"column": 'q"u`x', "op": ">", "value": 0.1}],
    }
    kit.assert_alike(log, tmp_path)


def test_json_lines_with_gzip_come_out_alike(tmp_path):
    rows = [
        {"request_id": r, "item_id": f"é{i}", "rank": i + 1, "ctx": {"x": i}, "rare": None}
        for r, i in itertools.product(range(3), range(4))
    ]
    rows[5]["rare"] = "2026-11-01"
    text = "\n".join(map(json.dumps, rows)) + "\n\n"
    (tmp_path / "log.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    columns = {"item": {"x": "ctx.x", "rare": "rare"}}
    log = {"path": str(tmp_path / "log.jsonl.gz"), "format": "jsonl", "columns": columns}
    kit.assert_alike(log, tmp_path)


def test_a_trec_run_with_judgments_comes_out_alike(tmp_path):
    run = [f"{q} Q0  d{q}{d}\t{d} {9 - d} tag" for q in (1, 2) for d in range(1, 6)]
    (tmp_path / "a.run").write_text("\n".join(run) + "\n\n")
    (tmp_path / "qrels").write_text("1 0 d11 1\n1 0 d99 1\n2 0 d23 2\n9 0 d91 1\n")
    feedback = {
        "path": str(tmp_path / "qrels"),
        "format": "trec",
        "names": ["query", "iteration", "doc", "relevance"],
        "columns": {"request_id": "query", "item_id": "doc", "feedback": ["relevance"]},
    }
    log = {"preset": "trec_run", "path": str(tmp_path / "a.run"), "feedback": feedback}
    found = json.loads(kit.assert_alike(log, tmp_path)["door"])
    assert found["feedback.rows_in"] == 4


def test_feedback_of_a_lists_log_comes_out_alike(tmp_path):
    feedback = pa.table({"r": [0, 1, 1, 77, None], "v": [3, 4, 4, 1, 1], "like": [1, 0, 1, 1, 1]})
    pq.write_table(feedback, tmp_path / "feedback.parquet")
    columns = {"request_id": "r", "item_id": "v", "feedback": ["like"]}
    log = lists_log(tmp_path) | {
        "columns": {"request_id": "rid", "item_id": "vids"},
        "teacher_order": "list_order",
        "feedback": {"path": str(tmp_path / "feedback.parquet"), "columns": columns},
    }
    kit.assert_alike(log, tmp_path)


def test_partition_folders_keep_their_text(tmp_path):
    days = ["007", "a%2Fb", "x[1]{y}%3Dz*", "__HIVE_DEFAULT_PARTITION__"]
    for i, day in enumerate(days):
        folder = tmp_path / "in" / f"dt={day}" / f"hour={i}"
        folder.mkdir(parents=True)
        rows = {"request_id": [i], "item_id": [1], "rank": [1]}
        pq.write_table(pa.table(rows), folder / "p{0}.parquet")
    kit.assert_alike({"path": str(tmp_path / "in")}, tmp_path)
    assert set(DataSet.open(tmp_path / "spark").current().days) >= {"007", "a/b", "x[1]{y}=z*"}


def test_files_under_several_roots_are_read_as_one(tmp_path):
    for i, root in enumerate("ab"):
        folder = tmp_path / root / f"dt=2026-11-0{i + 1}"
        folder.mkdir(parents=True)
        kind = [pa.int32(), pa.int64()][i]  # the same column, narrower in one file
        rows = {"request_id": pa.array([i], kind), "item_id": [1], "rank": [1]}
        pq.write_table(pa.table(rows), folder / "x.parquet")
    kit.assert_alike({"path": [str(tmp_path / "a"), str(tmp_path / "b")]}, tmp_path)


def times_table() -> pa.Table:
    micros = [0, -1, 1_790_000_000_123_456]
    naive = pa.array(micros, pa.timestamp("us"))
    return pa.table(
        {
            "request_id": [1, 2, 3],
            "item_id": pa.array([2**64 - 1, 5, 6], pa.uint64()),
            "rank": pa.array([1, 1, 1], pa.uint16()),
            "request_time": naive.cast(pa.timestamp("ns")),
            "us": naive,
            "utc": naive.cast(pa.timestamp("us", tz="Asia/Shanghai")),
            "date": pa.array([0, 1, None], pa.date32()),
            "tag": pa.array(["a", None, "a"]).dictionary_encode(),
            "score": pa.array(["1.25", "2.50", None]).cast(pa.decimal128(9, 2)),
            "none": pa.nulls(3),
        }
    )


@pytest.mark.parametrize("int96", [False, True])
def test_times_and_unusual_types_come_out_alike(tmp_path, int96):
    path = tmp_path / "log.parquet"
    pq.write_table(times_table(), path, use_deprecated_int96_timestamps=int96)
    columns = {"item": ["us", "utc", "date", "tag", "none"], "prerank_score": "score"}
    kit.assert_alike({"path": str(path), "columns": columns}, tmp_path, dt={"from": "request_time"})


def test_feather_comes_out_alike(tmp_path):
    table = times_table().drop_columns(["none"])
    pa.feather.write_feather(table, tmp_path / "log.feather")
    log = {"path": str(tmp_path / "log.feather"), "format": "feather", "columns": {"item": ["utc"]}}
    kit.assert_alike(log, tmp_path)


def test_orc_gives_the_rows_that_parquet_gives(tmp_path):
    table = kit.odd_rows(300).drop_columns(["seen"])
    pa.orc.write_table(table, tmp_path / "log.orc")
    columns = {"feedback": ["click"]}
    expected = kit.hashes(in_parquet(tmp_path, table) | {"columns": columns}, tmp_path, "duckdb")
    log = {"path": str(tmp_path / "log.orc"), "format": "orc", "columns": columns}
    assert kit.hashes(log, tmp_path, "spark") == expected


def test_conditions_come_out_alike(tmp_path):
    where = [
        {"column": "teacher_score", "op": "not_null"},
        {"column": "user_id", "op": "in", "values": [1, 2, 3]},
        {"column": "item_id", "op": "!=", "value": "v3"},
        {"column": "seen", "op": ">=", "value": "1970-06-01"},
        {"column": "rank", "op": "<", "value": 20},
    ]
    kit.assert_alike(in_parquet(tmp_path, kit.odd_rows()) | {"where": where}, tmp_path)


def plan_of(log: dict, out: Path) -> str:
    engine = Spark(SparkOptions())
    return engine.explain(prepare(kit.settings(log, out, "spark"), engine).query)


def test_rows_are_shuffled_once_and_lists_never(tmp_path):
    rows = plan_of(in_parquet(tmp_path, kit.odd_rows(50)), tmp_path)
    columns = {"request_id": "rid", "item_id": "vids"}
    log = lists_log(tmp_path) | {"columns": columns, "teacher_order": "list_order"}
    lists = plan_of(log, tmp_path)
    assert len(re.findall(r"\bExchange\b", rows)) == 1
    assert len(re.findall(r"\bExchange\b", lists)) == 0
    for plan in (rows, lists):
        assert plan.count("MapInArrow") == 1
        assert not re.search(r"Window|Join|BatchEvalPython|ArrowEvalPython|Sort\b", plan)


def test_a_catalogue_table_gives_the_rows_of_its_files(tmp_path, spark):
    table = kit.odd_rows(300).drop_columns(["seen"]).append_column("dt", pa.array(["007"] * 300))
    columns = {"feedback": ["click"]}
    pq.write_to_dataset(table, tmp_path / "in", partition_cols=["dt"])
    expected = kit.hashes({"path": str(tmp_path / "in"), "columns": columns}, tmp_path, "duckdb")
    spark.catalog.createTable("a_log", path=str(tmp_path / "in"), source="parquet")
    spark.catalog.recoverPartitions("a_log")
    log = {"table": "default.a_log", "columns": columns}
    assert kit.hashes(log, tmp_path, "spark") == expected
    assert not kit.built(log, tmp_path / "spark", "spark").is_new


def test_a_remote_place_gives_the_rows_of_its_files(tmp_path):
    log = in_parquet(tmp_path, kit.odd_rows(300).drop_columns(["seen"]), 2)
    log["columns"] = {"feedback": ["click"]}
    expected = kit.hashes(log, tmp_path, "duckdb")
    remote = log | {"path": f"file://{log['path']}"}
    assert kit.hashes(remote, tmp_path, "spark") == expected
    with pytest.raises(InputError, match="E0311"):
        kit.built(log | {"path": f"file://{tmp_path}/absent"}, tmp_path / "x", "spark")


def test_a_file_damaged_in_its_middle_is_named(tmp_path):
    log = in_parquet(tmp_path, kit.odd_rows())
    path = tmp_path / "in" / "0.parquet"
    data = bytearray(path.read_bytes())
    data[100:2000] = bytes(1900)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"E0310.*0\.parquet"):
        kit.built(log, tmp_path / "spark", "spark")


def test_a_ragged_csv_is_refused_with_its_name(tmp_path):
    (tmp_path / "log.csv").write_text("request_id,item_id,rank\n1,1,1\n1,2\n")
    log = {"path": str(tmp_path / "log.csv"), "format": "csv"}
    with pytest.raises(InputError, match=r"E0310.*log\.csv"):
        kit.built(log, tmp_path / "spark", "spark")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.jsonl", '{"request_id": 1, "item_id": "a", "rank": 1}\n' * 10_001 + '{"item_id": 5}'),
        ("log.jsonl", '{"request_id": 1, "item_id": "a", "rank": 1}\n' * 10_001 + '{"item_'),
        ("log.run", "1 Q0 d1 1 0.5 tag\n1 Q0 d2\n"),
    ],
)
@pytest.mark.parametrize("kind", ["duckdb", "spark"])
def test_a_line_of_another_kind_is_refused_with_its_file(tmp_path, name, text, kind):
    (tmp_path / name).write_text(text)
    log = {"path": str(tmp_path / name), "format": "jsonl"}
    if name == "log.run":
        log = {"path": str(tmp_path / name), "preset": "trec_run"}
    with pytest.raises(InputError, match="E0310") as caught:
        kit.built(log, tmp_path / kind, kind)
    assert str(tmp_path / name) in f"{caught.value.message} {caught.value.found}"


def test_text_that_is_no_utf8_is_refused(tmp_path):
    rows = b"request_id,item_id,rank\n" + b"1,1,1\n" * 20_000  # beyond what is looked into
    (tmp_path / "log.csv").write_bytes(rows + b"1,\xff,1\n")
    log = {"path": str(tmp_path / "log.csv"), "format": "csv"}
    with pytest.raises(InputError, match=r"E0310.*log\.csv"):
        kit.built(log, tmp_path / "spark", "spark")


def test_an_error_of_a_worker_arrives_as_it_was_raised(tmp_path):
    engine = Spark(SparkOptions())
    query = prepare(kit.settings(in_parquet(tmp_path, kit.odd_rows(50)), tmp_path), engine).query

    def work(batches, task):
        next(batches)
        raise ConfigError("E0105", "no such thing", found="this", help="that")
        yield

    with pytest.raises(ConfigError) as caught:
        list(engine.run(query, work, lambda rows: None))
    error = caught.value
    assert (error.code, error.message, error.found, error.help) == (
        "E0105",
        "no such thing",
        "this",
        "that",
    )


def test_hidden_files_are_refused_and_not_overlooked(tmp_path):
    log = in_parquet(tmp_path, kit.odd_rows(50))
    (tmp_path / "in" / "0.parquet").rename(tmp_path / "in" / "_0.parquet")
    log["path"] = str(tmp_path / "in" / "_0.parquet")
    with pytest.raises(ConfigError, match="E0105"):
        kit.built(log, tmp_path / "spark", "spark")


def test_the_job_runs_under_spark_submit_from_a_zip(tmp_path):
    home = Path(__file__).parents[2]
    with zipfile.ZipFile(tmp_path / "rankdistill.zip", "w") as archive:
        for path in (home / "rankdistill").rglob("*.py"):
            archive.write(path, path.relative_to(home))
        for folder in ("schemas", "conf"):
            for path in (home / folder).iterdir():
                archive.write(path, f"rankdistill/{folder}/{path.name}")
    log = in_parquet(tmp_path, kit.odd_rows(200))
    config = {"output": str(tmp_path / "out"), "log": log, "samples": {"pairwise": {}}}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(config))
    submit = Path(sys.executable).parent / "spark-submit"
    command = [str(submit), "--master", "local[2]", "--py-files", str(tmp_path / "rankdistill.zip")]
    command += ["--conf", "spark.ui.enabled=false", str(home / "jobs" / "build_samples.py")]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env |= {"PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        [*command, "--config", str(tmp_path / "job.yaml"), "--format", "json"],
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = kit.hashes(log, tmp_path, "duckdb", samples={"pairwise": {}})
    found = DataSet.open(tmp_path / "out")
    assert str(found.content_hash("pairwise")) == expected["pairwise"]
