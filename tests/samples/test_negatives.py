"""Negatives of every source, guard and margin against a law written in plain Python."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.contract import arrow_schema
from rankdistill.samples.facts import SOURCES
from rankdistill.samples.gather import negatives_table
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.negatives import negatives
from rankdistill.samples.side import Side, mined_keys
from tests.builders import decoded, make_lists, ranked_list
from tests.explored import explored
from tests.samples.logs import by_request
from tests.samples.negatives_kit import World, difficulty_of, law_of, make_mined, random_world

MIXES = [
    {"popular": 0.5, "prerank_dropped": 0.25, "tail": 0.25},
    {"prerank_dropped": 0.5, "tail": 0.5},
    {"popular": 0.4, "uniform": 0.4, "tail": 0.2},
    {"uniform": 0.5, "recall_dropped": 0.3, "mined": 0.2},
    {"mined": 0.6, "tail": 0.4, "exposed_unclicked": 0.0},
    {"exposed_unclicked": 0.3, "prerank_dropped": 0.1, "mined": 0.3, "popular": 0.3},
    {"tail": 1.0},
    {"mined": 1.0},
    {"uniform": 1.0},
]
TAILS = [
    *({"kind": "share", "share": share} for share in (0.25, 0.75, 1.0)),
    {"kind": "ranks", "from_rank": 4, "to_rank": 6},
    {"kind": "ranks", "from_rank": 5},
    {"kind": "quantile", "low": 0.25, "high": 0.75},
    {"kind": "quantile"},
]
MARGINS = [
    *(None, None),
    {"kind": "absolute", "gap": 0.5},
    {"kind": "relative", "share": 0.5},
    {"kind": "quantile", "least": 0.25},
]
SETTINGS = st.fixed_dictionaries(
    {
        "per": st.sampled_from(["request", "positive"]),
        "num": st.sampled_from([1, 2, 5, 9]),
        "positives": st.sampled_from(["rank", "feedback", ("rank", "feedback"), "exposed"]),
        "top_k": st.sampled_from([1, 3]),
        "mix": st.sampled_from(MIXES),
        "popular": st.sampled_from([{}, {"c": 0.0}, {"alpha": 1.0, "c": 0.5}]),
        "tail": st.sampled_from(TAILS),
        "mined": st.sampled_from([{}, {"sampling_strategy": "random"}]),
        "allow_exposed": st.booleans(),
        "history_window": st.sampled_from([None, "30d"]),
        "future_window": st.sampled_from([None, "1d"]),
        "margin": st.sampled_from(MARGINS),
    }
)


def chosen(**settings):
    settings = {"popular": {}, **settings}
    settings["popular"] = {"count_of": "click", **settings["popular"]}
    return NegativesOptions(**settings).for_student("prerank")


def drawn(world, options, seed=1, epoch=0):
    """([row as a dict] of each request, the drawn indices)."""
    lists, side = world.lists(), world.side(options)
    found = negatives(lists, options, seed, side, epoch)
    rows = {request: [] for request in by_request(world.rows)}
    for row in negatives_table(lists, found, side).to_pylist():
        rows[row["request_id"]].append(row)
    return rows, found


def check_row(row, law, members, num_positives):
    odds = law.rows[row["item_id"]]
    assert row["probability"] == pytest.approx(odds.probability / num_positives)
    assert row["item_q"] == pytest.approx(odds.drawn_by[row["source"]][1])
    assert row["mixture_q"] == pytest.approx(odds.mixture_q)
    c = next((c for c in members if c["item_id"] == row["item_id"]), None)
    of_list = {name: row[name] for name in ("stage", "teacher_score", "rank", "difficulty")}
    if c is None:
        assert set(of_list.values()) == {None}
        return
    assert of_list.pop("difficulty") == pytest.approx(difficulty_of(c, members))
    assert of_list == {name: c[name] for name in of_list}


@pytest.mark.fault("20", "negatives: rows and numbers as an oracle allows", times=10)
@explored(st.integers(0, 10**6), SETTINGS, st.sampled_from([int, str]))
def test_every_row_is_as_the_law_says(seed, settings, kind):
    world, options = random_world(seed, kind=kind), chosen(**settings)
    rows, found = drawn(world, options)
    expected, collided = Counter(), 0
    for request, members in by_request(world.rows).items():
        law, mine = law_of(world, request, members, options), rows[request]
        by_source = Counter(row["source"] for row in mine)
        num_positives = len(law.positives) if options.per == "positive" else 1
        for row in mine:
            check_row(row, law, members, num_positives)
        assert len({row["item_id"] for row in mine}) == len(mine)
        for source, num in law.num.items():
            is_easy = source in ("popular", "uniform")
            assert by_source[source] <= num and (is_easy or by_source[source] == num)
        collided += sum(law.num.values()) - len(mine)
        per_positive = Counter(row["pos_item_id"] for row in mine)
        if options.per == "request":
            assert set(per_positive) <= {None}
        elif mine:
            assert set(per_positive) <= set(law.positives)
            shares = [per_positive[item] for item in law.positives]
            assert max(shares) - min(shares) <= 1
        expected += law.counts + Counter({f"drawn.{s}": n for s, n in by_source.items()})
        expected += Counter(requests=1, rows=len(mine), requests_without_row=not mine)
        expected += Counter(requests_without_positive=not law.positives)
    assert +Counter(found.counts) == expected + Counter(collided=collided)


@pytest.mark.fault("20", "negatives: shortages add up", times=10)
@explored(st.integers(0, 10**6), SETTINGS)
def test_shortages_add_up(seed, settings):
    _, found = drawn(random_world(seed), chosen(**settings))
    total = Counter()
    for name, num in found.counts.items():
        total[name.split(".")[0]] += num
    assert total["target"] == total["wanted"]
    assert total["short"] == total["filled"] + total["unfilled"]
    assert total["drawn"] == total["rows"]
    assert total["rows"] == total["wanted"] - total["unfilled"] - total["collided"]


def guarded_items(world, request, members, options):
    items = {c["item_id"] for c in members if c["responded"]}
    items |= {c["item_id"] for c in members if c["rank"] is not None and c["rank"] <= 3}
    items |= {c["item_id"] for c in members if c["exposed"] and not options.allow_exposed}
    return items | {*world.history[request]} | {*world.future[request]}


@pytest.mark.parametrize("mix", MIXES)
def test_no_guard_is_violated_over_a_thousand_requests(mix):
    world = random_world(7, num_requests=1000)
    options = chosen(num=9, top_k=3, mix=mix, allow_exposed=False, future_window="7d")
    rows, found = drawn(world, options)
    assert found.counts["rows"] > 500
    assert sum(n for name, n in found.counts.items() if name.startswith("guarded.")) > 200
    for request, members in by_request(world.rows).items():
        allowed = {row["item_id"] for row in rows[request]}
        assert not allowed & guarded_items(world, request, members, options)
        assert all(row["stage"] != 5 for row in rows[request])


@given(st.integers(0, 10**6), SETTINGS, st.integers(1, 5))
def test_the_same_rows_come_out_of_any_batch_in_any_order(seed, settings, num_parts):
    world, options = random_world(seed, num_requests=6), chosen(**settings)
    lists, side = world.lists(), world.side(options)
    whole = negatives(lists, options, 1, side)
    order, rows, counts = np.random.default_rng(seed).permutation(6), [], Counter()
    for part in np.array_split(order, num_parts):
        taken, beside = lists.take(part), side.take(part)
        found = negatives(taken, options, 1, beside)
        rows += negatives_table(taken, found, beside).to_pylist()
        counts += Counter(found.counts)
    expected = negatives_table(lists, whole, side).to_pylist()
    assert by_id(rows) == by_id(expected)
    assert counts == +Counter(whole.counts)


def by_id(rows):
    """Rows by request, those of one request in the order they came."""
    return sorted(rows, key=lambda row: row["request_id"])


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("per", ["request", "positive"])
def test_the_table_conforms_to_its_schema_and_stands_in_order(mix, per):
    world, options = random_world(3, num_requests=50), chosen(mix=mix, per=per, top_k=3)
    lists, side = world.lists(), world.side(options)
    found = negatives(lists, options, 1, side)
    batch = negatives_table(lists, found, side)
    ids = {"request_id": pa.int64(), "user_id": pa.string(), "item_id": pa.int64()}
    assert decoded(batch.schema) == arrow_schema("negatives", ids)
    batch.validate(full=True)
    assert not any(batch.column(f.name).null_count for f in batch.schema if not f.nullable)
    assert (np.diff(found.request) >= 0).all()
    assert ((np.diff(found.pos) >= 0) | (np.diff(found.request) > 0)).all()
    is_logged = found.item >= 0
    assert (lists.request[found.item[is_logged]] == found.request[is_logged]).all()
    assert (lists.request[found.pos[found.pos >= 0]] == found.request[found.pos >= 0]).all()
    assert ((found.probability > 0) & (found.probability <= 1)).all()
    assert ((found.item_q > 0) & (found.item_q <= 1) & (found.mixture_q > 0)).all()


@pytest.mark.parametrize("mix", MIXES)
def test_no_request_gives_no_row(mix):
    world, options = World([], {1: 3, 2: 0}), chosen(mix=mix)
    lists, side = make_lists([], id_type=pa.int64()), world.side(options)
    found = negatives(lists, options, 1, side)
    assert negatives_table(lists, found, side).num_rows == 0
    assert not any(found.counts.values())


DROPPED = {"item_id": 4, "rank": None, "teacher_score": None, "stage": "preranked", "click": None}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("rows", [[{"request_id": 1}], [{"request_id": 1, **DROPPED}]])
def test_a_request_without_a_positive_gets_none_and_is_counted(mix, rows):
    found = drawn(World(rows, {7: 2, 9: 1}), chosen(mix=mix, allow_exposed=True))[1]
    assert len(found.request) == 0
    assert found.counts["requests_without_positive"] == found.counts["requests_without_row"] == 1


@pytest.mark.parametrize("mix", MIXES)
def test_an_empty_catalogue_is_a_shortage(mix):
    world, options = random_world(5, num_requests=20), chosen(mix=mix, positives="rank")
    world.clicks = {}
    _, found = drawn(world, options)
    assert not {SOURCES[code] for code in found.source} & {"popular", "uniform"}
    assert found.counts["unfilled"] > 0 and found.counts["collided"] == 0


def test_another_seed_or_epoch_draws_other_rows():
    world, options = random_world(2, num_requests=30), chosen(num=3)
    rows = drawn(world, options)[0]
    assert rows == drawn(world, options)[0]
    assert rows != drawn(world, options, seed=2)[0]
    assert rows != drawn(world, options, epoch=1)[0]


def test_a_curriculum_changes_the_mix_from_an_epoch_on():
    steps = [{"from_epoch": 2, "mix": {"tail": 1}}, {"from_epoch": 5, "mix": {"uniform": 1}}]
    options = chosen(mix={"prerank_dropped": 1}, curriculum=steps)
    assert [next(iter(options.mix_at(epoch))) for epoch in (0, 1, 2, 4, 5, 9)] == [
        *("prerank_dropped", "prerank_dropped", "tail", "tail", "uniform", "uniform")
    ]
    assert options.needs == {"catalogue", "history"}
    world = random_world(2, num_requests=30)
    for epoch, source in ((0, "prerank_dropped"), (3, "tail"), (6, "uniform")):
        rows, _ = drawn(world, options, epoch=epoch)
        assert {row["source"] for of in rows.values() for row in of} == {source}


def test_a_side_that_lacks_what_a_guard_needs_is_a_fault():
    lists = make_lists(ranked_list(1, [1.0, 0.5]))
    with pytest.raises(AssertionError, match="history"):
        negatives(lists, chosen(top_k=1), 1, Side())


def test_a_mined_item_given_twice_counts_once_by_its_best_score():
    mined = make_mined([[(7, 0.1), (8, 0.5), (7, 0.9), (9, None)], [(7, 0.2)]], pa.int64())
    found = mined_keys(mined)
    items = mined.item_id.take(pa.array(found.row)).to_pylist()
    first = dict(zip(items[:3], found.score[:3], strict=True))
    assert found.keys.offsets.tolist() == [0, 3, 4]
    assert first == {7: 0.9, 8: 0.5, 9: -np.inf} and found.score[3] == 0.2


def test_top_takes_the_best_of_what_guards_and_other_pools_leave():
    rows = [{**DROPPED, "request_id": 0, "item_id": 40, "stage": "preranked"}]
    rows += [{**DROPPED, **row} for row in ranked_list(0, [2.0, 1.0, 0.5])]
    for row in rows[1:]:
        row["stage"] = "ranked"
    mined = {0: [(1, 9.0), (50, 8.0), (40, 7.0), (3, 6.0), (51, 5.0), (52, 4.0), (53, None)]}
    world = World(rows, {}, history={0: [50]}, mined=mined)
    options = chosen(mix={"mined": 0.75, "prerank_dropped": 0.25}, num=4, top_k=1)
    found, _ = drawn(world, options)
    assert [(row["item_id"], row["source"], row["probability"]) for row in found[0]] == [
        (40, "prerank_dropped", 1.0),
        *((item, "mined", 1.0) for item in (3, 51, 52)),
    ]
