"""What Spark cannot read is refused by name, as every engine refuses it."""

import engine_kit as kit
import pytest

from rankdistill.engines.spark import Spark
from rankdistill.engines.spark_options import SparkOptions
from rankdistill.errors import ConfigError, InputError
from rankdistill.prepare import prepare

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]


@pytest.mark.fault("1", "pages zeroed behind a good footer, on Spark", times=1)
def test_a_file_damaged_in_its_middle_is_named(tmp_path, trial, told):
    log = kit.in_parquet(tmp_path, kit.odd_rows())
    path = tmp_path / "in" / "0.parquet"
    data = bytearray(path.read_bytes())
    data[100:2000] = bytes(1900)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"E0310.*0\.parquet"):
        kit.built(log, tmp_path / "spark", "spark")


def test_a_ragged_csv_is_refused_with_its_name(tmp_path):
    (tmp_path / "log.csv").write_text("request_id,item_id,rank\n1,1,1\n1,2\n")
    log = {"path": str(tmp_path / "log.csv"), "format": "csv"}
    with pytest.raises(InputError, match=r"E0310.*log\.csv"):
        kit.built(log, tmp_path / "spark", "spark")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.jsonl", '{"request_id": 1, "item_id": "a", "rank": 1}\n' * 10_001 + '{"item_id": 5}'),
        ("log.jsonl", '{"request_id": 1, "item_id": "a", "rank": 1}\n' * 10_001 + '{"item_'),
        ("log.run", "1 Q0 d1 1 0.5 tag\n1 Q0 d2\n"),
    ],
)
@pytest.mark.parametrize("kind", ["duckdb", "spark"])
def test_a_line_of_another_kind_is_refused_with_its_file(tmp_path, name, text, kind):
    (tmp_path / name).write_text(text)
    log = {"path": str(tmp_path / name), "format": "jsonl"}
    if name == "log.run":
        log = {"path": str(tmp_path / name), "preset": "trec_run"}
    with pytest.raises(InputError, match="E0310") as caught:
        kit.built(log, tmp_path / kind, kind)
    assert str(tmp_path / name) in f"{caught.value.message} {caught.value.found}"


def test_text_that_is_no_utf8_is_refused(tmp_path):
    rows = b"request_id,item_id,rank\n" + b"1,1,1\n" * 20_000  # beyond what is looked into
    (tmp_path / "log.csv").write_bytes(rows + b"1,\xff,1\n")
    log = {"path": str(tmp_path / "log.csv"), "format": "csv"}
    with pytest.raises(InputError, match=r"E0310.*log\.csv"):
        kit.built(log, tmp_path / "spark", "spark")


def test_an_error_of_a_worker_arrives_as_it_was_raised(tmp_path):
    engine = Spark(SparkOptions())
    query = prepare(
        kit.settings(kit.in_parquet(tmp_path, kit.odd_rows(50)), tmp_path), engine
    ).query

    def work(batches, task):
        next(batches)
        raise ConfigError("E0105", "no such thing", found="this", help="that")
        yield

    with pytest.raises(ConfigError) as caught:
        list(engine.run(query, work, lambda rows: None))
    error = caught.value
    assert (error.code, error.message, error.found, error.help) == (
        "E0105",
        "no such thing",
        "this",
        "that",
    )


def test_hidden_files_are_refused_and_not_overlooked(tmp_path):
    log = kit.in_parquet(tmp_path, kit.odd_rows(50))
    (tmp_path / "in" / "0.parquet").rename(tmp_path / "in" / "_0.parquet")
    log["path"] = str(tmp_path / "in" / "_0.parquet")
    with pytest.raises(ConfigError, match="E0105"):
        kit.built(log, tmp_path / "spark", "spark")
