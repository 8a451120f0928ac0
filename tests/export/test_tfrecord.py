"""TFRecord: bytes by the book, and read back by another library."""

from __future__ import annotations

import struct
import sys

import pyarrow as pa
import pytest
from export_kit import TEXT, data_set, export, library
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.errors import ResourceError
from rankdistill.export.tfrecord import examples, framed

POINT = {"request_id": 1, "item_id": 4, "label": 0.5, "rank": None, "teacher_score": -1.5}


def test_a_record_is_framed_as_tensorflow_writes_it():
    # tf.io.TFRecordWriter of TensorFlow 2.21 wrote these bytes for the record b"abc".
    expected = bytes.fromhex("0300000000000000b099490e6162636e57f121")
    checksum = library("google_crc32c").value
    assert framed(b"abc", checksum) == expected


def test_a_message_is_encoded_as_protobuf_does():
    # tf.train.Example(...).SerializeToString(deterministic=True) of TensorFlow 2.21.
    rows = pa.RecordBatch.from_pydict(
        {
            "f": pa.array([0.5]),
            "i": pa.array([-1]),
            "l": pa.array([[300, 2]]),
            "s": pa.array(["\u96ea"]),
        }
    )
    assert examples(rows) == [bytes.fromhex(GOLDEN)]


GOLDEN = (
    "0a400a0d0a0166120812060a040000003f"
    "0a130a0169120e1a0c0a0affffffffffffffffff01"
    "0a0c0a016c12071a050a03ac02020a0c0a017312070a050a03e99baa"
)


def test_every_column_comes_back(tmp_path):
    reader = library("tfrecord")
    data = data_set(tmp_path / "data", {"pointwise": [POINT, POINT | {"item_id": 5, "rank": 3}]})
    made = export(data, tmp_path / "out", "tfrecord")
    assert made["files"][0]["rows"] == 2
    first, second = reader.tfrecord_loader(str(tmp_path / "out" / "train.tfrecord"), None)
    assert (first["item_id"][0], second["item_id"][0]) == (4, 5)
    assert "rank" not in first, "a null is a feature that is absent"
    assert second["rank"].tolist() == [3]
    assert (first["label"][0], first["teacher_score"][0]) == (0.5, -1.5)
    assert (first["split"], first["dt"]) == (b"train", b"2026-11-01")


def test_lists_keep_their_places(tmp_path):
    reader = library("tfrecord")
    rows = [
        {"request_id": "r\t\n", "item_id": ["a\n", ""], "grade": [0.5, 0.0], "user_id": "u"}
        | {"rank": [1, None], "teacher_score": [0.25, None]}
    ]
    data = data_set(tmp_path / "data", {"listwise": rows}, ids=TEXT)
    export(data, tmp_path / "out", "tfrecord")
    (row,) = reader.tfrecord_loader(str(tmp_path / "out" / "train.tfrecord"), None)
    assert row["request_id"] == b"r\t\n"
    assert row["item_id"].tolist() == [b"a\n", b""]
    assert row["rank"].tolist() == [1, 0]
    assert str(row["teacher_score"].tolist()) == "[0.25, nan]"


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1, max_size=5))
def test_every_integer_comes_back(values):
    pb2 = pytest.importorskip("tfrecord.example_pb2", reason="tfrecord is not installed")
    rows = pa.RecordBatch.from_pydict({"n": pa.array(values, pa.int64())})
    for value, message in zip(values, examples(rows), strict=True):
        feature = pb2.Example.FromString(message).features.feature
        assert list(feature["n"].int64_list.value) == ([] if value is None else [value])
        assert ("n" in feature) or value is None


@given(st.lists(st.lists(st.floats(width=32) | st.none(), max_size=3) | st.none(), min_size=1))
def test_every_list_of_floats_comes_back(rows):
    pb2 = pytest.importorskip("tfrecord.example_pb2", reason="tfrecord is not installed")
    column = pa.array(rows, pa.list_(pa.float64()))
    for row, message in zip(rows, examples(pa.RecordBatch.from_pydict({"x": column})), strict=True):
        feature = pb2.Example.FromString(message).features.feature
        assert ("x" in feature) == (row is not None)
        expected = [float("nan") if v is None else v for v in row or []]
        assert str(list(feature["x"].float_list.value)) == str(expected)


def test_checksums_tell_a_changed_byte(tmp_path):
    checksum = library("google_crc32c").value
    data = data_set(tmp_path / "data", {"pointwise": [POINT] * 1})
    export(data, tmp_path / "out", "tfrecord")
    content = (tmp_path / "out" / "train.tfrecord").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert content == framed(content[12 : 12 + length], checksum)
    changed = bytearray(content[12 : 12 + length])
    changed[5] ^= 1
    assert framed(bytes(changed), checksum)[-4:] != content[-4:]


def test_an_empty_table_makes_no_file(tmp_path):
    library("google_crc32c")
    data = data_set(tmp_path / "data", {"pointwise": []})
    assert export(data, tmp_path / "out", "tfrecord")["files"] == []


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    data = data_set(tmp_path / "data", {"pointwise": [POINT]})
    with pytest.raises(ResourceError, match="google-crc32c") as told:
        export(data, tmp_path / "out", "tfrecord")
    assert told.value.help == "pip install 'rankdistill[tfrecord]'"
    assert not (tmp_path / "out").exists()
