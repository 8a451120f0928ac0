"""Limits that the README states: at the limit all is well, one beyond it is told."""

import pyarrow as pa
import pytest
from pydantic import ValidationError

from rankdistill.log.canonical import MAX_ID_BYTES
from rankdistill.log.source import MAX_COLUMNS, Columns, LogOptions
from tests.log.door_kit import admitted


def rows(name, value, size=1):
    given = {"request_id": "r", "user_id": "u", "item_id": "i", **{name: value}}
    return pa.Table.from_pylist([{**given, "rank": rank} for rank in range(1, size + 1)])


@pytest.mark.parametrize("name", ["request_id", "user_id", "item_id"])
@pytest.mark.parametrize("character", ["x", "\u00e9"])
def test_an_id_has_so_many_bytes_and_no_more(name, character):
    longest = character * (MAX_ID_BYTES // len(character.encode()))
    found = admitted(rows(name, longest), {})
    assert (found.counts["rows_used"], found.rejected) == (1, None)
    column = found.lists.candidates if name == "item_id" else found.lists.requests
    assert column.column(name).to_pylist() == [longest]
    found = admitted(rows(name, longest + "x"), {})
    assert (found.counts["rows_used"], found.counts["rejected.id_too_long"]) == (0, 1)


def test_a_list_has_max_candidates_and_no_more():
    source = pa.Table.from_pylist([{"request_id": 1, "item_id": i, "rank": i} for i in range(1, 7)])
    found = admitted(source, {"max_candidates": 6})
    assert (found.counts["rows_used"], found.rejected) == (6, None)
    found = admitted(source, {"max_candidates": 5})
    assert (found.counts["rows_used"], found.counts["rejected.over_max_candidates"]) == (5, 1)
    assert LogOptions(path="x", max_candidates=1_000_000)
    with pytest.raises(ValidationError, match="less than or equal to 1000000"):
        LogOptions(path="x", max_candidates=1_000_001)


def test_a_log_maps_so_many_columns_and_no_more():
    names = [f"c{number}" for number in range(MAX_COLUMNS)]
    assert len(Columns(item=names[1:], request=names[:1]).item) == MAX_COLUMNS - 1
    with pytest.raises(ValidationError, match=r"1,001 columns.*at most 1,000"):
        Columns(item=names, feedback=["click"])
