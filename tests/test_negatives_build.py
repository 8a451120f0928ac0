"""Builds with negatives: what a day looks into, and that every layout gives the same rows."""

from __future__ import annotations

import shutil
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from rankdistill import derive
from rankdistill.build import build
from rankdistill.errors import InputError, UserErrors
from rankdistill.log.days import Asked
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.request import preview_request
from rankdistill.store.dataset import DataSet
from rankdistill.summary import build_summary
from tests.feed_kit import feed

DAYS = ["2026-11-01", "2026-11-02", "2026-11-03"]
TABLES = ("lists", "pointwise", "items", "responses", "negatives")
SHORT = {"window": "2d"}
HOLES = {**SHORT, "allow_short_history": True}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return simulate(folder, SimulateOptions(num_requests=30, days=3, num_users=10, num_items=500))


def settings(simulated, output, *, catalogue=SHORT, negatives=None, **more):
    own = {
        "catalogue": catalogue,
        "quality": {"fail_on": "never"},  # days of 30 requests, catalogues of two items, ...
        "samples": {"pointwise": {}, "negatives": negatives or {"history_window": "2d"}},
    }
    return feed(simulated.log, output, **{**own, **more})


def hashes(output):
    return {table: DataSet.open(output).content_hash(table) for table in TABLES}


def table(output, name, dt=None):
    return pa.Table.from_batches(DataSet.open(output).read(name, dt=dt))


def only(*days):
    return Asked(frozenset(days))


def test_days_built_one_by_one_and_all_at_once_are_equal(tmp_path, simulated):
    one_by_one, at_once = (settings(simulated, tmp_path / name) for name in ("a", "b"))
    for day in DAYS:
        build(one_by_one, asked=only(day))
    build(at_once)
    assert hashes(one_by_one.output) == hashes(at_once.output)


def test_a_build_tells_what_it_drew_in_the_order_it_does_when_up_to_date(tmp_path, simulated):
    feed = settings(simulated, tmp_path / "a")
    first, again = (build_summary(build(feed), "a").split("\n\n")[1] for _ in range(2))
    assert first == again
    assert first.index("prerank_dropped") < first.index("tail ") < first.index("popular")


def test_threads_and_batches_do_not_change_a_row(tmp_path, simulated):
    small = {"kind": "duckdb", "threads": 3, "batch_rows": 1000}
    large = {"kind": "duckdb", "threads": 1}
    for name, engine in (("a", small), ("b", large)):
        build(settings(simulated, tmp_path / name, engine=engine))
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


@pytest.mark.spark
def test_spark_builds_the_same_rows(tmp_path, simulated, spark):
    listed = {**SHORT, "items": item_table(tmp_path, [10**9, 1])}
    for name, kind in (("a", "spark"), ("b", "duckdb")):
        build(settings(simulated, tmp_path / name, catalogue=listed, engine={"kind": kind}))
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_days_drawn_one_after_the_other_or_together_have_equal_rows(
    tmp_path, simulated, monkeypatch
):
    build(settings(simulated, tmp_path / "a"))
    monkeypatch.setattr(derive, "WAVE_BYTES", 1)
    build(settings(simulated, tmp_path / "b"))
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_what_a_killed_build_put_beside_its_lists_is_removed_by_gc(
    tmp_path, simulated, monkeypatch
):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(derive, "redraw", killed)
    with suppress(KeyboardInterrupt):
        build(settings(simulated, tmp_path / "a"))
    left = [str(path) for path in (tmp_path / "a" / derive.ARRAYS).rglob("*.npy")]
    assert len(left) > 10
    removed = DataSet.open(tmp_path / "a").gc()
    assert {str(tmp_path / "a" / path) for path in removed} >= {*left}
    assert not [*(tmp_path / "a" / derive.ARRAYS).iterdir()]


def test_counts_of_a_day_are_those_of_its_lists(tmp_path, simulated):
    build(settings(simulated, tmp_path / "a"))
    items = table(tmp_path / "a", "items", DAYS[0])
    logged = table(tmp_path / "a", "lists", DAYS[0])
    flat = pc.list_flatten(logged.column("item_id"))
    counts = {v["values"]: v["counts"] for v in pc.value_counts(flat).to_pylist()}
    found = dict(
        zip(*(items.column(n).to_pylist() for n in ("item_id", "num_recalled")), strict=True)
    )
    assert found == counts
    clicks = pc.sum(pc.list_flatten(logged.column("click"))).as_py()
    assert pc.sum(items.column("num_click")).as_py() == clicks
    assert len(table(tmp_path / "a", "responses", DAYS[0])) == clicks


def test_a_day_is_not_up_to_date_once_a_day_it_looked_into_has_changed(tmp_path, simulated):
    feed = settings(simulated, tmp_path / "a", catalogue=HOLES)
    build(feed, asked=only(DAYS[1]))
    build(feed, asked=only(DAYS[2]))
    assert not build(feed, asked=only(DAYS[2])).is_new
    assert sorted(build(feed).by_dt) == DAYS  # the first day is new to the windows of both
    assert not build(feed).is_new


def test_the_first_day_fills_the_place_of_its_empty_catalogue(tmp_path, simulated):
    made = build(settings(simulated, tmp_path / "a"))
    first = made.by_dt[DAYS[0]]
    assert first["negatives.short.popular"] == first["negatives.target.popular"] > 0
    filled = sum(n for name, n in first.items() if name.startswith("negatives.filled."))
    assert filled == first["negatives.short.popular"] - first["negatives.unfilled"]


def item_table(folder, ids):
    pq.write_table(pa.table({"vid": ids}), folder / "items.parquet")
    return {"path": str(folder / "items.parquet"), "columns": {"item_id": "vid"}}


def test_items_that_were_never_logged_are_drawn_from_the_item_table(tmp_path, simulated):
    new = list(range(10**9, 10**9 + 5000))
    listed = {**SHORT, "items": item_table(tmp_path, new)}
    uniform = {"mix": {"uniform": 1.0}, "history_window": None}
    build(settings(simulated, tmp_path / "a", catalogue=listed, negatives=uniform))
    drawn = table(tmp_path / "a", "negatives", DAYS[0])
    assert set(drawn.column("item_id").to_pylist()) <= set(new)
    assert set(drawn.column("item_q").to_pylist()) == {1 / 5000}


def test_an_item_table_with_other_ids_or_columns_is_refused(tmp_path, simulated):
    text = {**SHORT, "items": item_table(tmp_path, ["a"])}
    with pytest.raises(UserErrors, match="E0304"):
        build(settings(simulated, tmp_path / "a", catalogue=text))
    item_table(tmp_path, [1])
    typo = {"path": str(tmp_path / "items.parquet"), "columns": {"item_id": "vix"}}
    with pytest.raises(UserErrors, match=r"catalogue\.items\.columns\.item_id"):
        build(settings(simulated, tmp_path / "a", catalogue={**SHORT, "items": typo}))


def test_nothing_but_the_tables_is_left_in_the_folder(tmp_path, simulated):
    build(settings(simulated, tmp_path / "a"))
    folders = {path.name for path in (tmp_path / "a").iterdir() if path.is_dir()}
    assert folders == {*TABLES, "rejects", "metrics", "builds", "_staging"}


def test_no_negative_was_responded_to_in_the_window(tmp_path, simulated):
    build(settings(simulated, tmp_path / "a"))
    responses = table(tmp_path / "a", "responses").to_pylist()
    by_user: dict = {}
    for row in responses:
        by_user.setdefault(row["user_id"], []).append((row["request_time"], row["item_id"]))
    for row in table(tmp_path / "a", "negatives").to_pylist():
        for time, item in by_user.get(row["user_id"], ()):
            gap = (row["request_time"] - time).total_seconds()
            assert not (item == row["item_id"] and 0 <= gap <= 2 * 86400), row


@pytest.mark.parametrize("store", ["inclusion", "weight"])
def test_debiased_positives_are_equal_day_by_day_and_at_once(tmp_path, simulated, store):
    debias = {"debias": {"t": 0.001, "most": 3, "store": store}}
    samples = {"pointwise": debias, "pairwise": debias}
    one_by_one, at_once = (
        settings(simulated, tmp_path / name, samples=samples) for name in ("a", "b")
    )
    for day in DAYS:
        build(one_by_one, asked=only(day))
    made = build(at_once)
    assert store == "weight" or made.totals["pointwise.debias.dropped"] > 0
    for kind in ("pointwise", "pairwise", "items"):
        found = [DataSet.open(tmp_path / name).content_hash(kind) for name in ("a", "b")]
        assert found[0] == found[1]


def mined_table(folder, users, **change):
    rows = [(user, 10**9 + 10 * user + n, float(n)) for user in users for n in range(8)]
    columns = dict(zip(("user_id", "item_id", "score"), zip(*rows, strict=True), strict=True))
    pq.write_table(pa.table({**columns, **change}), folder / "mined.parquet")
    return {"path": str(folder / "mined.parquet")}


def test_mined_items_of_a_request_s_user_are_drawn(tmp_path, simulated):
    mined = mined_table(tmp_path, range(0, 20_000))
    negatives = {"mix": {"mined": 0.5, "tail": 0.5}, "num": 10, "mined": mined}
    feed = settings(simulated, tmp_path / "a", negatives=negatives)
    build(feed)
    rows = [r for r in table(tmp_path / "a", "negatives").to_pylist() if r["source"] == "mined"]
    assert len(rows) == 5 * 90
    assert all(r["item_id"] - 10**9 - 10 * r["user_id"] in range(3, 8) for r in rows)
    assert not build(feed).is_new
    mined_table(tmp_path, range(0, 20_000), item_id=list(range(2 * 10**9, 2 * 10**9 + 160_000)))
    assert build(feed).is_new
    rows = [r for r in table(tmp_path / "a", "negatives").to_pylist() if r["source"] == "mined"]
    assert len(rows) == 5 * 90
    assert min(r["item_id"] for r in rows) >= 2 * 10**9


def test_a_mined_table_that_is_none_is_refused(tmp_path, simulated):
    mix = {"mix": {"mined": 1.0}, "history_window": None}
    with pytest.raises(UserErrors, match=r"mined\.path"):
        build(settings(simulated, tmp_path / "a", negatives=mix))
    mined = mined_table(tmp_path, [1, 2], item_id=["a"] * 16)
    with pytest.raises(InputError, match="E0304"):
        build(settings(simulated, tmp_path / "a", negatives={**mix, "mined": mined}))


def test_a_log_without_users_draws_without_a_history_and_says_so(tmp_path, simulated):
    blind = settings(simulated, tmp_path / "a", negatives={"num": 5})
    columns = blind.log.columns.model_copy(update={"user_id": None})
    columns = columns.model_validate({**columns.model_dump(exclude_unset=True), "user_id": None})
    log = blind.log.model_copy(update={"columns": columns})
    made = build(blind.model_copy(update={"log": log}))
    assert any("no history guards the negatives" in text for text in made.warnings)
    assert "responses" not in made.build.tables


def test_a_pre_rank_student_needs_no_catalogue_but_its_history(tmp_path, simulated):
    feed = settings(simulated, tmp_path / "a", catalogue=None, student="prerank")
    assert build(feed).totals["negatives.rows"]
    last = settings(
        simulated, tmp_path / "a", catalogue=None, student="prerank", negatives={"num": 4}
    )
    whole = last.samples.negatives.model_copy(update={"history_window": None})
    samples = last.samples.model_copy(update={"negatives": whole})
    made = build(last.model_copy(update={"samples": samples}))
    assert made.totals["negatives.rows"] == 4 * 90
    assert set(made.build.tables) == {"lists", "pointwise", "negatives", "rejects", "metrics"}
    made = build(settings(simulated, tmp_path / "a", catalogue=None, student="prerank"))
    assert made.totals["negatives.guarded.history"] > 0


def test_negatives_without_lists_are_refused(tmp_path, simulated):
    samples = {"lists": False, "negatives": {}}
    with pytest.raises(UserErrors, match=r"samples\.lists: false"):
        build(settings(simulated, tmp_path / "a", samples=samples))


def test_an_item_table_of_ten_million_rows_works(tmp_path, simulated):
    ids = pa.array(np.arange(10**9, 10**9 + 10**7))
    pq.write_table(pa.table({"vid": ids}), tmp_path / "items.parquet")
    listed = {"path": str(tmp_path / "items.parquet"), "columns": {"item_id": "vid"}}
    even = {"mix": {"uniform": 0.5, "popular": 0.5}, "history_window": None}
    feed = settings(simulated, tmp_path / "a", catalogue={**SHORT, "items": listed}, negatives=even)
    made = build(feed, asked=only(DAYS[0]))
    assert made.totals["negatives.rows"] + made.totals["negatives.collided"] == 20 * 30
    drawn = table(tmp_path / "a", "negatives", DAYS[0])
    assert pc.min(drawn.column("item_id")).as_py() >= 10**9
    assert drawn.column("item_q").to_pylist() == pytest.approx([1e-7] * len(drawn), rel=1e-3)


def emptied(simulated, folder, day):
    """A copy of the log, and the file of a day, to be emptied."""
    shutil.copytree(simulated.log, folder)
    (file,) = (folder / f"dt={day}").iterdir()
    return SimpleNamespace(log=folder), file


def test_a_day_that_was_emptied_is_no_longer_looked_into(tmp_path, simulated):
    log, file = emptied(simulated, tmp_path / "log", DAYS[1])
    build(settings(log, tmp_path / "a"))
    pq.write_table(pq.ParquetFile(file).read().slice(0, 0), file)
    build(settings(log, tmp_path / "a"))
    build(settings(log, tmp_path / "b"))
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert not build(settings(log, tmp_path / "b")).is_new


def test_an_empty_day_alone_says_that_the_log_is_empty(tmp_path, simulated):
    log, file = emptied(simulated, tmp_path / "log", DAYS[1])
    pq.write_table(pq.ParquetFile(file).read().slice(0, 0), file)
    with pytest.raises(InputError):
        build(settings(log, tmp_path / "a", catalogue=HOLES), asked=only(DAYS[1]))


def test_days_written_without_dashes_look_into_each_other(tmp_path, simulated):
    shutil.copytree(simulated.log, tmp_path / "log")
    for day in DAYS:
        (tmp_path / "log" / f"dt={day}").rename(tmp_path / "log" / f"dt={day.replace('-', '')}")
    log = SimpleNamespace(log=tmp_path / "log")
    found = [
        build(settings(at, tmp_path / name)).totals for at, name in ((log, "a"), (simulated, "b"))
    ]
    for name in ("guarded.history", "short.popular", "drawn.popular"):
        assert found[0][f"negatives.{name}"] == found[1][f"negatives.{name}"] > 0


def test_preview_tells_what_debias_made_of_a_positive(tmp_path, simulated):
    samples = {
        "pointwise": {"debias": {"t": 0.001, "most": 3}},
        "pairwise": {"debias": {"most": 2}},
    }
    feed = settings(simulated, tmp_path / "a", samples=samples)
    build(feed)
    rows = [r for r in table(tmp_path / "a", "pointwise").to_pylist() if r["label"]]
    request = str(next(r["request_id"] for r in rows if r["weight"] > 2))
    shown = preview_request(DataSet.open(tmp_path / "a"), feed, request, why=True)
    told = {row["item_id"]: str(row["pointwise"]) for row in shown.reasons}
    kept = {r["item_id"]: r["weight"] for r in rows if str(r["request_id"]) == request}
    for item, text in told.items():
        after = f"debias: weight {kept[item]:.3g} in" if item in kept else "debias: left out"
        assert (after in text) == text.startswith("positive"), text


def test_windows_of_no_length_guard_nothing(tmp_path, simulated):
    for name, window in (("a", "0d"), ("b", None)):
        windows = {"history_window": window, "future_window": window}
        build(settings(simulated, tmp_path / name, negatives=windows))
    drawn = [DataSet.open(tmp_path / name).content_hash("negatives") for name in ("a", "b")]
    assert drawn[0] == drawn[1]


def test_feedback_on_what_was_not_exposed_is_warned_of(tmp_path, simulated):
    log, file = emptied(simulated, tmp_path / "log", DAYS[0])
    rows = pq.ParquetFile(file).read()
    stage = pa.array(["ranked"] * len(rows))
    pq.write_table(rows.set_column(rows.schema.get_field_index("stage"), "stage", stage), file)
    never = {"fail_on": "never"}  # most of these rows lack a score now
    found = build(settings(log, tmp_path / "a", quality=never), asked=only(DAYS[0])).warnings
    clicks = pc.sum(rows.column("click")).as_py()
    assert any(text.startswith(f"{clicks:,} rows have feedback on an item") for text in found)
