"""Parts: what a writer is given is what the files hold, within the limits."""

import hashlib
import os
import pickle
import stat

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankdistill.errors import PlaceError
from rankdistill.store.parts import Part, PartLimits, PartWriter
from rankdistill.store.reading import read_part

AWKWARD_DTS = [
    "2026-11-01",
    "/",
    "a/b",
    "..",
    ".",
    "=",
    "%2F",
    "\U0001f600",
    "007",
    "a b",
    "\"'?*:",
]


def flat(values, **columns):
    return pa.RecordBatch.from_pydict({"x": pa.array(values, pa.int64()), **columns})


def lists(lengths):
    values = [list(range(length)) for length in lengths]
    return pa.RecordBatch.from_pydict({"l": pa.array(values, pa.list_(pa.int32()))})


def write(root, batches, limits=None, schemas=None):
    with PartWriter(root, "b1", "t0", limits, schemas) as writer:
        for table, dt, batch in batches:
            writer.write(table, dt, batch)
    return writer.close()


def rows(root, parts, column):
    tables = [pa.Table.from_batches(read_part(root / p.table / p.path)) for p in parts]
    return [value for table in tables for value in table[column].to_pylist()]


@pytest.mark.parametrize("dt", AWKWARD_DTS)
def test_any_partition_value_becomes_one_folder_inside_the_table(tmp_path, dt):
    (part,) = write(tmp_path, [("t", dt, flat([1, 2], dt=pa.array([dt, dt])))])
    file = (tmp_path / "t" / part.path).resolve()
    assert file.parent.parent == (tmp_path / "t" / "b1").resolve()
    assert (part.dt, part.num_rows, rows(tmp_path, [part], "x")) == (dt, 2, [1, 2])
    assert pq.ParquetFile(file).schema_arrow.names == ["x"]


@pytest.mark.parametrize("dt", [None, ""])
def test_a_missing_partition_value_is_our_fault(tmp_path, dt):
    with pytest.raises(AssertionError, match="non-empty"):
        write(tmp_path, [("t", dt, flat([1]))])


def test_a_part_tells_the_bytes_and_the_digest_of_its_file(tmp_path):
    (part,) = write(tmp_path, [("t", "d", flat(range(1000)))])
    data = (tmp_path / "t" / part.path).read_bytes()
    assert (part.num_bytes, part.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert Part(**part.as_dict()) == part == pickle.loads(pickle.dumps(part))


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_row_groups_are_full_and_rows_keep_their_order(tmp_path_factory, sizes, group_rows):
    root = tmp_path_factory.mktemp("parts")
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    batches = [flat(range(a, a + n)) for a, n in zip(starts, sizes, strict=True)]
    parts = write(root, [("t", "d", b) for b in batches], PartLimits(group_rows=group_rows))
    assert rows(root, parts, "x") == list(range(sum(sizes)))
    assert len(parts) == (1 if sum(sizes) else 0)
    for part in parts:
        groups = pq.ParquetFile(root / "t" / part.path).metadata
        counts = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
        assert counts[:-1] == [group_rows] * (len(counts) - 1)
        assert 1 <= counts[-1] <= group_rows


@given(st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=6))
@settings(max_examples=25, deadline=None)
def test_row_groups_of_lists_hold_few_rows_and_few_elements(tmp_path_factory, batches):
    root = tmp_path_factory.mktemp("parts")
    limits = PartLimits(list_rows=5, list_elements=8)
    parts = write(root, [("t", "d", lists(lengths)) for lengths in batches], limits)
    lengths = [length for batch in batches for length in batch]
    assert [len(row) for row in rows(root, parts, "l")] == lengths
    for part in parts:
        file = pq.ParquetFile(root / "t" / part.path)
        for i in range(file.metadata.num_row_groups):
            group = [len(row) for row in file.read_row_group(i)["l"].to_pylist()]
            assert len(group) <= 5
            assert sum(group) <= 8 or len(group) == 1


def test_files_roll_and_carry_on_numbering(tmp_path):
    limits = PartLimits(group_rows=100, file_bytes=1)
    parts = write(tmp_path, [("t", "d", flat(range(250)))], limits)
    # Rolled after each call of write, never in its middle.
    assert [p.num_rows for p in parts] == [250]
    batches = [("t", "d", flat(range(100)))] * 3
    parts = PartWriter(tmp_path, "b2", "t0", limits)
    for batch in batches:
        parts.write(*batch)
    assert [p.path for p in parts.close()] == [f"b2/dt=d/t0-{n}.parquet" for n in range(3)]


def test_many_open_partitions_lose_no_row(tmp_path):
    limits = PartLimits(open_files=2, buffer_bytes=200)
    batches = [("t", str(i % 5), flat([i, i + 1000])) for i in range(50)]
    parts = write(tmp_path, batches, limits)
    assert sorted(rows(tmp_path, parts, "x")) == sorted([*range(50), *range(1000, 1050)])
    assert sum(p.num_rows for p in parts) == 100


def test_dictionaries_are_written_as_the_strings_they_stand_for(tmp_path):
    words = pa.array(["b", "a", None, "b"])
    other = pa.array(["c", "b", "b", "c"])
    given = [words.dictionary_encode(), other.dictionary_encode(), other]
    batches = [("t", "d", flat(range(4), s=column)) for column in given]
    parts = write(tmp_path, batches)
    assert rows(tmp_path, parts, "s") == [*words.to_pylist(), *other.to_pylist() * 2]
    file = pq.ParquetFile(tmp_path / "t" / parts[0].path)
    assert file.schema_arrow.field("s").type == pa.string()
    assert "RLE_DICTIONARY" in file.metadata.row_group(0).column(1).encodings
    assert write(tmp_path, [], None) == []


def test_the_schema_fixes_order_types_and_nulls(tmp_path):
    schema = pa.schema(
        [pa.field("dt", pa.string()), pa.field("y", pa.int32()), pa.field("x", pa.int64(), False)]
    )
    batch = flat([1], y=pa.array([2], pa.int64()))
    (part,) = write(tmp_path, [("t", "d", batch)], schemas={"t": schema})
    assert pq.read_schema(tmp_path / "t" / part.path).equals(schema.remove(0))
    with pytest.raises(AssertionError, match=r"t\.x holds nulls"):
        write(tmp_path, [("t", "e", flat([None], y=batch["y"]))], schemas={"t": schema})
    with pytest.raises(AssertionError, match="columns"):
        write(tmp_path, [("t", "e", flat([1]))], schemas={"t": schema})


def test_a_flipped_byte_in_a_page_is_found_on_reading(tmp_path):
    (part,) = write(tmp_path, [("t", "d", flat(range(1000)))])
    file = tmp_path / "t" / part.path
    data = bytearray(file.read_bytes())
    data[200] ^= 1
    file.write_bytes(data)
    with pytest.raises(PlaceError, match="damaged or lost") as told:
        list(read_part(file))
    assert (told.value.code, str(file) in told.value.message) == ("E0204", True)


def test_a_bit_flipped_anywhere_is_told_or_loses_no_row(tmp_path):
    rows = pa.RecordBatch.from_pydict(
        {"a": list(range(300)), "b": [f"v{i % 7}" for i in range(300)]}
    )
    limits = PartLimits(group_rows=100)
    (part,) = write(tmp_path, [("t", "d", rows)], limits=limits)
    file, told = tmp_path / "t" / part.path, 0
    data = file.read_bytes()
    for place in range(0, len(data), 5):
        file.write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
        try:
            assert sum(batch.num_rows for batch in read_part(file)) == len(rows)
        except PlaceError as error:
            told += error.code == "E0204"
    assert told > len(data) / 5 / 2


def test_files_are_private_never_replaced_and_never_written_through_a_link(tmp_path):
    (part,) = write(tmp_path, [("t", "d", flat([1]))])
    file = tmp_path / "t" / part.path
    assert stat.S_IMODE(os.stat(file).st_mode) & ~0o640 == 0
    assert stat.S_IMODE(os.stat(file.parent.parent).st_mode) & ~0o750 == 0
    with pytest.raises(FileExistsError):
        write(tmp_path, [("t", "d", flat([2]))])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "u").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PlaceError, match="symbolic link") as caught:
        write(tmp_path, [("u", "d", flat([1]))])
    assert caught.value.code == "E0202"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_abandoned_writer_yields_no_part(tmp_path):
    writer = PartWriter(tmp_path, "b1", "t0")
    writer.write("t", "d", flat([1]))
    writer.__exit__(ZeroDivisionError)
    assert writer.close() == []
