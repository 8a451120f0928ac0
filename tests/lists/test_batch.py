"""What `Lists` is read from: columns with nulls, wherever in memory they begin."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.lists.batch import not_null

KINDS = (pa.int32(), pa.float64(), pa.bool_(), pa.string(), pa.date32())


@given(
    st.lists(st.sampled_from([None, 0, 1]), max_size=40),
    st.sampled_from(KINDS),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_what_is_not_null_is_as_arrow_says(values, kind, first, size):
    whole = pa.array(values, pa.int32()).cast(kind)
    column = whole.slice(first, size)
    assert not_null(column).tolist() == column.is_valid().to_pylist()


@pytest.mark.parametrize("column", [pa.nulls(3), pa.nulls(3, pa.string()), pa.nulls(0)])
def test_a_column_of_nulls_has_nothing(column):
    assert not not_null(column).any() and len(not_null(column)) == len(column)
