"""The parts of the Spark engine that need no JVM: Java's policy, faults in words, batches."""

import re
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.engines import spark_session
from rankdistill.engines.delivered import conform, delivered
from rankdistill.engines.spark_errors import user_error
from rankdistill.engines.spark_files import file_batches
from rankdistill.engines.spark_options import SparkOptions
from rankdistill.engines.spark_read import quoted, uri
from rankdistill.errors import InputError, ResourceError
from rankdistill.lists.group import Grouped, bounded
from rankdistill.log.casts import TIME
from rankdistill.log.source import TableSource


def java(folder, version):
    path = folder / "bin" / "java"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    path.chmod(0o700)
    return str(folder)


def test_without_java_the_message_says_what_is_unset_and_what_needs_none(monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ResourceError) as caught:
        spark_session.check_java()
    assert str(caught.value) == (
        "error[E0401]: Spark cannot start: Java 17 or newer not found (JAVA_HOME unset; "
        '"java" not on PATH); the duckdb engine needs none: --engine duckdb'
    )


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_292"])
def test_an_old_java_is_refused_by_its_version(monkeypatch, tmp_path, version):
    monkeypatch.setenv("JAVA_HOME", java(tmp_path, version))
    with pytest.raises(ResourceError, match=r"E0401.*is Java (11|8)\b"):
        spark_session.check_java()


def test_java_17_will_do(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", java(tmp_path, "17.0.15"))
    spark_session.check_java()


def test_without_pyspark_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(ResourceError, match="E0404") as caught:
        spark_session.Session(SparkOptions())
    assert 'pip install "rankdistill[spark]"' in caught.value.help


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("[FAILED_READ_FILE.NO_HINT] while reading file file:///a/b.parquet. X", "E0310", "/a/b."),
        ("java.lang.OutOfMemoryError: Java heap space", "E0403", "memory"),
        ("java.io.IOException: No space left on device", "E0402", "disk"),
        (
            "Job aborted due to stage failure: Task 1 in stage 3.0 failed 4 times, most recent "
            "failure: Lost task 1.3 in stage 3.0 (TID 12) (10.0.0.1 executor 1): "
            "ExecutorLostFailure (executor 1 exited) Reason: exit code 137\nDriver stacktrace:",
            "E0406",
            "lost executors",
        ),
        ("Job aborted due to stage failure: Total size of serialized results", "E0406", "gave up"),
        ("ModuleNotFoundError: No module named 'rankdistill'", "E0404", "workers lack"),
        (
            "[PYTHON_VERSION_MISMATCH] Python in worker: 3.9, in driver: 3.11",
            "E0404",
            "another Python",
        ),
        ("ImportError: a.so: failed to map segment from shared object", "E0403", "Python worker"),
        ("SystemError: error return without exception set\n", "E0403", "Python worker"),
        (
            "java.nio.file.NoSuchFileException: /t/blockmgr-1/shuffle_1_2_0.data",
            "E0406",
            "shuffled",
        ),
        ("PermissionError: [Errno 13] Permission denied: '/out'", "E0202", "a place"),
        (
            "java.nio.file.AccessDeniedException: s3a://b/log: getFileStatus: ... 403",
            "E0202",
            "may not read",
        ),
        (
            'UnsupportedFileSystemException: No FileSystem for scheme "s3a"',
            "E0404",
            "of the log's scheme",
        ),
        ("OSError: [Errno 27] File too large: 'x'", "E0402", "disk"),
        ('java.io.IOException: Cannot run program "./e/bin/python": error=2', "E0404", "./e/bin"),
        ("ModuleNotFoundError: No module named 'pyarrow'\n", "E0404", "pyarrow"),
        ("x\nrankdistill.errors.InputError: error[E0311]: no file\n", "E0311", "no file"),
    ],
)
def test_what_spark_says_is_told_in_a_line(text, code, word):
    fault = user_error(text)
    assert fault.code == code
    assert word in fault.message


def test_a_fault_of_our_own_stays_what_it_is():
    assert user_error("AssertionError: a row was lost at the door") is None


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), max_size=6), st.integers(1, 12)
)
def test_batches_are_bounded_and_lose_no_request(lengths, max_rows):
    requests = iter(range(1000))
    batches, expected = [], []
    for sizes in lengths:
        ids = [next(requests) for _ in sizes]
        rows = pa.RecordBatch.from_pydict({"s0": pa.array(np.repeat(ids, sizes), pa.int64())})
        batches.append(Grouped(rows, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)))
        expected += zip(ids, sizes, strict=True)
    found = []
    for batch in bounded(batches, max_rows):
        sizes = np.diff(batch.offsets)
        assert batch.rows.num_rows == batch.offsets[-1]
        assert batch.rows.num_rows <= max_rows or len(sizes) == 1
        for start, size in zip(batch.offsets, sizes, strict=False):
            (request,) = set(batch.rows.column(0).slice(start, size).to_pylist())
            found.append((request, size))
    assert found == expected


def test_rows_are_handed_over_in_the_types_that_every_engine_gives():
    rows = pa.RecordBatch.from_pydict(
        {
            "nanos": pa.array([1999, None], pa.int64()),  # as Spark reads them
            "naive": pa.array([[1], None], pa.list_(pa.timestamp("us"))),
            "big": pa.array(["18446744073709551615", None]).cast(pa.decimal128(20, 0)),
        }
    )
    kinds = {"big": pa.uint64(), "nanos": pa.timestamp("ns"), "naive": pa.list_(pa.timestamp("ns"))}
    schema = pa.schema([(name, delivered(kind)) for name, kind in kinds.items()])
    found = conform(rows, schema)
    assert found.schema == schema
    assert found.schema.types == [pa.uint64(), TIME, pa.list_(TIME)]
    assert found.column("nanos").cast(pa.int64()).to_pylist() == [1, None]
    assert found.column("big").to_pylist() == [2**64 - 1, None]


def test_a_cut_gzip_is_refused_with_its_name(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(b"\x1f\x8b\x08\x00")
    options = TableSource(path="a", format="csv")
    path, schema = str(tmp_path / "a.csv.gz"), pa.schema([("a", pa.string())])
    with pytest.raises(InputError, match=r"E0310.*a\.csv\.gz"):
        list(file_batches(path, options, ["a"], {}, schema))


def test_names_and_paths_mean_themselves():
    assert quoted("a`b.c") == "`a``b.c`"
    assert uri("/x/[1]*.parquet") == r"file:///x/\[1\]\*.parquet"


SECRETS = [
    *("spark.hadoop.fs.s3a.secret.key", "spark.hadoop.fs.s3a.session.token", "spark.ssl.password"),
    *("fs.azure.account.key.x.dfs.core.windows.net", "fs.azure.sas.c.x.blob", "our.api-key"),
]


@pytest.mark.parametrize("key", SECRETS)
def test_settings_that_hold_secrets_are_hidden_by_spark(key):
    assert re.search(spark_session.redaction(None, ["our.api-key"]), key)


def test_what_the_environment_gave_is_hidden_whatever_pattern_was_chosen():
    pattern = spark_session.redaction("mine", ["our.key+x"])
    assert [bool(re.search(pattern, key)) for key in ("mine", "our.key+x", "ourskey+x", "z")] == [
        *(True, True, False, False)
    ]
