"""The teacher's order inside requests against Python's own sort."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.lists.order import LAST, Order

rows = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from([1.0, 2.0, LAST]),
        st.sampled_from([-1.0, 0.0]),
        st.integers(0, 99),
    ),
    max_size=40,
    unique_by=lambda row: (row[0], row[3]),
).map(lambda found: sorted(found, key=lambda row: row[0]))


@given(rows, st.booleans())
def test_rows_are_sorted_by_keys_then_item_inside_each_request(found, as_text):
    items = [f"{row[3]}é" if as_text else row[3] for row in found]
    keys = tuple(np.array([row[i] for row in found]) for i in (1, 2))
    offsets = np.searchsorted(np.array([row[0] for row in found]), np.arange(6))
    order = Order(keys, pa.array(items, pa.string() if as_text else pa.int64()))
    permutation = order.permutation(offsets)
    places = range(len(found)) if permutation is None else permutation.tolist()
    item_key = [item.encode() if as_text else item for item in items]
    expected = sorted(range(len(found)), key=lambda i: (*found[i][:3], item_key[i]))
    assert list(places) == expected
    assert (permutation is None) == (expected == list(range(len(found))))
