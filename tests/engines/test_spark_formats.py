"""Every format, type and place that Spark reads gives the rows that DuckDB reads."""

import gzip
import itertools
import json

import engine_kit as kit
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest

from rankdistill.errors import InputError
from rankdistill.store.dataset import DataSet

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]


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
    log = kit.in_parquet(tmp_path, table) | {
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
    expected = kit.hashes(
        kit.in_parquet(tmp_path, table) | {"columns": columns}, tmp_path, "duckdb"
    )
    log = {"path": str(tmp_path / "log.orc"), "format": "orc", "columns": columns}
    assert kit.of_rows(kit.hashes(log, tmp_path, "spark")) == kit.of_rows(expected)


def test_a_catalogue_table_gives_the_rows_of_its_files(tmp_path, spark):
    table = kit.odd_rows(300).drop_columns(["seen"]).append_column("dt", pa.array(["007"] * 300))
    columns = {"feedback": ["click"]}
    pq.write_to_dataset(table, tmp_path / "in", partition_cols=["dt"])
    expected = kit.hashes({"path": str(tmp_path / "in"), "columns": columns}, tmp_path, "duckdb")
    spark.catalog.createTable("a_log", path=str(tmp_path / "in"), source="parquet")
    spark.catalog.recoverPartitions("a_log")
    log = {"table": "default.a_log", "columns": columns}
    assert kit.of_rows(kit.hashes(log, tmp_path, "spark")) == kit.of_rows(expected)
    assert not kit.built(log, tmp_path / "spark", "spark").is_new


def test_a_remote_place_gives_the_rows_of_its_files(tmp_path):
    log = kit.in_parquet(tmp_path, kit.odd_rows(300).drop_columns(["seen"]), 2)
    log["columns"] = {"feedback": ["click"]}
    expected = kit.hashes(log, tmp_path, "duckdb")
    remote = log | {"path": f"file://{log['path']}"}
    assert kit.of_rows(kit.hashes(remote, tmp_path, "spark")) == kit.of_rows(expected)
    with pytest.raises(InputError, match="E0311"):
        kit.built(log | {"path": f"file://{tmp_path}/absent"}, tmp_path / "x", "spark")
