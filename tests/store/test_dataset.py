"""Builds as versions of the whole data set: publish, read, go back, forget."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from store_kit import INFO, SCHEMAS, Small

from rankdistill.errors import PlaceError
from rankdistill.store import delta, publish
from rankdistill.store.dataset import DataSet, DayFacts, PartWriter

AWKWARD_DTS = ["/", "a/b", "..", ".", "=", "%2F", "\U0001f600", "007", "a b", "\"'?*:", "x" * 60]


def error_code(call, *arguments, **options):
    with pytest.raises(PlaceError) as caught:
        call(*arguments, **options)
    assert caught.value.help
    return caught.value.code


def test_a_build_replaces_its_own_dts_and_keeps_the_others(small):
    first = small.build({"d1": 1, "d2": 1})
    second = small.build({"d2": 2, "d3": 2})
    assert small.tags() == {"d1": 1, "d2": 2, "d3": 2}
    assert small.tags(first) == {"d1": 1, "d2": 1}
    assert (first.number, first.parent, second.number, second.parent) == (1, None, 2, 1)
    assert {dt: day.build for dt, day in second.days.items()} == {"d1": 1, "d2": 2, "d3": 2}
    data = DataSet.open(small.root)
    assert data.versions() == [first, second]
    assert (data.build(1), data.current()) == (first, second)
    assert second.days["d3"].counts == {"rows": 3}
    assert second.days["d3"].fingerprint == "2"


def test_partition_values_come_back_exactly(small):
    small.build({dt: i for i, dt in enumerate(AWKWARD_DTS)})
    assert small.tags() == {dt: i for i, dt in enumerate(AWKWARD_DTS)}
    small.build({"%2F": 77, "007": 78})
    assert small.tags()["%2F"] == 77
    assert small.tags()["/"] == 0
    (file,) = DataSet.open(small.root).files("lists", dt="a/b")
    assert file.startswith(f"{small.root}/lists/")
    assert "/dt=a%2Fb/" in file


def test_plain_delta_readers_see_the_same_rows_at_the_head(small):
    small.build({"d1": 1, "a/b": 1, "%2F": 1})
    small.build({"a/b": 2})
    table = DeltaTable(small.root / "pairwise").to_pyarrow_table()
    rows = set(zip(table["dt"].to_pylist(), table["request_id"].to_pylist(), strict=True))
    assert rows == {("d1", 1), ("a/b", 2), ("%2F", 1)}
    assert table.num_rows == 9


def test_rows_come_back_with_dt_in_its_place_and_the_asked_columns(small):
    small.build({"d1": 4})
    data = DataSet.open(small.root)
    (batch,) = data.read("pairwise")
    assert batch.schema.names == SCHEMAS["pairwise"].names
    assert batch.to_pylist()[0] == {"request_id": 4, "margin": 0.5, "dt": "d1"}
    (batch,) = data.read("lists", columns=["dt", "item_id"])
    assert batch.to_pydict() == {"dt": ["d1"] * 3, "item_id": [[], ["4"], ["4", "4"]]}
    (batch,) = data.read("lists", columns=["dt"])
    assert batch.to_pydict() == {"dt": ["d1"] * 3}
    assert error_code(data.read, "lists", columns=["itm"]) == "E0206"


def test_an_unknown_build_table_or_dt_is_refused_by_name(small):
    DataSet.create_or_open(small.root)
    data = DataSet.open(small.root)
    assert (data.current(), data.versions()) == (None, [])
    assert error_code(data.files, "lists") == "E0206"
    small.build({"d1": 1})
    assert error_code(data.files, "points") == "E0206"
    assert error_code(data.files, "lists", dt="d2") == "E0206"
    assert error_code(data.build, 2) == "E0206"
    assert error_code(data.rollback, 2) == "E0206"


def test_a_dt_without_rows_is_empty_and_its_old_rows_are_gone(small):
    small.build({"d1": 1, "d2": 1})
    data = DataSet.open(small.root)
    facts = {"d1": DayFacts(config_hash="c", fingerprint="f")}
    data.publish(data.begin(), [], SCHEMAS, facts, INFO)
    assert small.tags() == {"d2": 1}
    assert data.files("lists", dt="d1") == []
    assert list(data.read("lists", dt="d1")) == []


def test_a_table_that_the_new_build_lacks_is_gone_for_its_dts(small):
    small.build({"d1": 1, "d2": 1})
    build = small.build({"d1": 2}, schemas={"lists": SCHEMAS["lists"]})
    data = DataSet.open(small.root)
    assert dict(build.days["d1"].tables).keys() == {"lists"}
    assert data.files("pairwise", dt="d1") == []
    assert set(DeltaTable(small.root / "pairwise").to_pyarrow_table()["dt"].to_pylist()) == {"d2"}


def test_a_new_column_widens_a_table_and_old_rows_hold_nulls(small):
    small.build({"d1": 1})
    before = DataSet.open(small.root).content_hash("lists")
    narrow = SCHEMAS["lists"]
    schemas = {"lists": narrow.append(pa.field("margin", pa.float64()))}
    small.build({"d2": 2}, schemas=schemas)
    data = DataSet.open(small.root)
    assert data.schema("lists").names == ["request_id", "dt", "item_id", "margin"]
    rows = {(r["dt"], r["margin"]) for batch in data.read("lists") for r in batch.to_pylist()}
    assert rows == {("d1", None), ("d2", 0.5)}
    assert data.content_hash("lists", "d1") == before
    small.build({"d3": 3}, schemas={"lists": narrow})
    assert {batch.schema for batch in data.read("lists")} == {data.schema("lists")}


def test_a_column_of_another_type_is_refused_and_nothing_is_published(small):
    small.build({"d1": 1})
    data = DataSet.open(small.root)
    field = pa.field("request_id", pa.string(), nullable=False)
    schema = SCHEMAS["lists"].set(0, field)
    staging = data.begin()
    facts = {"d2": DayFacts(config_hash="c", fingerprint="f")}
    with pytest.raises(PlaceError, match=r"lists\.request_id") as caught:
        data.publish(staging, [], {"lists": schema}, facts, INFO)
    assert caught.value.code == "E0205"
    assert caught.value.found == ("int64 not null in the data set, string not null in this build")
    assert small.tags() == {"d1": 1}


def test_a_build_given_up_leaves_no_part_and_one_that_a_head_names_keeps_its(small):
    small.build({"d1": 1})
    data = DataSet.open(small.root)
    staging, parts, schemas, facts, _ = small.stage(data, {"d2": 2})
    own = [part for part in parts if part.table == "lists"]
    publish.commit_table(staging, "lists", schemas["lists"], own, facts)
    data.discard(staging)
    files = small.root.rglob(f"{staging.build_id}/**/*.parquet")
    left = {path.relative_to(small.root) for path in files}
    assert left == {Path("lists", part.path) for part in own}
    assert small.tags() == {"d1": 1}
    assert data.gc(retention_hours=0) == sorted(map(str, left))
    assert not (small.root / "_staging" / f"{staging.build_id}.json").exists()


def test_a_part_that_lost_bytes_before_the_commit_stops_it(small):
    small.build({"d1": 1})
    data = DataSet.open(small.root)
    staged = small.stage(data, {"d1": 2})
    part = staged[1][0]
    file = small.root / part.table / part.path
    file.write_bytes(file.read_bytes()[:-1])
    assert error_code(data.publish, *staged) == "E0204"
    assert small.tags() == {"d1": 1}


def test_rollback_is_a_new_build_and_plain_readers_follow(small):
    small.build({"d1": 1, "d2": 1})
    small.build({"d2": 2, "d3": 2})
    data = DataSet.open(small.root)
    third = data.rollback(1)
    assert (third.number, third.parent, third.kind) == (3, 2, "rollback")
    assert small.tags() == {"d1": 1, "d2": 1}
    for table in SCHEMAS:
        head = DeltaTable(small.root / table).to_pyarrow_table()
        rows = set(zip(head["dt"].to_pylist(), head["request_id"].to_pylist(), strict=True))
        assert rows == {("d1", 1), ("d2", 1)}
    data.rollback(2)
    assert small.tags() == {"d1": 1, "d2": 2, "d3": 2}
    small.build({"d2": 5})
    assert small.tags() == {"d1": 1, "d2": 5, "d3": 2}


def test_old_versions_stay_readable_past_checkpoints(small):
    first = small.build({"d0": 0})
    data = DataSet.open(small.root)
    for number in range(1, 46):
        staging = data.begin()
        one = {"pairwise": SCHEMAS["pairwise"]}
        with PartWriter(data.root, staging.build_id, "t", schemas=one) as writer:
            rows = {"request_id": [number], "margin": [0.5]}
            writer.write("pairwise", f"d{number % 3}", pa.RecordBatch.from_pydict(rows))
        days = {f"d{number % 3}": DayFacts(config_hash="c", fingerprint="f")}
        data.publish(staging, writer.close(), one, days, INFO)
    log = small.root / "pairwise" / "_delta_log"
    assert len(list(log.glob("*.checkpoint.parquet"))) == 2
    assert len(list(log.glob("*.json"))) == 47
    DeltaTable(small.root / "pairwise").cleanup_metadata()
    assert small.tags(first) == {"d0": 0}
    assert small.tags() == {"d0": 45, "d1": 43, "d2": 44}
    assert data.rollback(1).days.keys() == {"d0"}
    assert delta.head(small.root / "pairwise").files.keys() == {
        part.path for part in data.parts("pairwise")
    }


def test_gc_keeps_what_kept_builds_name_and_removes_the_rest(small):
    for tag in range(1, 6):
        small.build({"d1": tag, f"only{tag}": tag})
    data = DataSet.open(small.root)
    assert data.gc(keep_builds=1) == []  # all are younger than the retention
    would = data.gc(retention_hours=0, keep_builds=2, dry_run=True)
    assert len(data.versions()) == 5
    removed = data.gc(retention_hours=0, keep_builds=2)
    assert [build.number for build in data.versions()] == [4, 5]
    # d1 of builds 1, 2, 3 in two tables, and three rows of builds
    assert len([path for path in removed if "dt=d1" in path]) == 6
    assert len(removed) == 9
    assert would == removed
    assert small.tags(data.build(4))["d1"] == 4
    assert small.tags() == {"d1": 5} | {f"only{tag}": tag for tag in range(1, 6)}
    assert data.verify().faults == data.verify().strays == ()
    assert error_code(data.build, 3) == "E0206"
    assert data.gc(retention_hours=0, keep_builds=2) == []


def test_gc_leaves_live_builds_and_foreign_files_alone(small):
    small.build({"d1": 1})
    data = DataSet.open(small.root)
    staged = small.stage(data, {"d1": 2})
    notes = [small.root / "notes.parquet", small.root / "lists" / "mine.parquet"]
    notes.append(small.root / "lists" / staged[0].build_id / "mine.parquet")
    for note in notes:
        note.write_text("mine")
    (small.root / "lists" / "link").symlink_to(small.root.parent)
    assert data.gc(retention_hours=0, keep_builds=1) == []
    assert data.publish(*staged).number == 2
    data.gc(retention_hours=0, keep_builds=1)
    assert small.tags() == {"d1": 2}
    assert all(note.read_text() == "mine" for note in notes)

    dead = small.stage(data, {"d1": 3})
    dead[0].release()
    removed = data.gc(retention_hours=1000)
    assert sorted(removed) == sorted(f"{part.table}/{part.path}" for part in dead[1])
    assert not (small.root / "lists" / dead[0].build_id).exists()
    assert small.tags() == {"d1": 2}


def test_a_build_that_died_between_tables_is_repaired_by_gc_for_plain_readers(small, monkeypatch):
    small.build({"d1": 1})
    data = DataSet.open(small.root)
    staged = small.stage(data, {"d1": 2})
    with monkeypatch.context() as patch:
        patch.setattr(publish, "commit_build", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            data.publish(*staged)
    assert len(data.gc(retention_hours=0)) == 0  # it may still live: its lock is held
    staged[0].release()
    assert len(data.gc(retention_hours=0)) == 2
    for table in SCHEMAS:
        head = DeltaTable(small.root / table).to_pyarrow_table()
        assert set(head["request_id"].to_pylist()) == {1}
    assert small.tags() == {"d1": 1}


def test_opening_a_data_set_twice_changes_nothing(small):
    small.build({"d1": 1})
    assert DataSet.create_or_open(small.root).current() == DataSet.open(small.root).current()
    assert Small(small.root).tags() == {"d1": 1}
