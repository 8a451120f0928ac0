"""Vector tables at the door: read in the order of keys, or refused with the id and the reason."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankdistill.errors import UserError, UserErrors
from rankdistill.hashing import xxh64
from rankdistill.log.vectors import VectorTable, read_vectors

GOOD = {"uid": [3, 1, 2], "v": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}


def read(folder, *tables, **changes):
    for number, table in enumerate(tables):
        pq.write_table(pa.table(table), folder / f"part-{number}.parquet", row_group_size=2)
    given = {"path": str(folder / "*.parquet"), "id": "uid", "vector": "v"} | changes
    return read_vectors(VectorTable(**given), "users", folder / "users.npy")


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.list_(pa.float32()), pa.list_(pa.float64()), pa.large_list(pa.float32())),
        *(pa.list_(pa.float32(), 2), pa.list_(pa.float16())),
    ],
    ids=str,
)
def test_rows_stand_in_the_order_of_their_keys_as_float32_whatever_the_list_type(tmp_path, kind):
    v = pa.array(GOOD["v"], kind) if kind != pa.list_(pa.float16()) else half(GOOD["v"])
    rows = read(tmp_path, {"uid": GOOD["uid"], "v": v})
    assert (np.diff(rows.key.astype(float)) > 0).all()
    assert np.array_equal(rows.key, xxh64(rows.id))
    assert rows.value.dtype == np.float32
    found = dict(zip(rows.id.to_pylist(), rows.value.tolist(), strict=True))
    assert found == dict(zip(GOOD["uid"], GOOD["v"], strict=True))


def half(rows):
    flat = pa.array(np.array(rows, dtype=np.float16).ravel())
    return pa.ListArray.from_arrays(pa.array([0, 2, 4, 6], pa.int32()), flat)


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (pa.array([3, 1, 2], pa.int16()), pa.int64()),
        (pa.array(["3", "1", "02"], pa.large_string()), pa.string()),
        (pa.array(["3", "1", "02"]).dictionary_encode(), pa.string()),
        (pa.array([3, 1, 2**64 - 1], pa.uint64()), pa.string()),
    ],
    ids=str,
)
def test_ids_are_of_the_types_that_the_log_s_are(tmp_path, ids, kind):
    rows = read(tmp_path, {"uid": ids, "v": GOOD["v"]})
    assert rows.id.type == kind
    assert len(rows.id) == 3


def test_several_files_are_one_table(tmp_path):
    more = {"uid": [7, 8], "v": [[0.0, 1.0], [1.0, 0.0]]}
    rows = read(tmp_path, GOOD, more)
    assert sorted(rows.id.to_pylist()) == [1, 2, 3, 7, 8]
    assert rows.value[rows.id.to_pylist().index(8)].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"id": "user"}, "E0102", 'column "user" \\(users.id\\) is not in'),
        ({"vector": "w"}, "E0102", 'column "w" \\(users.vector\\) is not in'),
        ({"vector": "uid"}, "E0304", "must be a list of floats"),
        ({"id": "v"}, "E0304", "must be an integer or a string"),
        ({"path": "/nowhere/*.parquet"}, "E0311", "no parquet file"),
    ],
)
def test_a_column_or_file_that_is_not_there_is_named(tmp_path, change, code, told):
    with pytest.raises(UserError, match=told) as caught:
        read(tmp_path, GOOD, **change)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"uid": [3, 1, 3], "v": GOOD["v"]}, 'id "3" has two vectors'),
        ({"uid": [3, None, 2], "v": GOOD["v"]}, "1 ids are null"),
        ({"uid": [3, 1, 2], "v": [[1.0], None, [2.0]]}, 'the vector of id "1" is null'),
        ({"uid": [3, 1, 2], "v": [[1.0], [None], [2.0]]}, 'id "1" holds a null'),
        ({"uid": [3, 1, 2], "v": [[1.0], [2.0], [float("nan")]]}, 'id "2" holds a number that is'),
        ({"uid": [3, 1, 2], "v": [[1.0], [2.0], [1e39]]}, 'id "2" holds a number that is'),
        ({"uid": [3, 1, 2], "v": [[1.0], [2.0, 3.0], [1.0]]}, 'id "1" is 2 wide, .* before it 1'),
        ({"uid": [3, 1, 2], "v": [[1.0], [2.0], [1.0, 2.0]]}, 'id "2" is 2 wide, .* before it 1'),
        ({"uid": [3], "v": pa.array([[]], pa.list_(pa.float32()))}, "its vectors are empty"),
        (
            {"uid": pa.array([], pa.int64()), "v": pa.array([], pa.list_(pa.float32()))},
            "no row in it",
        ),
    ],
)
def test_rows_that_cannot_be_used_stop_the_reading_and_are_named(tmp_path, table, told):
    with pytest.raises(UserError, match=told) as caught:
        read(tmp_path, table)
    assert caught.value.code == "E0315"


def test_a_damaged_file_is_named(tmp_path):
    pq.write_table(pa.table(GOOD), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[:-20])
    with pytest.raises(UserErrors, match=r"E0310.*a.parquet cannot be read"):
        read(tmp_path)
