"""Parquet files that are damaged or lie: refused by name, never a crash, never other rows unseen.

Each batch is a process of its own (`mutated.py`, `crafted.py`), so that a reader that crashes is
seen as such.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankdistill.build import build
from rankdistill.errors import InputError
from rankdistill.log.checksums import verify
from rankdistill.store.dataset import DataSet
from tests.faults.crafted import CASES, PACKED, column, joined, parts
from tests.faults.mutated import RANKED, flipped, table, write
from tests.faults.thrift import decode, encode
from tests.log.door_kit import settings

HERE = Path(__file__).parent
PER_TRIAL = 50
SECONDS = 300
MAX_MB = 2000
# What these say is read by nobody; all else must be refused.
HARMLESS = {"unchanged, written anew", "pages behind the file"}
UNSEEN = HARMLESS | {"a column of bytes beyond the file"}  # without verify_checksums


def lines(script: str, *arguments: object) -> list[dict]:
    """What the script told; it ended well."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    ran = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment,
    )
    assert ran.returncode == 0, f"{ran.returncode}: {ran.stderr[-2000:]}"
    return [json.loads(line) for line in ran.stdout.splitlines()]


def mutated(tmp_path, trial, kind):
    """The lines of the mutated files, after the controls held."""
    first, *found, last, memory = lines("mutated.py", tmp_path, trial * PER_TRIAL, PER_TRIAL, kind)
    assert first["control"] == last["control"] == len(table()) and last["same"]
    assert memory["peak_mb"] < MAX_MB
    assert len(found) == PER_TRIAL
    for line in found:
        for code in line.get("codes", ()):
            assert code.startswith(("E03", "E01")), line
        assert "E0310" not in line.get("codes", ()) or "bad.parquet" in line["text"], line
    return found


@pytest.mark.fault("2", "bits flipped, page checksums verified", times=40)
def test_no_row_changes_unseen_in_files_with_checksums(tmp_path, trial, told):
    told.cases = PER_TRIAL
    found = mutated(tmp_path, trial, "checksums")
    read = [line for line in found if "codes" not in line]
    told.lost = sum(line["lost"] for line in read)
    told.duplicated = sum(line["duplicated"] for line in read)
    assert (told.lost, told.duplicated) == (0, 0)
    assert 0 < len(read) < PER_TRIAL  # neither is all refused, nor nothing


@pytest.mark.fault("2", "bits flipped, no checksums in the file (rows may change unseen)", times=10)
def test_files_without_checksums_are_refused_or_read_and_crash_nothing(tmp_path, trial, told):
    told.cases = PER_TRIAL
    found = mutated(tmp_path, trial, "none")
    # Counted, for nothing can tell: that is what verify_checksums calls unverifiable.
    told.lost = sum(line.get("lost", 0) for line in found)
    told.duplicated = sum(line.get("duplicated", 0) for line in found)


@pytest.mark.fault("3", "magic, sizes, counts and nesting that lie", times=1)
@pytest.mark.parametrize("kind", ["checksums", "none"])
def test_a_file_that_lies_about_itself_is_refused_by_name(tmp_path, kind, trial, told):
    told.cases = len(CASES)
    *found, memory = lines("crafted.py", tmp_path, kind)
    assert [line["case"] for line in found] == [*CASES]
    assert memory["peak_mb"] < MAX_MB
    for line in found:
        if line["case"] in (HARMLESS if kind == "checksums" else UNSEEN):
            assert (line["lost"], line["duplicated"], line["set_aside"]) == (0, 0, 0)
        else:
            assert line["codes"] == ["E0310"] and "bad.parquet" in line["text"], line


def two_files(tmp_path: Path) -> tuple[dict, Path]:
    """A log of a whole file and one with a page that is changed; the latter."""
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "good.parquet", True)
    bad = tmp_path / "in" / "bad.parquet"
    # Stored as it is, so that the change is a change of rows and not of what holds them.
    other = table().set_column(0, "r", pa.array([f"q{n % 15}" for n in range(300)]))
    plain = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(other, bad, **plain)
    raw = bytearray(bad.read_bytes())
    raw[raw.index(b"q7")] ^= 1
    bad.write_bytes(raw)
    return {"path": str(tmp_path / "in"), "columns": RANKED}, bad


def made(tmp_path: Path, log: dict, kind: str, **more):
    out = tmp_path / f"out-{kind}"
    built = build(settings({**log, **more}, out, engine={"kind": kind}, samples={"listwise": {}}))
    return built, {r for b in DataSet.open(out).read("lists") for r in b["request_id"].to_pylist()}


ENGINES = ["duckdb", pytest.param("spark", marks=pytest.mark.spark)]


@pytest.mark.fault("2", "a page changed: passed unseen, refused, set aside (both engines)", times=1)
@pytest.mark.parametrize("kind", ENGINES)
def test_a_changed_page_is_seen_by_its_checksum_alone(tmp_path, request, kind, trial, told):
    if kind == "spark":
        request.getfixturevalue("spark")
    log, bad = two_files(tmp_path)
    with pytest.raises(InputError, match="E0310") as fault:
        made(tmp_path, log, kind, verify_checksums=True)
    assert str(bad) in fault.value.message and not DataSet.open(tmp_path / f"out-{kind}").versions()
    built, found = made(tmp_path, log, kind, verify_checksums=True, on_corrupt="skip")
    assert found == {f"r{n}" for n in range(15)}
    assert any(str(bad) in line for line in built.warnings)
    again, _ = made(tmp_path, log, kind, verify_checksums=True, on_corrupt="skip")
    assert not again.is_new
    # The engine alone does not see it, which is what the option is for.
    assert "p7" in made(tmp_path / "unseen", log, kind)[1]


def test_files_without_checksums_are_told(tmp_path):
    write(tmp_path / "bare.parquet", False)
    log = {"path": str(tmp_path / "bare.parquet"), "columns": RANKED}
    built, _ = made(tmp_path, log, "duckdb", verify_checksums=True)
    assert any("unverifiable: 1 of 1 files" in w and "bare.parquet" in w for w in built.warnings)
    assert not made(tmp_path, log, "duckdb", verify_checksums=True)[0].is_new


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_every_layout_of_pages_is_walked_to_its_end(tmp_path, version, compression, dictionary):
    nested = pa.array([[{"a": n, "b": None}] * (n % 3) for n in range(3000)])
    source = table(3000).append_column("nested", nested)
    for has in (True, False):
        path = tmp_path / f"{has}.parquet"
        more = {"data_page_version": version, "compression": compression, "data_page_size": 500}
        more |= {"use_dictionary": dictionary, "write_page_checksum": has, "row_group_size": 999}
        pq.write_table(source, path, **more)
        assert verify(str(path)) is has


def test_a_checksum_of_dictionaries_alone_verifies_no_file(tmp_path):
    """As some writers leave them: no page is damaged, and rows cannot be verified."""
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"a": ["x", "y"] * 50}), path, write_page_checksum=True)
    body, footer = parts(path.read_bytes())
    dictionary, end = decode(body, 4)
    start = end + dictionary[3][1]
    page, after = decode(body, start)
    bare = encode({field: value for field, value in page.items() if field != 4})
    kind, size = column(footer)[PACKED]
    column(footer)[PACKED] = (kind, size - (after - start - len(bare)))
    assert verify(str(path))
    path.write_bytes(joined(body[:start] + bare + body[after:], footer))
    assert not verify(str(path))


def test_a_column_renamed_by_a_flipped_bit_is_seen(tmp_path):
    """No page checksum covers names, which stand in the footer; they stand there twice."""
    path = tmp_path / "log.parquet"
    raw = bytearray(write(path, True))
    footer = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    raw[raw.index(b"\x01s", footer) + 1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="E0310"):
        verify(str(path))


def test_an_option_of_parquet_is_refused_of_other_formats():
    with pytest.raises(Exception, match="verify_checksums needs format: parquet"):
        settings({"path": "x", "format": "csv", "verify_checksums": True})


def test_the_flips_are_the_same_every_time():
    data = bytes(1000)
    assert flipped(data, 5) == flipped(data, 5) != flipped(data, 6)
