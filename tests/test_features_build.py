"""Builds with feature tables: what is joined, what is only checked, what is refused."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankdistill.build import build
from rankdistill.errors import UserError, UserErrors
from rankdistill.log.days import Asked
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.plan import plan
from rankdistill.request import preview_request
from rankdistill.settings import Settings
from rankdistill.store.dataset import DataSet
from rankdistill.validate import validate

DAYS = ["2026-11-01", "2026-11-02"]
KINDS = ("pointwise", "pairwise", "listwise", "negatives")
NEGATIVES = {"history_window": "1d", "mix": {"popular": 0.5, "prerank_dropped": 0.5}}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return simulate(folder, SimulateOptions(num_requests=25, days=2, num_users=8, num_items=300))


@pytest.fixture(scope="module")
def prices(simulated):
    """Item prices that changed now and then, some at the same time; of every third item none."""
    start = 1_793_491_200  # 2026-11-01
    rows = [
        (item, start + 7200 * ((item * step) % 13 - 1), item * 100 + step)
        for item in range(1, 301)
        for step in range(4)
        if item % 3
    ]
    item_id, since, price = zip(*rows, strict=True)
    path = simulated.out / "prices.parquet"
    pq.write_table(pa.table({"vid": item_id, "since": since, "price": price}), path)
    return rows


@pytest.fixture(scope="module")
def scenes(simulated):
    path = simulated.out / "scenes.csv"
    path.write_text("scene,day,rain\nhome,2026-11-01,0.5\nhome,2026-11-02,0.25\n")
    return path


def tables(simulated, *, materialize=True):
    """Users and items of the simulator, prices as of the request, the scene of the day."""
    own = simulated.out
    found = [
        {"of": "user", "path": str(own / "users.parquet")},
        {"of": "item", "path": str(own / "items.parquet"), "columns": ["duration"]},
        {
            "of": "item",
            "path": str(own / "prices.parquet"),
            "key": "vid",
            "time": {"column": "since", "unit": "s"},
        },
        {
            "of": "context",
            "path": str(own / "scenes.csv"),
            "format": "csv",
            "key": {"scene": {"column": "scene"}, "dt": {"column": "day"}},
        },
    ]
    return [{**table, "materialize": materialize} for table in found]


def settings(simulated, output, features, **more):
    return Settings.model_validate(
        {
            "output": str(output),
            "log": {
                "path": str(simulated.log),
                "stage": {"from": "column", "column": "stage"},
                "columns": {"feedback": ["click"], "request": ["scene"]},
            },
            "catalogue": {"window": "1d"},
            "features": features,
            "samples": {"pointwise": {}, "pairwise": {}, "listwise": {}, "negatives": NEGATIVES},
            **more,
        }
    )


def rows(output, table):
    return pa.Table.from_batches(DataSet.open(output).read(table)).to_pylist()


def hashes(output):
    return {kind: DataSet.open(output).content_hash(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def built(simulated, prices, scenes, tmp_path_factory):
    """(the output, the result) of one build with all tables joined."""
    output = tmp_path_factory.mktemp("built") / "a"
    return output, build(settings(simulated, output, tables(simulated)))


def price_of(prices, item_id, time):
    """The newest price at or before a time; prices of one time are told apart by their hash."""
    known = [row for row in prices if row[0] == item_id and row[1] <= time.timestamp()]
    return {row[2] for row in known if row[1] == max(r[1] for r in known)} or {None}


def items_of(kind, row):
    """(item, its duration, its price) of every item of a sample row."""
    if kind == "listwise":
        names = ("item_id", "item_duration", "item_price")
        yield from zip(*(row[name] for name in names), strict=True)
        return
    for side in ("pos_", "neg_") if kind == "pairwise" else ("",):
        yield tuple(row[f"{side}item_{name}"] for name in ("id", "duration", "price"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_the_features_of_its_user_items_and_request(kind, built, simulated, prices):
    users = {r["user_id"]: r for r in pq.read_table(simulated.out / "users.parquet").to_pylist()}
    items = {r["item_id"]: r for r in pq.read_table(simulated.out / "items.parquet").to_pylist()}
    lists = {row["request_id"]: row for row in rows(built[0], "lists")}
    found = rows(built[0], kind)
    assert len(found) > 20
    for row in found:
        user = users[row["user_id"]]
        assert (row["user_age_group"], row["user_city"]) == (user["age_group"], user["city"])
        is_home = lists[row["request_id"]]["scene"] == "home"
        rain = {"2026-11-01": "0.5", "2026-11-02": "0.25"}[str(row["dt"])] if is_home else None
        assert row["context_rain"] == rain
        for item_id, duration, price in items_of(kind, row):
            assert duration == items[item_id]["duration"]
            assert price in price_of(prices, item_id, row["request_time"])


def test_look_ups_without_a_row_are_counted_by_table_and_kind(built, prices):
    output, made = built
    for kind in KINDS:
        found = [item for row in rows(output, kind) for item in items_of(kind, row)]
        assert made.totals[f"features.item_2.{kind}.looked_up"] == len(found)
        missing = made.totals[f"features.item_2.{kind}.missing"]
        assert missing == sum(price is None for _, _, price in found) > 0
        assert made.totals[f"features.user.{kind}.missing"] == 0


def test_days_built_one_by_one_and_all_at_once_are_equal(built, simulated, tmp_path):
    feed = settings(simulated, tmp_path / "b", tables(simulated))
    for day in DAYS:
        build(feed, asked=Asked(frozenset([day])))
    assert hashes(tmp_path / "b") == hashes(built[0])


def test_threads_and_batches_do_not_change_a_row(built, simulated, tmp_path):
    engine = {"kind": "duckdb", "threads": 3, "batch_rows": 1000}
    build(settings(simulated, tmp_path / "b", tables(simulated), engine=engine))
    assert hashes(tmp_path / "b") == hashes(built[0])


@pytest.mark.spark
def test_spark_joins_the_same_rows(built, simulated, tmp_path, spark):
    build(settings(simulated, tmp_path / "b", tables(simulated), engine={"kind": "spark"}))
    assert hashes(tmp_path / "b") == hashes(built[0])


def test_a_changed_table_is_joined_anew_and_its_place_does_not_count(simulated, scenes, tmp_path):
    path = tmp_path / "users.parquet"
    users = pq.read_table(simulated.out / "users.parquet")
    pq.write_table(users, path)
    feed = settings(simulated, tmp_path / "a", [one(path)])
    assert feed.hash() == settings(simulated, tmp_path / "a", [one("elsewhere")]).hash()
    assert build(feed).is_new
    assert not build(feed).is_new
    pq.write_table(users.slice(1), path)
    assert build(feed).totals["features.user.pointwise.missing"] > 0


def test_a_table_left_to_the_trainer_changes_no_row_and_is_recorded(
    simulated, prices, scenes, tmp_path
):
    plain = settings(simulated, tmp_path / "a", [])
    left = settings(simulated, tmp_path / "b", tables(simulated, materialize=False))
    assert plain.hash() == left.hash()
    build(plain)
    made = build(left)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    facts = DataSet.open(tmp_path / "b").current().days[DAYS[0]].counts["features"]
    assert facts == [dict(table) for table in made.features]
    assert [table["name"] for table in facts] == ["user", "item", "item_2", "context"]
    assert (facts[2]["key"], facts[2]["time"]) == (["vid"], "since")
    assert facts[2]["columns"] == {"price": "price"}


def test_plan_and_validate_have_a_line_per_table(simulated, prices, scenes, tmp_path):
    feed = settings(simulated, tmp_path / "a", tables(simulated))
    (line,) = [line for line in plan(feed).lines if "prices" in line]
    assert line.startswith("features  item_2 of ")
    assert line.endswith(
        "by item_id, the newest row at or before the request: item_price; joined into the samples"
    )
    assert line in validate(feed).text()


def test_nothing_of_the_tables_is_left_in_the_folder(built):
    folders = {path.name for path in built[0].iterdir() if path.is_dir()}
    tables = {*KINDS, "lists", "items", "responses", "rejects", "metrics"}
    assert folders == {*tables, "builds", "_staging"}


def one(path, **more):
    return {"of": "user", "path": str(path), "materialize": True, **more}


def refused(simulated, tmp_path, table):
    """The one error of a build with `table`."""
    with pytest.raises((UserError, UserErrors)) as fault:
        build(settings(simulated, tmp_path / "a", [table]))
    (found,) = getattr(fault.value, "errors", (fault.value,))
    assert not (tmp_path / "a").exists() or DataSet.open(tmp_path / "a").current() is None
    return found


def user_table(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "users.parquet")
    return tmp_path / "users.parquet"


def test_columns_and_keys_that_are_not_there_are_refused(simulated, tmp_path):
    path = user_table(tmp_path, user_id=[1], age=[2])
    found = refused(simulated, tmp_path, one(path, columns=["agee"]))
    assert (found.code, found.key) == ("E0102", ("features", 0, "columns", "agee"))
    found = refused(simulated, tmp_path, one(path, key="uid"))
    assert (found.code, found.key) == ("E0102", ("features", 0, "key"))
    context = {"of": "context", "path": str(path), "key": {"scenes": {"name": "user_id"}}}
    found = refused(simulated, tmp_path, context)
    assert found.code == "E0102"
    assert "scene" in found.help


def test_ids_of_another_type_are_refused_unless_they_are_read_as_the_log_s(simulated, tmp_path):
    path = user_table(tmp_path, user_id=[str(n) for n in range(1, 9)], age=range(8))
    found = refused(simulated, tmp_path, one(path))
    assert found.code == "E0304"
    assert 'features.0.key={column: "user_id", as: int}' in found.help
    read = one(path, key={"column": "user_id", "as": "int"})
    made = build(settings(simulated, tmp_path / "a", [read]))
    assert made.totals["features.user.pointwise.missing"] == 0


def test_float_keys_and_times_without_a_unit_are_refused(simulated, tmp_path):
    path = user_table(tmp_path, user_id=[1.0, float("nan")], since=[1, 2], age=[2, 3])
    assert refused(simulated, tmp_path, one(path)).code == "E0304"
    path = user_table(tmp_path, user_id=[1, 1], since=[1, 2], age=[2, 3])
    found = refused(simulated, tmp_path, one(path, time="since"))
    assert (found.code, found.key) == ("E0304", ("features", 0, "time"))


def test_rows_without_a_key_or_a_time_are_left_out_and_counted(simulated, tmp_path):
    ids, ages = [1.0, float("nan"), None, 2.0], [10, 20, 30, 40]
    since = ["2020-01-01", "2020-01-01", "2020-01-01", "once"]
    path = user_table(tmp_path, user_id=ids, since=since, age=ages)
    read = one(path, key={"column": "user_id", "as": "int"}, time="since")
    made = build(settings(simulated, tmp_path / "a", [read]))
    assert {row["user_age"] for row in rows(tmp_path / "a", "pointwise")} == {10, None}
    assert [made.door[f"features.user.{name}"] for name in ("rows", "no_key", "no_time")] == [
        *(4, 2, 1)
    ]
    assert "features.user: 2 rows without a key left out" in made.warnings


def test_rows_of_one_key_need_a_time(simulated, tmp_path):
    path = user_table(tmp_path, user_id=[1, 2, 2], age=[10, 20, 30])
    found = refused(simulated, tmp_path, one(path))
    assert found.code == "E0317"
    assert found.found == "for example key 2"


def test_a_table_that_no_worker_may_hold_is_refused_before_a_row_is_read(simulated, tmp_path):
    path = user_table(tmp_path, user_id=range(10), age=range(10))
    found = refused(simulated, tmp_path, one(path, max_values=19))
    assert found.code == "E0318"
    assert "20 values, and max_values is 19" in found.message
    assert "materialize: false" in found.help


def test_a_table_whose_length_only_a_scan_tells_is_bounded_too(simulated, tmp_path):
    (tmp_path / "users.csv").write_text("user_id,age\n" + "1,2\n" * 10)
    table = one(tmp_path / "users.csv", format="csv", max_values=19)
    found = refused(simulated, tmp_path, {**table, "key": {"column": "user_id", "as": "int"}})
    assert found.code == "E0318"


def test_a_feature_by_the_name_of_a_column_is_refused(simulated, tmp_path):
    path = user_table(tmp_path, user_id=[1], id=[2])
    assert refused(simulated, tmp_path, one(path)).code == "E0103"


def test_structs_are_refused_and_lists_are_features(simulated, tmp_path):
    path = user_table(tmp_path, user_id=[1], place=[{"city": "x"}])
    assert refused(simulated, tmp_path, one(path)).code == "E0304"
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"item_id": range(1, 301), "tags": [["a", "b"], None, []] * 100}), path)
    table = {"of": "item", "path": str(path), "materialize": True}
    build(settings(simulated, tmp_path / "a", [table]))
    tags = {1: ["a", "b"], 2: None, 0: []}
    for row in rows(tmp_path / "a", "listwise"):
        assert row["item_tags"] == [tags[item % 3] for item in row["item_id"]]


@pytest.mark.parametrize("ids", [[], [None]])
def test_a_table_that_holds_nobody_gives_nulls_of_its_types(ids, simulated, tmp_path):
    columns = {"item_id": pa.array(ids, pa.int64()), "age": pa.array([1] * len(ids), pa.int64())}
    columns["tags"] = pa.array([["a"]] * len(ids), pa.list_(pa.string()))
    path = user_table(tmp_path, **columns)
    table = {"of": "item", "path": str(path), "materialize": True}
    made = build(settings(simulated, tmp_path / "a", [table]))
    for kind in KINDS:
        totals = made.totals
        looked_up = totals[f"features.item.{kind}.looked_up"]
        assert totals[f"features.item.{kind}.missing"] == looked_up > 0
    schema = DataSet.open(tmp_path / "a").schema("pairwise")
    assert schema.field("pos_item_age").type == pa.int64()
    assert schema.field("neg_item_tags").type == pa.list_(pa.string())


def test_a_log_without_users_or_times_meets_no_table_of_them(simulated, tmp_path):
    feed = settings(simulated, tmp_path / "a", [])
    log = feed.log.model_dump(by_alias=True) | {"columns": {"user_id": None, "request_time": None}}
    path = user_table(tmp_path, user_id=[1], item_id=[1], since=["2020-01-01"], age=[1])
    timed = {"of": "item", "path": str(path), "time": "since"}
    for table, said in ((one(path), "log.columns.user_id"), (timed, "log.columns.request_time")):
        changed = {"log": log, "samples": {"pointwise": {}}, "features": [table]}
        with pytest.raises(UserErrors) as fault:
            build(Settings.model_validate(feed.model_dump(by_alias=True) | changed))
        (found,) = fault.value.errors
        assert said in f"{found.message} {found.help}"


def test_preview_shows_a_list_of_the_user_s_once_and_features_of_items_per_item(
    simulated, tmp_path
):
    path = user_table(tmp_path, user_id=range(1, 9), likes=[["a", "b", "c"]] * 8)
    items = {"of": "item", "path": str(simulated.out / "items.parquet"), "materialize": True}
    feed = settings(simulated, tmp_path / "a", [one(path), items])
    build(feed)
    request_id = rows(tmp_path / "a", "listwise")[0]["request_id"]
    shown = preview_request(DataSet.open(tmp_path / "a"), feed, str(request_id), why=True)
    durations = {row["item_id"]: row["item_duration"] for row in shown.samples["pointwise"]}
    for row in shown.samples["listwise"]:
        assert "user_likes" not in row
        assert row["item_duration"] == durations.get(row["item_id"], row["item_duration"])


def test_a_user_named_by_a_hash_of_columns_meets_the_same_hash_of_the_table(simulated, tmp_path):
    feed = settings(simulated, tmp_path / "a", [])
    users = {"hash_of": ["user_id", "scene"]}
    log = feed.log.model_dump(by_alias=True) | {"columns": {"user_id": users}}
    pairs = [(user, scene) for user in range(1, 9) for scene in ("home", "search", "detail")]
    user_id, scene = zip(*pairs, strict=True)
    path = user_table(tmp_path, user_id=user_id, scene=scene, both=[f"{u}{s}" for u, s in pairs])
    table = one(path, key=users, columns=["both"])
    changed = {"log": log, "samples": {"pointwise": {}}, "features": [table]}
    build(Settings.model_validate(feed.model_dump(by_alias=True) | changed))
    logged = pq.read_table(simulated.log).to_pylist()
    known = {row["request_id"]: f"{row['user_id']}{row['scene']}" for row in logged}
    found = rows(tmp_path / "a", "pointwise")
    assert found
    assert all(row["user_both"] == known[row["request_id"]] for row in found)
