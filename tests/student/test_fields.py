"""Columns to codes and numbers, against a search by hand value by value."""

from __future__ import annotations

import statistics
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from rankdistill.errors import TrainingError, UserErrors
from rankdistill.features.table import key_of_rows, micros
from rankdistill.hashing import xxh64
from rankdistill.student.embedding import EmbeddingTable
from rankdistill.student.fields.check import check_fields
from rankdistill.student.fields.coders import Hashed
from rankdistill.student.fields.fit import fit_fields
from rankdistill.student.fields.histories import MOST, Histories
from rankdistill.student.fields.kept import load_fields, save_fields
from rankdistill.student.fields.learned import Grid, Moments
from rankdistill.student.fields.options import FieldsOptions
from tests.student.fields_kit import DAY, EVERY_KIND, PEOPLE, PRICES, listed, tables

FLOATS = st.floats(-1e6, 1e6, width=32)
COLUMNS = st.lists(st.tuples(st.one_of(st.none(), FLOATS), st.integers(1, 5)), min_size=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(lists, their fields, the folder of their tables)."""
    folder = tmp_path_factory.mktemp("fields")
    lists = listed(72)
    parts = [lists.take(np.arange(at, at + 12)) for at in range(0, 72, 12)]
    return lists, fit_fields(EVERY_KIND, parts, tables(folder)), folder


def price(item, time):
    """Point in time, by hand."""
    known = [row for row in PRICES if row[0] == item and row[1] <= time]
    return max(known, key=lambda row: row[1])[2] if known else None


def encode_all(lists, fields):
    return fields.encode(lists, np.arange(int(lists.offsets[-1])))


def coder_words(field):
    """Value -> row, as its vocabulary has it."""
    return {value: field.first + 1 + at for at, value in enumerate(field.coder.id.to_pylist())}


def test_ids_and_categories_have_a_row_each_and_the_rare_and_null_one_together(made):
    lists, fields, _ = made
    users, items = encode_all(lists, fields)
    items = items.plain()
    seen = Counter(lists.candidates.column("item_id").to_pylist())
    words = coder_words(fields.item[0])
    assert set(words) == {item for item, times in seen.items() if times >= 2}
    ids = lists.candidates.column("item_id").to_pylist()
    assert items.codes[:, 0].tolist() == [words.get(i, fields.item[0].first) for i in ids]
    words = coder_words(fields.user[1])
    scenes = lists.requests.column("scene").to_pylist()
    assert users.codes[:, 1].tolist() == [words.get(s, fields.user[1].first) for s in scenes]


def test_hashed_values_go_by_their_hash_and_null_and_unknown_users_by_none(made):
    lists, fields, _ = made
    users, _ = encode_all(lists, fields)
    city = {row[0]: row[1] for row in PEOPLE}
    for user, code in zip(
        lists.requests.column("user_id").to_pylist(), users.codes[:, 2], strict=True
    ):
        own = 1 + int(xxh64(pa.array([city[user]]))[0]) % 3 if user in city else 0
        assert code == fields.user[2].first + own


def test_prices_are_those_known_at_the_request(made):
    lists, fields, _ = made
    _, items = encode_all(lists, fields)
    items = items.plain()
    ids = lists.candidates.column("item_id").to_pylist()
    times = lists.requests.column("request_time").cast(pa.int64()).to_numpy()[lists.request]
    prices = [price(item, time) for item, time in zip(ids, times, strict=True)]
    known = [each for each in prices if each is not None]
    mean, deviation = statistics.fmean(known), statistics.pstdev(known)
    for found, (value, is_null) in zip(prices, items.dense.tolist(), strict=True):
        assert is_null == (found is None)
        assert value == pytest.approx(0 if found is None else (found - mean) / deviation, abs=1e-5)
    edges = fields.item[3].coder.edge
    wanted = [0 if p is None else 1 + int((edges <= p).sum()) for p in prices]
    assert items.codes[:, 2].tolist() == [fields.item[3].first + code for code in wanted]


def test_tags_are_cut_and_a_history_keeps_its_last_items_and_their_rows(made):
    lists, fields, _ = made
    users, items = encode_all(lists, fields)
    words, field = coder_words(fields.item[2]), fields.item[2]
    (bag,) = items.plain().bags
    for at, text in enumerate(lists.candidates.column("tags").to_pylist()):
        found = bag.codes[bag.start[at] : bag.start[at + 1]].tolist()
        assert found == ([words[t] for t in text.split("|")] if text else [field.first])
    words, first = coder_words(fields.item[0]), fields.item[0].first
    clicked = {row[0]: row[3] for row in PEOPLE}
    (bag,) = users.bags
    for at, user in enumerate(lists.requests.column("user_id").to_pylist()):
        last = clicked.get(user, [])[-3:]
        found = bag.codes[bag.start[at] : bag.start[at + 1]].tolist()
        assert found == ([words.get(item, first) for item in last] or [first])


def test_a_row_does_not_depend_on_its_batch(made):
    lists, fields, _ = made
    users, items = encode_all(lists, fields)
    items = items.plain()
    for at in (0, 7, 71):
        own_users, own = encode_all(lists.take(np.array([at])), fields)
        own, slots = own.plain(), slice(*lists.offsets[at : at + 2])
        assert (own.codes == items.codes[slots]).all() and (own.dense == items.dense[slots]).all()
        assert (own_users.codes == users.codes[at]).all()


def test_batches_of_any_cut_teach_the_same(made):
    lists, fields, folder = made
    whole = fit_fields(EVERY_KIND, [lists], tables(folder))
    for ours, theirs in zip((*fields.user, *fields.item), (*whole.user, *whole.item), strict=True):
        one, other = (getattr(each, "coder", None) or each.standard for each in (ours, theirs))
        assert one.table().equals(other.table())
    assert fields.snapshot.rows.equals(whole.snapshot.rows)


def test_an_item_by_its_id_has_its_newest_columns_and_features(made):
    lists, fields, _ = made
    ids = pa.array([3, 999, 24])
    found = fields.items_of(ids).plain()
    candidate = lists.candidates.column("item_id").to_pylist()
    tags = lists.candidates.column("tags").to_pylist()
    words = coder_words(fields.item[2])
    (bag,) = found.bags
    for at, item in enumerate(ids.to_pylist()):
        seen = [tag for own, tag in zip(candidate, tags, strict=True) if own == item]
        codes = bag.codes[bag.start[at] : bag.start[at + 1]].tolist()
        newest = seen[-1].split("|") if seen and seen[-1] else []
        assert codes == ([words[t] for t in newest] or [fields.item[2].first])
    assert found.dense[:, 1].tolist() == [price(i, 99 * DAY) is None for i in ids.to_pylist()]
    as_of = fields.items_of(pa.array([3]), np.array([0]))
    assert as_of.dense[0, 0] == pytest.approx(
        fields.item[4].standard.numbers(pa.array([price(3, 0)]))[0, 0]
    )


def test_fields_read_back_encode_alike_and_damage_is_told(made, tmp_path):
    lists, _, _ = made
    fields = fit_fields(EVERY_KIND, [lists], tables(tmp_path))
    facts = save_fields(tmp_path, fields)
    again = load_fields(tmp_path, facts)
    for one, other in zip(encode_all(lists, fields), encode_all(lists, again), strict=True):
        one, other = one.plain(), other.plain()
        assert (one.codes == other.codes).all() and (one.dense == other.dense).all()
        for bag, same in zip(one.bags, other.bags, strict=True):
            assert (bag.start == same.start).all() and (bag.codes == same.codes).all()
    assert (again.row_keys() == fields.row_keys()).all()
    assert again.snapshot.rows.equals(fields.snapshot.rows)
    for file in [*tmp_path.glob("fields/*.parquet"), *tmp_path.glob("features/*.parquet")]:
        held = file.read_bytes()
        file.write_bytes(held[:-9] + b"x" + held[-8:])
        with pytest.raises(TrainingError, match="E0503"):
            load_fields(tmp_path, facts)
        file.write_bytes(held)


RESPONSES = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 2)), st.integers(0, 5), st.integers(0, 9))
)


@given(RESPONSES, st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 6)))))
def test_a_history_is_what_the_user_responded_to_before_the_request(rows, asked):
    times = pa.timestamp("us", tz="UTC")
    kinds = {"user_id": pa.int64(), "request_time": times, "item_id": pa.int64()}
    table = pa.table(
        [pa.array([row[at] for row in rows], kind) for at, kind in enumerate(kinds.values())],
        names=list(kinds),
    )
    histories = Histories.of(table)
    key, _ = key_of_rows([pa.array([user for user, _ in asked], pa.int64())])
    row = histories.find(key, micros(pa.array([time for _, time in asked], times)))
    (found,) = histories.take(row)
    for own, (user, time) in zip(found.to_pylist(), asked, strict=True):
        known = [r for r in rows if r[0] == user and time is not None and r[1] < time]
        lot = {r: int(xxh64(pa.array([r[2]]))[0]) for r in known}
        assert own == [r[2] for r in sorted(known, key=lambda r: (r[1], lot[r]))]


def test_of_a_long_history_the_newest_stay():
    num = MOST + 50
    times = pa.array(range(num), pa.timestamp("us", tz="UTC"))
    table = pa.table({"user_id": ["a"] * num, "request_time": times, "item_id": range(num)})
    histories = Histories.of(table)
    key, _ = key_of_rows([pa.array(["a"])])
    (found,) = histories.take(histories.find(key, np.array([num - 10])))
    assert found.to_pylist() == [[*range(num - 10 - MOST, num - 10)]]


@given(COLUMNS, st.integers(0, 100))
def test_mean_and_deviation_are_exact_whatever_the_batches(column, cut):
    def learned(*parts):
        found = Moments()
        for part in parts:
            values, times = zip(*part, strict=True) if part else ((), ())
            found.add(pa.array(values, pa.float64()), np.array(times, np.int64))
        return found.standard()

    standard = learned(column)
    assert standard == learned(column[:cut], column[cut:])
    values = [value for value, times in column for _ in range(times) if value is not None]
    if values:
        assert standard.mean == pytest.approx(statistics.fmean(values), rel=1e-12, abs=1e-12)
        assert standard.deviation == pytest.approx(statistics.pstdev(values), rel=1e-9, abs=1e-9)


@given(st.lists(st.integers(-4096, 4096), min_size=1), st.integers(2, 9))
def test_quantile_edges_cut_integers_where_their_ranks_do(values, num):
    grid = Grid()
    grid.add(pa.array(values), np.ones(len(values), np.int64))
    edges = grid.edges(num)
    ordered = sorted(values)
    below = {ordered[-(-len(values) * part // num) - 1] for part in range(1, num)}
    wanted = {min(v for v in values if v > b) for b in below if b < ordered[-1]}
    assert len(edges.edge) == len(wanted)
    for value in values:  # between the same edges as by exact quantiles
        assert edges.codes(pa.array([value]))[0] == 1 + sum(value >= edge for edge in wanted)


def test_a_grown_vocabulary_starts_old_values_as_before():
    lists = listed(40)
    fields = [fit_fields(FieldsOptions(), [lists.take(np.arange(n))]) for n in (20, 40)]
    starts = []
    for each in fields:
        table = EmbeddingTable.new(each.row_keys(), 3, 5, 0.1, 0.0)
        starts.append(
            {
                (field.name, value): table.weight[row].tolist()
                for field in each.own_rows()
                for value, row in {**coder_words(field), None: field.first}.items()
            }
        )
    few, many = starts
    assert len(few) < len(many) and all(many[name] == row for name, row in few.items())
    assert len({tuple(row) for row in many.values()}) == len(many)


def test_hashing_keeps_integers_and_text_apart():
    codes = [Hashed(10**9).codes(pa.array(values))[0] for values in ([1], ["1"])]
    assert codes[0] != codes[1]


@pytest.mark.parametrize(
    ("side", "field", "told"),
    [
        ("item", {"column": "rank", "kind": "category"}, "item side may see"),
        ("item", {"column": "user_age", "kind": "number"}, "item side may see"),
        ("user", {"column": "item_price", "kind": "number"}, "user side may see"),
        ("user", {"column": "scene", "kind": "number"}, "takes numbers"),
        ("user", {"column": "user_clicked", "kind": "category"}, "kind values takes lists"),
    ],
)
def test_columns_that_a_side_may_not_see_or_take_are_refused(side, field, told):
    of_user = {"user_id": pa.string(), "scene": pa.string(), "user_clicked": pa.list_(pa.int64())}
    of_item = {"item_id": pa.int64(), "item_price": pa.float64()}
    with pytest.raises(UserErrors, match=told):
        check_fields(FieldsOptions.model_validate({side: [field]}), of_user, of_item)
