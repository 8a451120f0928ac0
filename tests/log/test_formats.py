"""Every format that DuckDB reads, and what is said of files that cannot be read."""

import gzip
import json

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from rankdistill.errors import InputError
from rankdistill.log.listing import list_files
from rankdistill.log.source import TableSource
from tests.log.door_kit import read_log, refused

KEYS = {"request_id": "r", "item_id": "i", "rank": "k"}
TABLE = pa.table({"r": ["a", "a", "b"], "i": ["x", "y", "x"], "k": [2, 1, 1]})
ITEMS = {"a": ["y", "x"], "b": ["x"]}


def items(log, **more):
    requests, _ = read_log({"columns": KEYS, **log}, **more)
    return {key: [item["item_id"] for item in row["items"]] for key, row in requests.items()}


def parquet(path, source=TABLE):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(source, path)
    return str(path)


def test_a_file_a_folder_a_glob_and_a_list_of_files(tmp_path):
    one = parquet(tmp_path / "in" / "1.parquet", TABLE.slice(0, 1))
    two = parquet(tmp_path / "in" / "deep" / "2.parquet", TABLE.slice(1))
    (tmp_path / "in" / "_SUCCESS").touch()
    assert items({"path": parquet(tmp_path / "all.parquet")}) == ITEMS
    for path in (str(tmp_path / "in"), str(tmp_path / "in" / "**" / "*.parquet"), [one, two]):
        assert items({"path": path}) == ITEMS


ODD_VALUES = {
    "007": "007",
    "a%2Fb": "a/b",
    "..": "..",
    "x=y": "x=y",
    "%252F": "%2F",
    "q?z": "q?z",
    "a*b": "a*b",
    "a b[1]": "a b[1]",
    "o'k": "o'k",
    "\U0001f600": "\U0001f600",
    "__HIVE_DEFAULT_PARTITION__": None,
}


@pytest.mark.fault("18", "partition values that are odd", times=1)
def test_partition_values_stay_the_text_that_they_are(tmp_path, trial, told):
    told.cases = len(ODD_VALUES)
    for number, folder in enumerate(ODD_VALUES):
        source = pa.table({"r": [f"r{number}"], "i": ["x"], "k": [1]})
        parquet(tmp_path / "in" / f"dt={folder}" / "f.parquet", source)
    requests, counts = read_log({"path": str(tmp_path / "in"), "columns": KEYS})
    found = {row["dt"] for row in requests.values()}
    assert found == set(ODD_VALUES.values()) - {None}
    assert counts["rejected.dt_missing"] == 1


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_with_header_or_names_zipped_or_not(tmp_path, delimiter):
    lines = [["r", "i", "k"], ["a", "x", "2"], ["a", '"y"', "1"], ["b", "x", "1"]]
    text = ["\n".join(delimiter.join(line) for line in part) + "\n" for part in (lines, lines[1:])]
    (tmp_path / "log.csv").write_text(text[0], encoding="utf-8-sig")
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(text[1].encode()))
    log = {"format": "csv", "delimiter": delimiter}
    assert items({**log, "path": str(tmp_path / "log.csv")}) == ITEMS
    more = {"header": False, "names": ["r", "i", "k"]}
    assert items({**log, **more, "path": str(tmp_path / "log.csv.gz")}) == ITEMS
    if delimiter == "\t":
        assert items({"format": "tsv", "path": str(tmp_path / "log.csv")}) == ITEMS


def test_csv_quotes_empty_fields_and_the_unnamed_column(tmp_path):
    (tmp_path / "log.csv").write_text(',i,k\n1,"say ""hi"", you",1\n007,"two\nlines",\n,z,1\n')
    columns = {
        "request_id": {"name": ""},
        "item_id": "i",
        "rank": "k",
        "teacher_score": {"constant": 1.0},
    }
    log = {"format": "csv", "path": str(tmp_path / "log.csv"), "columns": columns}
    requests, counts = read_log(log)
    assert {k: v["items"][0]["item_id"] for k, v in requests.items()} == {
        "1": 'say "hi", you',
        "007": "two\nlines",
    }
    assert counts["rejected.request_id_missing"] == 1


@pytest.mark.parametrize("bad", ["a,x\n", "a,x,1,2\n", "a,\xff,1\n"])
def test_a_broken_csv_line_is_an_error_that_names_the_file(tmp_path, bad):
    (tmp_path / "log.csv").write_bytes(b"r,i,k\nb,x,1\n" + bad.encode("latin-1"))
    (error,) = refused({"format": "csv", "path": str(tmp_path / "log.csv"), "columns": KEYS})
    assert error.code == "E0310" and "log.csv" in error.message


def test_csv_files_whose_columns_stand_in_another_order_are_refused(tmp_path):
    (tmp_path / "1.csv").write_text("r,i,k\na,x,1\n")
    (tmp_path / "2.csv").write_text("i,r,k\na,x,1\n")
    (error,) = refused({"format": "csv", "path": str(tmp_path), "columns": KEYS})
    assert error.code == "E0307" and "1.csv" in error.found and "2.csv" in error.found


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {"format": "jsonl", "path": str(path), "columns": KEYS}


def test_json_lines_keep_the_types_they_are_written_in(tmp_path):
    rows = [
        {"r": 1, "i": "1", "k": 1},
        {"r": 1, "i": "01", "k": 2},
        {"k": 3, "i": "é\U0001f600", "r": 1},
    ]
    assert items(jsonl(tmp_path / "log.jsonl", rows)) == {1: ["1", "01", "é\U0001f600"]}


def test_json_lines_of_lists_of_structs_with_keys_left_out(tmp_path):
    rows = [
        {"r": "a", "c": [{"i": 1, "s": {"t": 2}}, {"i": 2, "s": {"t": 3.5}}]},
        {"r": "b", "c": [{"i": 3, "s": None}], "extra": [1]},
    ]
    log = jsonl(tmp_path / "log.jsonl", rows)
    log["columns"] = {"request_id": "r", "item_id": "c.i", "teacher_score": "c.s.t"}
    log |= {"layout": "lists", "stage": {"from": "constant", "stage": "preranked"}}
    requests, _ = read_log(log)
    found = {
        k: [(c["item_id"], c["teacher_score"]) for c in v["items"]] for k, v in requests.items()
    }
    assert found == {"a": [(2, 3.5), (1, 2.0)], "b": [(3, None)]}


@pytest.mark.parametrize("late", [{"r": 1}, {"k": "12"}, {"k": 1.5}, {"k": True}, {"c": ["2"]}])
def test_a_late_json_line_of_another_type_is_an_error_and_never_cast(tmp_path, late):
    row = {"r": "a", "i": "x", "k": 1, "c": [1]}
    log = jsonl(tmp_path / "log.jsonl", [row] * 10_000 + [{**row, **late}])
    log["columns"] = {**KEYS, "recall_channel": "c"}
    (error,) = refused(log)
    assert error.code == "E0310" and "log.jsonl" in error.message
    assert f'column "{next(iter(late))}"' in error.found


def test_json_files_may_lack_columns_that_others_have(tmp_path):
    jsonl(tmp_path / "1.jsonl", [{"r": "a", "i": "x", "k": 2}])
    jsonl(tmp_path / "2.jsonl", [{"r": "a", "i": "y", "k": 1, "s": 0.5}])
    columns = {**KEYS, "prerank_score": "s"}
    assert items({"format": "jsonl", "path": str(tmp_path), "columns": columns}) == {
        "a": ["y", "x"]
    }


@pytest.mark.parametrize("text", ['{"r": 1\n', "[1]\n", "", '{"r": 1}\n{"r": "1"}\n'])
def test_json_lines_that_cannot_be_read(tmp_path, text):
    (tmp_path / "log.jsonl").write_text(text)
    (error,) = refused({"format": "jsonl", "path": str(tmp_path / "log.jsonl"), "columns": KEYS})
    assert error.code in ("E0310", "E0304") and "log.jsonl" in error.message


@pytest.mark.parametrize("compression", ["uncompressed", "lz4"])
def test_feather_with_partition_folders(tmp_path, compression):
    for day, part in (("1", TABLE.slice(0, 2)), ("2", TABLE.slice(2))):
        folder = tmp_path / "in" / f"day={day}"
        folder.mkdir(parents=True)
        part = part.append_column("unused", pa.array([[1]] * len(part)))
        pyarrow.feather.write_feather(part, folder / "f.feather", compression)
    log = {"format": "feather", "path": str(tmp_path / "in"), "columns": KEYS}
    requests, _ = read_log({**log, "where": [{"column": "k", "op": ">", "value": 1}]})
    assert {k: (row["dt"], len(row["items"])) for k, row in requests.items()} == {"a": ("1", 1)}
    assert {row["dt"] for row in read_log(log)[0].values()} == {"1", "2"}


def test_a_trec_run_with_runs_of_blanks_and_a_partition(tmp_path):
    folder = tmp_path / "dt=1"
    folder.mkdir()
    (folder / "a.run").write_text("q1  Q0\td1 1 2.5 t\n\n q1 Q0 d2   2 1.5 t \r\n")
    requests, _ = read_log({"preset": "trec_run", "path": str(tmp_path)})
    assert [c["teacher_score"] for c in requests["q1"]["items"]] == [2.5, 1.5]
    assert (requests["q1"]["user_id"], requests["q1"]["dt"]) == ("q1", "1")


def test_a_trec_line_with_a_field_too_few_is_an_error(tmp_path):
    (tmp_path / "a.run").write_text("q1 Q0 d1 1 2.5 t\nq1 Q0 d2 2 1.5\n")
    (error,) = refused({"preset": "trec_run", "path": str(tmp_path / "a.run")})
    assert error.code == "E0310" and "a.run" in error.message and "5 fields" in error.found


@pytest.mark.fault("1", "a Parquet file cut off at any 64th of its length", times=64, quick=10)
def test_a_truncated_parquet_file_is_named(tmp_path, trial, told):
    kept = trial * 7 % 64  # each of them once, 0 bytes first
    good, bad = parquet(tmp_path / "1.parquet"), parquet(tmp_path / "2.parquet")
    data = (tmp_path / "2.parquet").read_bytes()
    (tmp_path / "2.parquet").write_bytes(data[: len(data) * kept // 64])
    (error,) = refused({"path": str(tmp_path), "columns": KEYS})
    assert error.code == "E0310" and bad in error.message and good not in error.message
    assert items({"path": str(tmp_path), "on_corrupt": "skip"}) == ITEMS


@pytest.mark.fault("1", "a damaged footer mark; a file that is no Parquet", times=1)
def test_a_footer_that_is_damaged_and_a_file_of_another_kind(tmp_path, trial, told):
    told.cases = 2
    data = (tmp_path / "1.parquet", tmp_path / "2.parquet")
    parquet(data[0])
    data[0].write_bytes(data[0].read_bytes()[:-1] + b"2")
    data[1].write_text("r,i\n")
    assert [e.code for e in refused({"path": str(tmp_path), "columns": KEYS})] == ["E0310"] * 2


@pytest.mark.fault("1", "pages zeroed behind a good footer", times=1)
def test_pages_damaged_behind_a_good_footer_are_an_error_that_names_the_file(tmp_path, trial, told):
    source = pa.table(
        {"r": [f"r{i}" for i in range(9000)], "i": list(range(9000)), "k": [1] * 9000}
    )
    parquet(tmp_path / "1.parquet", source)
    parquet(tmp_path / "2.parquet", source)
    data = bytearray((tmp_path / "2.parquet").read_bytes())
    data[len(data) // 4 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 4)
    (tmp_path / "2.parquet").write_bytes(data)
    (error,) = refused({"path": str(tmp_path), "columns": KEYS})
    assert error.code == "E0310" and "2.parquet" in error.message


def test_a_file_that_vanishes_after_it_was_listed(tmp_path, monkeypatch):
    from rankdistill.engines import duckdb as engine

    path, listed = parquet(tmp_path / "1.parquet"), engine.open_files

    def open_and_lose(options):
        found = listed(options)
        (tmp_path / "1.parquet").unlink()
        return found

    monkeypatch.setattr(engine, "open_files", open_and_lose)
    (error,) = refused({"path": path, "columns": KEYS})
    assert error.code == "E0310" and path in error.message


def test_no_file_says_what_is_there(tmp_path):
    parquet(tmp_path / "in" / "log.pq")
    (error,) = refused({"path": str(tmp_path / "in" / "*.parquet"), "columns": KEYS})
    assert error.code == "E0311" and "log.pq" in error.found


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (TABLE.rename_columns(["r", "i", "rank"]), "E0307"),
        (TABLE.append_column("more", pa.array([1, 2, 3])), "E0307"),
        (TABLE.set_column(2, "k", pa.array(["1", "2", "3"])), "E0307"),
        (TABLE.append_column("R", pa.array([1, 2, 3])), "E0306"),
    ],
)
def test_files_of_differing_shapes_are_refused_by_name(tmp_path, other, code):
    parquet(tmp_path / "1.parquet", other if code == "E0306" else TABLE)
    parquet(tmp_path / "2.parquet", other)
    (error,) = refused({"path": str(tmp_path), "columns": KEYS, "on_corrupt": "skip"})
    assert error.code == code and "1.parquet" in error.found
    assert code == "E0306" or "2.parquet" in error.found


def test_integers_may_be_wider_in_some_files(tmp_path):
    parquet(tmp_path / "1.parquet", TABLE.set_column(2, "k", pa.array([2, 1, 1], pa.int16())))
    parquet(tmp_path / "2.parquet", pa.table({"r": ["c"], "i": ["x"], "k": [2**31]}))
    requests, counts = read_log({"path": str(tmp_path), "columns": KEYS})
    assert set(requests) == {"a", "b"} and counts["rejected.value_unreadable"] == 1


def test_an_address_is_told_to_be_no_file_of_this_machine():
    with pytest.raises(InputError, match="E0311") as fault:
        list_files(TableSource(path="s3://bucket/log.parquet"))
    assert "--engine spark" in fault.value.help and fault.value.found is None
