"""What `log.where` leaves out of a build is counted, and told by every verb that reads a log."""

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from rankdistill.build import build
from rankdistill.errors import InputError
from rankdistill.judge import describe_door
from rankdistill.plan import plan
from rankdistill.validate import validate
from tests.log.door_kit import settings

HOME = [{"column": "scene", "op": "=", "value": "home"}]
ROWS = pa.table(
    {
        "request_id": [1, 1, 2, 2, 3],
        "item_id": [1, 2, 1, 2, 1],
        "rank": [1, 2, 1, 2, 1],
        "scene": ["home", "home", "feed", None, "home"],
    }
)
LISTS = pa.table({"request_id": [1, 2], "item_id": [[1, 2], [1]], "scene": ["home", "feed"]})


def a_log(folder, kind):
    """(log block, rows in the files, rows that are in)."""
    path = folder / f"log.{kind}"
    if kind == "csv":
        pa.csv.write_csv(ROWS, path)
    else:
        pq.write_table(LISTS if kind == "lists" else ROWS, path)
    if kind == "lists":
        options = {"layout": "lists", "teacher_order": "list_order", "columns": {"rank": None}}
        return {"path": str(path), **options}, 2, 1
    return {"path": str(path), "format": kind}, 5, 3


@pytest.mark.parametrize("kind", ["parquet", "csv", "lists"])
def test_rows_in_the_files_are_those_left_out_and_those_that_came_in(tmp_path, kind):
    log, whole, inside = a_log(tmp_path, kind)
    made = build(settings({**log, "where": HOME}, tmp_path / "feed"))
    assert made.door["where.rows"] == whole
    assert made.door["where.left_out"] == whole - inside
    assert made.door["requests_in" if kind == "lists" else "rows_in"] == inside
    said = f"log.where left out {whole - inside} of {whole} rows in the files"
    assert said in describe_door(made.door)
    assert "where" not in describe_door(build(settings(log, tmp_path / "all")).door)


def test_validate_and_plan_tell_it_too_and_so_does_the_error_where_nothing_is_left(tmp_path):
    log, *_ = a_log(tmp_path, "parquet")
    chosen = settings({**log, "where": HOME}, tmp_path / "feed")
    for text in (validate(chosen).text(), plan(chosen).text()):
        assert "log.where left out 2 of 5 rows" in text
    nowhere = settings({**log, "where": [{**HOME[0], "value": "nowhere"}]}, tmp_path / "feed")
    with pytest.raises(InputError, match="E0312") as fault:
        build(nowhere)
    assert "left out 5 of 5 rows" in fault.value.found
