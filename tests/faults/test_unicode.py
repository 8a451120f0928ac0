"""Ids and values of any script come out with the bytes they went in with; what is no text is
refused."""

from __future__ import annotations

import csv
import json
import random
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from rankdistill.build import build
from rankdistill.document import read_document
from rankdistill.errors import InputError, UserErrors
from rankdistill.settings import Settings, settings_of
from rankdistill.store.dataset import DataSet
from rankdistill.validate import validate

ODD = (
    *("caf\u00e9", "cafe\u0301", "\u212b", "\u00c5", "A\u030a", "\ufb01", "\u0130", "\u00df"),
    *("\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea"),
    *("\u05e9\u05dc\u05d5\u05dd", "\u200fa", "\u202eabc\u202c", "\u0645\u0631\u062d\u0628\u0627"),
    *("a", "a\u200b", "\u200ba", "a\u00ad", "\ufeffa", "a\ufeff", "\u3000a", "\u00a0", "\u200b"),
    *("\u0301", "\U0010ffff", "\ufffd", "\ufffe", "\u2028", "\u0085", "\x7f", "\x1b[31m", "'\"\\"),
)
NUL = ("a\0", "a\0b", "a\0c", "\0")
WITHIN = {"parquet": ODD + NUL, "feather": ODD + NUL, "jsonl": ODD + NUL, "csv": ODD}
COLUMNS = {"request": ["sc\u00e8ne"], "item": ["\u0442\u0435\u0433"], "feedback": ["click"]}


def drawn(trial: int, values: tuple[str, ...], most: int = 8) -> list[dict[str, Any]]:
    """Rows whose ids and values are the odd ones and concatenations of them."""
    draw = random.Random(trial)
    values = (*values, *("".join(draw.choices(values, k=3)) for _ in range(10)))
    rows = []
    for request in values:
        user, scene = draw.choice(values), draw.choice(values)
        for rank, item in enumerate(draw.sample(values, most), 1):
            row = {"request_id": request, "user_id": user, "sc\u00e8ne": scene, "item_id": item}
            tag = draw.choice(values)
            rows.append({**row, "\u0442\u0435\u0433": tag, "rank": rank, "click": rank % 2})
    return rows


def put(rows: list[dict[str, Any]], path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".feather":
        feather.write_feather(pa.Table.from_pylist(rows), str(path))
    elif path.suffix == ".jsonl":
        lines = (json.dumps(row, ensure_ascii=len(row["item_id"]) % 2 == 0) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
    return path


def settings(path: Path, out: Path, kind: str = "duckdb") -> Settings:
    log = {"path": str(path), "format": path.suffix[1:], "columns": COLUMNS}
    config = {"output": str(out), "engine": {"kind": kind}, "log": log}
    config |= {"samples": {"pairwise": {}}, "quality": {"fail_on": "never"}}
    return settings_of(read_document(json.dumps(config), "test.yaml"))


def there(out: Path) -> list[tuple[Any, ...]]:
    """The candidates of a data set as (request, user, scene, item, tag, rank)."""
    return [
        (row["request_id"], row["user_id"], row["sc\u00e8ne"], item, tag, rank)
        for batch in DataSet.open(out).read("lists")
        for row in batch.to_pylist()
        for item, tag, rank in zip(
            row["item_id"], row["\u0442\u0435\u0433"], row["rank"], strict=True
        )
    ]


def as_written(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("request_id", "user_id", "sc\u00e8ne", "item_id", "\u0442\u0435\u0433", "rank")
    return [tuple(row[name] for name in names) for row in rows]


@pytest.mark.parametrize("kind", sorted(WITHIN))
@pytest.mark.fault("9", "ids and values of any script, as four formats hold them", times=8)
def test_every_id_and_value_keeps_its_bytes(tmp_path, kind, trial, told):
    rows = drawn(trial, WITHIN[kind])
    made = build(settings(put(rows, tmp_path / f"log.{kind}"), tmp_path / "out"))
    told.compare(as_written(rows), there(tmp_path / "out"))
    assert not any(n for name, n in made.door.items() if name.startswith("rejected"))


@pytest.mark.spark
@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
@pytest.mark.fault("9", "the same on Spark, with the same content hashes", times=2)
def test_every_id_and_value_keeps_its_bytes_on_spark(tmp_path, spark, kind, trial, told):
    rows = drawn(trial, WITHIN[kind])
    path = put(rows, tmp_path / f"log.{kind}")
    hashes = []
    for engine in ("spark", "duckdb"):
        build(settings(path, tmp_path / engine, engine))
        data = DataSet.open(tmp_path / engine)
        hashes.append({table: str(data.content_hash(table)) for table in ("lists", "pairwise")})
    told.compare(as_written(rows), there(tmp_path / "spark"))
    assert hashes[0] == hashes[1]


@pytest.mark.fault("9", "ids that differ by normalisation alone: two ids, told", times=1)
def test_ids_of_another_normal_form_are_other_ids_and_counted(tmp_path, trial, told):
    rows = drawn(trial, ODD)
    others = sum(unicodedata.normalize("NFC", row["item_id"]) != row["item_id"] for row in rows)
    asked = settings(put(rows, tmp_path / "log.parquet"), tmp_path / "out")
    hints = [hint for hint in validate(asked).hints if "NFC" in hint]
    assert others and [hint.split()[0] for hint in hints] == [f"{others:,}"]
    plain = put(drawn(trial, ("a", "caf\u00e9", "\u05d0"), most=3), tmp_path / "plain.parquet")
    assert not [h for h in validate(settings(plain, tmp_path / "out")).hints if "NFC" in h]


WRONG = {
    "a byte alone": b"\xff",
    "a surrogate": b"\xed\xa0\x80",
    "overlong": b"\xc0\xaf",
    "cut off": b"\xf0\x9f\x98",
    "Latin-1": b"caf\xe9",
    "beyond Unicode": b"\xf4\x90\x80\x80",
}


def put_wrong(path: Path, name: str, wrong: bytes) -> Path:
    """A log in which `name` of one row amid others is no UTF-8."""
    rows = drawn(0, ("a", "b"), most=2)
    put(rows, path)
    if path.suffix == ".csv":
        plain = path.read_bytes()
        path.write_bytes(plain + plain.splitlines(keepends=True)[1].replace(b'"a', b'"' + wrong))
    else:
        table = pq.read_table(path)
        values = [value.encode() for value in table[name].to_pylist()]
        values[1] = wrong
        column = pa.array(values, pa.binary()).view(pa.string())
        pq.write_table(table.set_column(table.column_names.index(name), name, column), path)
    return path


def refused(path: Path, out: Path, engine: str = "duckdb") -> str:
    """The code that a build of such a log is refused with; told is the file, or who names it."""
    with pytest.raises((InputError, UserErrors)) as caught:
        build(settings(path, out, engine))
    faults = caught.value.errors if isinstance(caught.value, UserErrors) else [caught.value]
    (fault,) = faults
    told = f"{fault.message} {fault.found}" if engine == "duckdb" else fault.help
    assert (path.name if engine == "duckdb" else "validate --engine duckdb names it") in told
    return fault.code


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("spark", marks=pytest.mark.spark)])
@pytest.mark.parametrize("name", ["item_id", "\u0442\u0435\u0433"])
@pytest.mark.fault("9", "bytes that are no UTF-8, in Parquet: refused", times=len(WRONG))
def test_bytes_that_are_no_utf8_are_refused(tmp_path, request, engine, name, trial, told):
    if engine == "spark":
        request.getfixturevalue("spark")
    wrong = list(WRONG.values())[trial]
    path = put_wrong(tmp_path / "log.parquet", name, wrong)
    assert refused(path, tmp_path / "out", engine) == "E0310"
    assert DataSet.open(tmp_path / "out").current() is None
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.fault("9", "bytes that are no UTF-8, in CSV: refused with the file's name", times=6)
def test_bytes_that_are_no_utf8_in_text_are_refused(tmp_path, trial, told):
    path = put_wrong(tmp_path / "log.csv", "item_id", list(WRONG.values())[trial])
    assert refused(path, tmp_path / "out") == "E0310"
    assert not (tmp_path / "out").exists()
