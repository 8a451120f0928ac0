"""A data set of another format: what a newer version wrote is refused and left as it is."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_kit import snapshot

from rankdistill.errors import PlaceError
from rankdistill.store import builds
from rankdistill.store.dataset import DataSet


def rewritten(root, number, *, mark, column=None):
    """The row of build `number` with another mark of its format (None: without), or a column."""
    (file,) = (root / "builds").glob(f"{number:08d}-*.parquet")
    table = pq.read_table(file)
    table = table.append_column(column, pa.array(["x"])) if column else table
    marked = None if mark is None else {builds.MARK: mark}
    pq.write_table(table.replace_schema_metadata(marked), file)


ACTS = {
    "build": lambda small: small.build({"2026-11-02": 3}),
    "newest": lambda small: DataSet.open(small.root).newest(),
    "versions": lambda small: DataSet.open(small.root).versions(),
    "rollback": lambda small: DataSet.open(small.root).rollback(1),
    "gc": lambda small: DataSet.open(small.root).gc(retention_hours=0, keep_builds=1),
    "verify": lambda small: DataSet.open(small.root).verify(),
    "read": lambda small: list(DataSet.open(small.root).read("lists")),
}


@pytest.mark.parametrize("mark", ["2", "10", "with a new column"])
@pytest.mark.fault("42", "a data set of a newer format, by each act of the store", times=1)
def test_a_data_set_of_a_newer_format_is_refused_and_nothing_is_touched(small, mark, trial, told):
    told.cases = len(ACTS)
    for tag in (1, 2):
        small.build({"2026-11-01": tag})
    new = {"mark": "1", "column": "branch"} if mark.startswith("with") else {"mark": mark}
    rewritten(small.root, 2, **new)
    before = snapshot(small.root)
    for name, act in ACTS.items():
        with pytest.raises(PlaceError, match="by a newer rankdistill") as caught:
            act(small)
        assert caught.value.code == "E0209", name
        assert ("branch" if "column" in new else f"format {mark};") in caught.value.found
    assert snapshot(small.root) == before


@pytest.mark.fault("42", "a data set whose rows tell no format, from before there was one", times=1)
def test_a_row_without_a_format_is_of_the_first(small, trial, told):
    small.build({"2026-11-01": 1})
    rewritten(small.root, 1, mark=None)
    assert small.tags() == {"2026-11-01": 1}
    assert small.build({"2026-11-02": 2}).number == 2
    assert small.tags() == {"2026-11-01": 1, "2026-11-02": 2}


@pytest.mark.parametrize("mark", ["0", "-1", "two", ""])
def test_a_format_that_is_no_number_is_damage(small, mark):
    small.build({"2026-11-01": 1})
    rewritten(small.root, 1, mark=mark)
    with pytest.raises(PlaceError) as caught:
        DataSet.open(small.root).newest()
    assert caught.value.code == "E0204"


def test_each_row_tells_its_format(small):
    small.build({"2026-11-01": 1})
    (file,) = (small.root / "builds").glob("*.parquet")
    assert pq.read_schema(file).metadata[builds.MARK] == str(builds.FORMAT).encode()
