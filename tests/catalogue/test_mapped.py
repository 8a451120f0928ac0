"""Catalogues, laws and histories in files: of any size and order of rows the same, and mapped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill import arrays, buckets
from rankdistill.catalogue import axis, guide
from rankdistill.catalogue.axis import Popularity, Uniform
from rankdistill.hashing import xxh64
from tests.side_kit import make_catalogue, make_history, make_laws

LAWS = {"popular": Popularity("click"), "uniform": Uniform()}
IDS = st.lists(st.text(max_size=3), max_size=60)
RESPONSES = st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 9))


def crowd(num: int) -> Any:
    """Arrays of `num` items and responses, as a task finds them."""
    catalogue = make_catalogue(pa.array(np.arange(num)), {"click": np.arange(num)})
    return catalogue, make_laws(catalogue, 1, LAWS), make_history(responses(range(num)))


def responses(users: Any, times: Any = None, items: Any = None) -> pa.Table:
    columns = {"user_id": users, "request_time": times or users, "item_id": items or users}
    table = pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()})
    time = table.column("request_time").cast(pa.timestamp("us", tz="UTC"))
    return table.set_column(1, "request_time", time)


def found_in(thing: Any) -> Iterator[np.ndarray]:
    """Every array, Arrow's among them, of nested things."""
    if isinstance(thing, np.ndarray):
        yield thing
    elif isinstance(thing, pa.Array):
        yield from (np.frombuffer(part, np.uint8) for part in thing.buffers() if part)
    elif is_dataclass(thing):
        yield from (a for f in fields(thing) for a in found_in(getattr(thing, f.name)))
    elif isinstance(thing, dict | tuple):
        values = thing.values() if isinstance(thing, dict) else thing
        yield from (a for value in values for a in found_in(value))


def is_mapped(array: Any) -> bool:
    while isinstance(array, np.ndarray | pa.Buffer | memoryview):
        if isinstance(array, np.memmap):
            return True
        if isinstance(array, pa.Buffer):  # of ids: around an array of ours, which it hides
            return True
        array = array.obj if isinstance(array, memoryview) else array.base
    return False


def anonymous() -> int:
    """Bytes of this process that are on no file."""
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def test_no_array_of_what_a_task_looks_into_is_its_own():
    arrays_found = [*found_in(crowd(1000))]
    assert len(arrays_found) > 15
    assert all(is_mapped(array) and not array.flags.owndata for array in arrays_found)


def test_what_a_task_reads_of_a_catalogue_is_not_in_its_own_memory():
    whole = crowd(500_000)
    before = anonymous()
    size = sum(array.nbytes for array in found_in(whole) if array.any())
    assert size > 50_000_000
    assert anonymous() - before < 5_000_000


def same(one: Any, other: Any) -> bool:
    pairs = zip(found_in(one), found_in(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@given(IDS, st.lists(RESPONSES, max_size=60), st.integers(1, 5))
def test_any_number_of_buckets_gives_the_same_files(ids, given_responses, size):
    columns = [list(column) for column in zip(*given_responses, strict=True)] or [[], [], []]

    def made() -> Any:
        catalogue = make_catalogue(pa.array(ids, pa.string()), {"click": np.arange(len(ids))})
        history = make_history(responses(*columns))
        # Those of one user and time stand in no certain order.
        order = np.lexsort(
            (history.item, history.time, np.repeat(history.user, np.diff(history.offsets)))
        )
        return (
            catalogue,
            make_laws(catalogue, 1, LAWS),
            history.user,
            history.time,
            history.item[order],
        )

    whole = made()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "BUCKET_ROWS", size)
        for page in (axis, guide):
            patch.setattr(page, "_PIECE", size)
        assert same(whole, made())
    key = xxh64(whole[0].item_id)
    assert (key == np.unique(xxh64(pa.array(ids, pa.string())))).all()


@given(st.lists(st.lists(st.text(max_size=5), max_size=5), max_size=4), st.integers(0, 3))
def test_text_comes_back_as_it_was_put(tmp_path_factory, pieces, skipped):
    stem = tmp_path_factory.mktemp("ids") / "ids"
    with arrays.IdFile(stem, pa.string()) as file:
        for piece in pieces:
            file.append(pa.array(piece, pa.string()).slice(skipped))
    expected = [text for piece in pieces for text in piece[skipped:]]
    before = pa.total_allocated_bytes()
    found = arrays.mapped_ids(stem)
    assert pa.total_allocated_bytes() == before
    assert found.to_pylist() == expected


def test_a_file_is_not_written_over(tmp_path):
    arrays.put(tmp_path / "a.npy", [np.arange(3)], np.int32)
    with pytest.raises(FileExistsError):
        arrays.put(tmp_path / "a.npy", [], np.int32)
    assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2]
    assert np.load(tmp_path / "a.npy").dtype == np.int32
