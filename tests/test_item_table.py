"""The item table of the catalogue: what is left out of it is told, what cannot work is refused."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankdistill.build import build
from rankdistill.errors import InputError, UserErrors
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.plan import plan
from tests.test_negatives_build import settings, table

UNIFORM = {"mix": {"uniform": 1.0}, "history_window": None}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_day")
    return simulate(folder, SimulateOptions(num_requests=20, days=1, num_users=5, num_items=300))


def with_items(simulated, folder, rows, **items):
    path = folder / "items.parquet"
    pq.write_table(pa.table(rows), path)
    listed = {"window": "1d", "items": {"path": str(path), **items}}
    return settings(simulated, folder / "feed", catalogue=listed, negatives=UNIFORM)


def refused(feed):
    with pytest.raises((UserErrors, InputError)) as caught:
        build(feed)
    return caught.value.errors[0] if isinstance(caught.value, UserErrors) else caught.value


def test_a_column_item_id_needs_no_mapping(tmp_path, simulated):
    feed = with_items(simulated, tmp_path, {"item_id": [10**9, 10**9 + 1], "title": ["a", "b"]})
    assert any("and the item table of 2 rows" in line for line in plan(feed).lines)
    build(feed)
    drawn = table(feed.output, "negatives").column("item_id").to_pylist()
    assert set(drawn) == {10**9, 10**9 + 1}


def test_rows_without_an_id_are_counted_and_told(tmp_path, simulated):
    feed = with_items(simulated, tmp_path, {"item_id": [10**9, None, 10**9 + 1, None]})
    made = build(feed)
    assert (made.door["items.rows"], made.door["items.no_id"]) == (4, 2)
    assert "catalogue.items: 2 of 4 rows without an id left out" in made.warnings
    whole = build(with_items(simulated, tmp_path, {"item_id": [10**9]}))
    assert not any("catalogue.items" in text for text in whole.warnings)


@pytest.mark.parametrize("ids", [[], [None, None]], ids=str)
def test_an_item_table_without_an_item_is_refused(tmp_path, simulated, ids):
    found = refused(with_items(simulated, tmp_path, {"item_id": pa.array(ids, pa.int64())}))
    assert (found.code, "holds no item" in found.message) == ("E0312", True)


def test_ids_of_another_type_are_refused_with_what_reads_them(tmp_path, simulated):
    text = {"item_id": ["1000000000", "1000000001"]}
    found = refused(with_items(simulated, tmp_path, text))
    assert found.code == "E0304"
    assert '--set catalogue.items.columns.item_id={column: "item_id", as: int}' in found.help
    as_int = {"columns": {"item_id": {"column": "item_id", "as": "int"}}}
    made = build(with_items(simulated, tmp_path, text, **as_int))
    assert made.totals["negatives.drawn.uniform"] == 2 * 20


def test_a_damaged_item_table_is_told_with_its_own_key(tmp_path, simulated):
    feed = with_items(simulated, tmp_path, {"item_id": [1]})
    (tmp_path / "items.parquet").write_bytes(b"no parquet")
    found = refused(feed)
    assert (found.code, "catalogue.items.on_corrupt: skip" in found.help) == ("E0310", True)
    assert "log.on_corrupt" not in found.help


def test_an_item_table_of_unlike_files_is_called_so(tmp_path, simulated):
    feed = with_items(simulated, tmp_path, {"item_id": [1]})
    pq.write_table(pa.table({"vid": [1]}), tmp_path / "other.parquet")
    both = [str(tmp_path / name) for name in ("items.parquet", "other.parquet")]
    items = feed.catalogue.items.model_copy(update={"path": both})
    catalogue = feed.catalogue.model_copy(update={"items": items})
    found = refused(feed.model_copy(update={"catalogue": catalogue}))
    assert found.message.startswith("the files of the item table differ")
