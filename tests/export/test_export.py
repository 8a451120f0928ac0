"""What all exports share: the new folder, the manifest, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from export_kit import data_set, export, library, pairs

from rankdistill.errors import ConfigError, PlaceError
from rankdistill.export import folder as folders
from rankdistill.export.formats import FORMATS
from rankdistill.export.left_out import LEFT_OUT
from rankdistill.export.source import Source

DOCS = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
TWO_DAYS = pairs(1, 10, 1) + pairs(2, 11, 2, 3, dt="2026-11-02")
LISTED = {"request_id": 1, "item_id": [1, 2], "rank": [1, 2]}


@pytest.fixture
def data(tmp_path):
    tables = {"pairwise": TWO_DAYS, "listwise": [LISTED], "pointwise": []}
    return data_set(tmp_path / "data", tables)


def test_the_manifest_says_what_was_read_and_what_the_files_are(tmp_path, data):
    made = export(data, tmp_path / "out", "triplet", anchor="request")
    assert made == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert made["config_hash"] == "chosen"
    assert (made["format"], made["table"], made["build"]) == ("triplet", "pairwise", 1)
    assert made["days"] == ["2026-11-01", "2026-11-02"]
    assert made["options"] == {"--anchor": "request"}
    (file,) = made["files"]
    content = (tmp_path / "out" / "train.parquet").read_bytes()
    assert (file["name"], file["rows"], file["bytes"]) == ("train.parquet", 3, len(content))
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["columns"] == dict.fromkeys(("anchor", "positive", "negative"), "string")


def test_days_and_builds_can_be_chosen(tmp_path, data):
    made = export(data, tmp_path / "day", "triplet", dts=["2026-11-02"], build=1)
    assert (made["rows_read"], made["days"]) == (2, ["2026-11-02"])
    with pytest.raises(PlaceError, match="no dt 2026-12-01"):
        export(data, tmp_path / "out", "triplet", dts=["2026-12-01"])
    with pytest.raises(PlaceError, match="build 9"):
        export(data, tmp_path / "out", "triplet", build=9)
    assert not (tmp_path / "out").exists()


OPTIONS = {
    "n-tuple": {"num_negatives": 1},
    "n-tuple-scores": {"num_negatives": 1},
    "labeled-list": {"table": "listwise"},
    "libsvm": {"features": ("rank",)},
    "lightgbm": {"features": ("rank",)},
    "tfrecord": {"table": "pairwise"},
}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_export_has_the_same_bytes_and_leaves_nothing_else(tmp_path, data, kind):
    if kind == "tfrecord":
        library("google_crc32c")
    made = [export(data, tmp_path / n, kind, **OPTIONS.get(kind, {})) for n in ("a", "b")]
    assert made[0] == made[1]
    names = {file["name"] for file in made[0]["files"]}
    assert set(os.listdir(tmp_path / "a")) == names | {"manifest.json"}
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "data"]
    read = made[0]["rows_read"]
    assert read == (1 if OPTIONS.get(kind, {}).get("table") == "listwise" else read)


def test_a_folder_that_holds_something_is_refused_and_untouched(tmp_path, data):
    (tmp_path / "out").mkdir()
    export(data, tmp_path / "out", "triplet")  # an empty one is fine
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    with pytest.raises(PlaceError, match="not empty") as told:
        export(data, tmp_path / "out", "triplet", anchor="request")
    assert told.value.code == "E0201"
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("place", ["data", "data/pairwise", "data/new", "file/below", ".", "link"])
def test_places_that_are_not_for_exports_are_refused(tmp_path, data, place):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PlaceError):
        export(data, tmp_path / place, "triplet")
    assert not list(tmp_path.glob("**/manifest.json"))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, PlaceError])
def test_an_export_that_fails_half_way_leaves_nothing(tmp_path, data, monkeypatch, error):
    write = folders.Folder.write_table

    def fail(self, name, rows):
        write(self, name, rows)
        raise error("E0204", "x") if error is PlaceError else error

    monkeypatch.setattr(folders.Folder, "write_table", fail)
    with pytest.raises(error):
        export(data, tmp_path / "out", "triplet")
    assert os.listdir(tmp_path) == ["data"]


@pytest.mark.parametrize("kind", ["easyrec", "libsvm"])
def test_a_fault_of_the_tables_is_told_as_it_is(tmp_path, kind):
    item = pa.schema([("age", pa.int64())])
    tables = {"pairwise": TWO_DAYS, "listwise": [LISTED], "lists": [LISTED | {"age": [1, 2]}]}
    data = data_set(tmp_path / "data", tables, item=item)
    table = "pairwise" if kind == "easyrec" else "lists"
    file = Path(data.files(table)[0])
    content = bytearray(file.read_bytes())
    content[10] ^= 255
    file.write_bytes(content)
    with pytest.raises(PlaceError, match="damaged or lost"):
        export(data, tmp_path / "out", kind)
    assert os.listdir(tmp_path) == ["data"]


def test_a_folder_that_fills_meanwhile_is_not_replaced(tmp_path, data):
    out = tmp_path / "out"

    def notify(event, **facts):
        out.mkdir(exist_ok=True)
        (out / "mine").touch()

    with pytest.raises(PlaceError, match="cannot be made"):
        export(data, out, "triplet", notify=notify)
    assert os.listdir(out) == ["mine"]


def test_progress_adds_up_to_what_was_announced(tmp_path, data):
    events = []
    export(data, tmp_path / "o", "triplet", notify=lambda event, **f: events.append((event, f)))
    assert events[0] == ("started", {"rows": 3})
    assert sum(facts["rows"] for event, facts in events[1:]) == 3


def test_a_format_that_is_unknown_is_told_with_the_nearest(tmp_path, data):
    with pytest.raises(ConfigError) as told:
        export(data, tmp_path / "out", "tripplet")
    assert told.value.found == "known are " + ", ".join(FORMATS)
    assert told.value.help == "--as triplet"


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("triplet", {"features": ("rank",)}, "no use for --features"),
        ("libsvm", {"anchor": "user"}, "no use for --anchor"),
        ("triplet", {"anchor": "session"}, '--anchor "session" is unknown'),
        ("triplet", {"table": "listwise"}, '--table "listwise" is unknown'),
        ("labeled-list", {}, "listwise or of pairwise"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, data, kind, options, words):
    with pytest.raises(ConfigError, match=words):
        export(data, tmp_path / "out", kind, **options)


def test_a_table_that_was_not_built_is_told(tmp_path):
    data = data_set(tmp_path / "data", {"pointwise": []})
    with pytest.raises(PlaceError, match="no table that triplet can be made of"):
        export(data, tmp_path / "out", "triplet")
    with pytest.raises(PlaceError, match="no table negatives"):
        export(data, tmp_path / "out", "triplet", table="negatives")


def test_batches_never_show(tmp_path, data, monkeypatch):
    rows = [r for i in range(9) for r in pairs(i, 10, 1, 2, 3) + pairs(i, 11, 4, 5)]
    data = data_set(tmp_path / "many", {"pairwise": rows})
    whole = export(data, tmp_path / "a", "labeled-list")
    read = Source.read

    def torn(self, table, columns, days=None):
        for batch in read(self, table, columns, days):
            yield from (batch.slice(i, 2) for i in range(0, batch.num_rows, 2))

    monkeypatch.setattr(Source, "read", torn)
    assert export(data, tmp_path / "b", "labeled-list") == whole
    assert whole["files"][0]["rows"] == 18


def test_every_format_option_and_reason_is_documented():
    known = {*FORMATS, *LEFT_OUT, *(t for form in FORMATS.values() for t in form.tables)}
    assert [name for name in sorted(known) if f"`{name}`" not in DOCS] == []


def test_a_source_counts_by_reasons_that_are_known(data):
    rows = pa.RecordBatch.from_pydict({"a": pa.array([1, 2])})
    with pytest.raises(AssertionError):
        Source(data, data.current(), ()).keep(rows, "whim", pa.array([True, False]))
