"""A stored part that was changed, cut or lost: every verb that reads it names it, exit code 4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_kit import REQUEST, run

from rankdistill.build import build
from rankdistill.errors import PlaceError
from rankdistill.log.days import Asked
from rankdistill.settings import read_settings
from rankdistill.store.dataset import DataSet

DAYS = ("2026-11-01", "2026-11-02")
NEGATIVES = """\
  negatives: {num: 4, mix: {popular: 1}, history_window: 1d}
catalogue: {window: 1d, allow_short_history: true}
"""
MINE = """\
users: {path: sim/users.parquet, id: user_id, vector: v}
items: {path: sim/items.parquet, id: item_id, vector: v}
"""


def flip(file: Path) -> None:
    """The last byte of every column, which no count or footer tells."""
    raw, group = bytearray(file.read_bytes()), pq.read_metadata(file).row_group(0)
    for column in map(group.column, range(group.num_columns)):
        start = column.dictionary_page_offset or column.data_page_offset
        raw[start + column.total_compressed_size - 1] ^= 1
    file.write_bytes(raw)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def remove(file: Path) -> None:
    file.unlink()


DAMAGES: list[Callable[[Path], None]] = [flip, cut, remove]
VERBS = {
    "preview": ("lists", ["preview", REQUEST, "-c", "feed.yaml"]),
    "preview --why": ("responses", ["preview", REQUEST, "-c", "feed.yaml", "--why"]),
    "triplet": ("pairwise", ["export-samples", "--as=triplet", "--data=feed", "--out=out"]),
    "easyrec": ("items", ["export-samples", "--as=easyrec", "--data=feed", "--out=out"]),
    "libsvm": (
        "lists",
        ["export-samples", "--as=libsvm", "--features=position", "--data=feed", "--out=out"],
    ),
    "mine": ("pointwise", ["mine-negatives", "-c", "mine.yaml", "--data=feed", "--out=out"]),
    "history": ("responses", ["build", "-c", "feed.yaml", "--dt", DAYS[1]]),
    "catalogue": ("items", ["build", "-c", "feed.yaml", "--dt", DAYS[1]]),
}


@pytest.fixture
def stored(place: Path) -> Path:
    """The first day, built with negatives; vectors for mining."""
    with Path("feed.yaml").open("a") as file:
        file.write(NEGATIVES)
    Path("mine.yaml").write_text(MINE)
    for name in ("users", "items"):
        table = pq.read_table(f"sim/{name}.parquet")
        vectors = pa.array([[1.0, 2.0]] * len(table), pa.list_(pa.float32()))
        pq.write_table(table.append_column("v", vectors), f"sim/{name}.parquet")
    run("build", "-c", "feed.yaml", "--dt", DAYS[0])
    return place


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_names_the_part_that_it_cannot_read(stored, verb, damage):
    table, arguments = VERBS[verb]
    (file,) = run("files", table, "--data", "feed").stdout.split()
    damage(Path(file))
    more = ["--table", "negatives"] if verb == "easyrec" else []
    more = ["--table", "pairwise"] if verb == "triplet" else more
    told = run(*arguments, *more, code=4).stderr
    assert "error[E0204]: a part of the data set is damaged or lost" in told
    assert file in told
    assert "rankdistill verify" in told
    assert not Path("out").exists()
    assert [v.number for v in DataSet.open("feed").versions()] == [1]


def test_a_lost_row_of_builds_is_told(stored):
    (row,) = Path("feed/builds").glob("*.parquet")
    row.unlink()
    assert "error[E0204]" in run("versions", "--data", "feed", code=4).stderr


@pytest.mark.spark
@pytest.mark.parametrize("table", ["items", "responses"])
def test_spark_names_an_earlier_day_s_part_too(stored, spark, table):
    (file,) = DataSet.open("feed").files(table)
    flip(Path(file))
    with pytest.raises(PlaceError, match="damaged or lost") as told:
        build(
            read_settings("feed.yaml", ["engine={kind: spark}"]), asked=Asked(frozenset({DAYS[1]}))
        )
    assert (told.value.code, file in told.value.message) == ("E0204", True)
