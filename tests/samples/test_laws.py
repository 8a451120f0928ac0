"""Laws of every sampler: schema, key, requests apart, independence of the batch."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from rankdistill.catalogue.history import Keys
from rankdistill.contract import arrow_schema, table_contract
from rankdistill.samples.catalogue import SAMPLERS
from rankdistill.samples.facts import SOURCES
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.side import Side
from tests.builders import FACTS, decoded, make_lists, ranked_list
from tests.samples.logs import many_requests
from tests.side_kit import make_catalogue, make_laws

GRADES = [
    {"kind": "rank_bucket"},
    {"kind": "rank_edges"},
    {"kind": "score_thresholds", "edges": [-1.0, 0.0]},
    {"kind": "score_quantile"},
    {"kind": "score_sigmoid"},
    {"kind": "log_rank"},
    {"kind": "stage"},
    {"kind": "blend", "base": {"kind": "stage"}, "feedback": {"click": 1}, "max": 9},
]
STRATEGIES = [
    {"kind": "random"},
    {"kind": "adjacent"},
    {"kind": "topk"},
    {"kind": "mean"},
    {"kind": "all"},
    {"kind": "stage"},
    {"kind": "margin", "delta": 0.4},
    {"kind": "delta_ndcg"},
]
NEGATIVES = [
    {"kind": "none"},
    {"kind": "all"},
    {"kind": "ratio"},
    {"kind": "bands", "bands": [{"from_rank": 12, "num": 3}]},
]
CASES = [
    *(("listwise", {"grade": grade, "max_length": 8}) for grade in GRADES),
    ("listwise", {"max_length": 3, "tail": {"num": 4}}),
    *(("pairwise", {"strategy": strategy}) for strategy in STRATEGIES),
    *(("pairwise", {"weight": {"kind": kind}}) for kind in ("rank_gap", "score_gap", "delta_ndcg")),
    ("pairwise", {"strategy": {"kind": "topk"}, "max_pairs_per_request": 9}),
    ("pairwise", {"strategy": {"kind": "mean"}, "top_k": None, "max_pairs_per_request": 9}),
    *(("pointwise", {"negatives": negatives}) for negatives in NEGATIVES),
    ("pointwise", {"positives": ["rank", "feedback", "exposed"], "gap": "keep", "top_k": 3}),
    ("pointwise", {"weight": {"kind": "log2", "normalise": "mean"}}),
    ("pointwise", {"debias": {"count_of": "click", "t": 0.005, "most": 3}}),
    ("pairwise", {"debias": {"count_of": "click", "t": 0.005, "store": "weight"}}),
    *(("negatives", {"per": per, "num": 6, "top_k": 3}) for per in ("request", "positive")),
    ("negatives", {"mix": {"uniform": 0.5, "popular": 0.5}, "num": 9}),
]
every_case = pytest.mark.parametrize(("table", "settings"), CASES)
LISTS = many_requests(120)


def test_the_cases_cover_every_sampler():
    assert {table for table, _ in CASES} == set(SAMPLERS)


def side_of(lists, options, seed):
    """Items 0 to 199, counted alike, and no history."""
    if not options.needs:
        return Side()
    catalogue = make_catalogue(pa.array(range(200)), {"click": np.arange(200)})
    nobody = Keys(np.zeros(lists.num_requests + 1, np.int64), np.zeros(0, np.uint64))
    drawn = make_laws(catalogue, seed, options) if isinstance(options, NegativesOptions) else {}
    return Side(catalogue, drawn, history=nobody)


def build(table, settings, lists=LISTS, *, student="prerank", seed=1, epoch=0):
    sampler = SAMPLERS[table]
    options = sampler.options(**settings).for_student(student)
    options = options.for_log(FACTS) if table == "negatives" else options
    side = side_of(lists, options, seed)
    rows = sampler.draw(lists, options, seed, side, epoch)
    return sampler.gather(lists, rows, side), rows


def sorted_rows(table, batches):
    rows = [row for batch in batches for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: [row[name] for name in table_contract(table)["key"]])


@every_case
def test_the_table_conforms_to_its_schema(table, settings):
    batch, _ = build(table, settings)
    ids = {"request_id": pa.int64(), "user_id": pa.string(), "item_id": pa.int64()}
    feedback = pa.schema([("click", pa.float64())])
    assert decoded(batch.schema) == arrow_schema(table, ids, feedback=feedback)
    batch.validate(full=True)
    assert batch.num_rows > 0
    assert not any(batch.column(f.name).null_count for f in batch.schema if not f.nullable)


@every_case
def test_the_key_is_unique_and_rows_stand_in_request_order(table, settings):
    batch, rows = build(table, settings)
    names = table_contract(table)["key"]
    keys = list(zip(*(batch.column(name).to_pylist() for name in names), strict=True))
    assert len(set(keys)) == len(keys)
    assert (np.diff(rows.request) >= 0).all()


@every_case
def test_no_row_crosses_a_request(table, settings):
    _, rows = build(table, settings)
    of_row = {"pointwise": ("item",), "pairwise": ("pos", "neg"), "negatives": ("pos", "item")}
    for name in of_row.get(table, ()):
        item = getattr(rows, name)
        assert (LISTS.request[item[item >= 0]] == rows.request[item >= 0]).all()
    if table == "listwise":
        in_list = np.repeat(rows.request, np.diff(rows.offsets))
        assert (LISTS.request[rows.item] == in_list).all()


@every_case
def test_the_same_rows_come_out_of_any_batch_in_any_order(table, settings):
    whole, rows = build(table, settings)
    order = np.random.default_rng(8).permutation(LISTS.num_requests)
    parts = [build(table, settings, LISTS.take(part)) for part in np.array_split(order, 7)]
    together = sorted_rows(table, [batch for batch, _ in parts])
    assert together == sorted_rows(table, [whole])
    for name, count in rows.counts.items():
        assert sum(part.counts[name] for _, part in parts) == count


@every_case
def test_no_request_gives_no_row(table, settings):
    batch, rows = build(table, settings, make_lists([], id_type=pa.int64()))
    assert batch.num_rows == 0 and not any(rows.counts.values())


@every_case
@pytest.mark.parametrize("kind", ["no candidate", "one", "unranked", "unscored", "tied"])
def test_poor_lists_give_rows_of_their_own_or_are_counted(table, settings, kind):
    rows = {
        "no candidate": [{"request_id": 1}],
        "one": ranked_list(1, [0.5]),
        "unranked": [{"request_id": 1, "item_id": item} for item in range(5)],
        "unscored": ranked_list(1, [None] * 5),
        "tied": ranked_list(1, [0.5] * 5),
    }[kind]
    batch, drawn = build(table, settings, make_lists(rows))
    assert batch.num_rows == drawn.counts["rows"]
    assert drawn.counts["requests_without_row"] == (batch.num_rows == 0)
    if table == "pairwise" and kind != "unscored":
        assert batch.num_rows == 0
    if table == "listwise":
        assert batch.num_rows == (kind not in ("no candidate", "one"))


@every_case
def test_weights_are_finite_and_positive_and_sources_known(table, settings):
    _, rows = build(table, settings)
    if table != "negatives":  # they have none: a trainer weighs them
        assert (np.isfinite(rows.weight) & (rows.weight > 0)).all()
    assert (rows.probability > 0).all()
    assert (rows.source >= 0).all() and (rows.source < len(SOURCES)).all()


@every_case
def test_a_recall_student_gets_no_exposed_and_nobody_a_responded_negative(table, settings):
    for student in ("recall", "prerank"):
        _, rows = build(table, settings, student=student)
        if table == "listwise":
            continue
        negative = {
            "pairwise": lambda rows: rows.neg,
            "pointwise": lambda rows: rows.item[rows.label == 0],
            "negatives": lambda rows: rows.item[rows.item >= 0],
        }[table](rows)
        assert not LISTS.responded[negative].any()
        assert student == "prerank" or not LISTS.exposed[negative].any()


@pytest.mark.parametrize(
    ("table", "settings"),
    # What is drawn from a catalogue goes by the hash of the id.
    [case for case in CASES if case[0] != "negatives" and "debias" not in case[1]],
)
def test_item_ids_as_strings_give_the_same_rows(table, settings):
    items = LISTS.candidates.column("item_id")
    texts = pa.array([f"v{item:03d}" for item in items.to_pylist()])
    columns = {name: LISTS.candidates.column(name) for name in LISTS.candidates.schema.names}
    candidates = pa.RecordBatch.from_pydict(columns | {"item_id": texts})
    renamed = build(table, settings, replace(LISTS, candidates=candidates))[0].to_pylist()
    expected = build(table, settings)[0].to_pylist()
    for row in expected:
        for name in row.keys() & {"item_id", "pos_item_id", "neg_item_id"}:
            ids = row[name]
            is_list = isinstance(ids, list)
            row[name] = [f"v{item:03d}" for item in ids] if is_list else f"v{ids:03d}"
    assert renamed == expected


def test_another_seed_or_epoch_draws_other_rows():
    for table, settings in (("pairwise", {}), ("pointwise", {}), ("listwise", CASES[8][1])):
        first = build(table, settings)[0]
        assert first.equals(build(table, settings)[0])
        assert not first.equals(build(table, settings, seed=2)[0])
        assert not first.equals(build(table, settings, epoch=1)[0])
