"""The look-up of responses by user and time against a scan of all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.catalogue.history import responses_table
from rankdistill.hashing import xxh64
from tests.builders import make_lists
from tests.side_kit import make_history

START = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW = timedelta(minutes=3)
minutes = st.one_of(st.none(), st.integers(0, 8))
users = st.one_of(st.none(), st.sampled_from(["ann", "bob", "cid"]))
events = st.lists(st.tuples(users, minutes, st.integers(1, 4)), max_size=12)


def at(minute: int | None) -> datetime | None:
    return None if minute is None else START + timedelta(minutes=minute)


def table(responses: list[tuple]) -> pa.Table:
    user, minute, item = zip(*responses, strict=True) if responses else ((), (), ())
    columns = {
        "user_id": pa.array(user, pa.string()),
        "request_time": pa.array(map(at, minute), pa.timestamp("us", tz="UTC")),
        "item_id": pa.array(item, pa.int64()),
    }
    return pa.table(columns)


@given(events, st.lists(st.tuples(users, minutes), min_size=1, max_size=4))
def test_the_items_of_a_window_are_those_of_a_scan(responses, requests):
    rows = [
        {"request_id": n, "item_id": 1, "user_id": user, "request_time": at(minute)}
        for n, (user, minute) in enumerate(requests)
    ]
    lists, history = make_lists(rows), make_history(table(responses))
    for found, is_within in (
        (history.before(lists, WINDOW), lambda gap: -3 <= gap < 0),
        (history.after(lists, WINDOW), lambda gap: 0 < gap <= 3),
    ):
        for n, (user, minute) in enumerate(requests):
            wanted = {
                item
                for who, when, item in responses
                if None not in (who, when, minute) and who == user and is_within(when - minute)
            }
            keys = found.key[found.offsets[n] : found.offsets[n + 1]].tolist()
            assert keys == sorted(xxh64(pa.array(list(wanted), pa.int64())).tolist())


def test_the_responses_of_a_batch_are_its_clicks():
    rows = [
        {"request_id": 1, "item_id": 5, "rank": 1, "stage": "exposed", "click": 1.0},
        {"request_id": 1, "item_id": 6, "rank": 2, "stage": "exposed", "click": 0.0},
        {"request_id": 2, "item_id": 5, "rank": 1, "stage": "exposed", "click": 1.0},
        {"request_id": 2, "item_id": 7, "rank": 2, "stage": "ranked"},
    ]
    found = responses_table(make_lists(rows)).select(["request_id", "item_id"]).to_pylist()
    assert found == [{"request_id": 1, "item_id": 5}, {"request_id": 2, "item_id": 5}]
