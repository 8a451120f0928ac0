"""README.md, croissant.json and openlineage.json beside a data set, as others read them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from cli_kit import run

import rankdistill.describing
from rankdistill.describing import contents_of
from rankdistill.quality import words
from rankdistill.quality.card.croissant import croissant
from rankdistill.quality.card.lineage import lineage
from rankdistill.quality.card.lineage import place as place_of
from rankdistill.quality.card.readme import readme, size_category
from rankdistill.quality.report.markdown import escaped
from rankdistill.store.dataset import DataSet

CARD = ("README.md", "croissant.json", "openlineage.json")
FEED = Path("feed")


def front() -> dict:
    start, text, _ = (FEED / "README.md").read_text().split("---\n", 2)
    assert start == ""
    return yaml.safe_load(text)


def loaded(name: str) -> dict:
    return json.loads((FEED / name).read_text())


def listed(table: str) -> list[str]:
    found = run("files", table, "--data", "feed").stdout.split()
    return [str(Path(path).relative_to(FEED.absolute())) for path in found]


def test_the_card_names_exactly_the_files_of_the_build_and_no_pattern(built):
    stray = FEED / Path(listed("pointwise")[0]).with_name("stray.parquet")
    stray.write_bytes(b"")
    run("build", "-c", "feed.yaml", "--dt", "2026-11-01", "--force")
    configs = {config["config_name"]: config for config in front()["configs"]}
    assert set(configs) >= {"lists", "pointwise", "pairwise", "listwise"}
    for table, config in configs.items():
        (split,) = config["data_files"]
        assert split == {"split": "train", "path": listed(table)}
        assert not re.search(r"[*?\[]", "".join(split["path"]))
    assert configs["pointwise"]["default"]


def test_hugging_face_reads_every_config(built, tmp_path):
    datasets = pytest.importorskip("datasets")
    for config in front()["configs"]:
        name = config["config_name"]
        rows = datasets.load_dataset(
            str(FEED.absolute()), name, split="train", cache_dir=str(tmp_path / "cache")
        )
        assert rows.num_rows == sum(pq.read_metadata(FEED / path).num_rows for path in listed(name))


def test_the_card_says_the_verdict_the_tables_how_they_were_made_and_the_measures(built):
    text = (FEED / "README.md").read_text()
    metrics = loaded("metrics.json")
    assert f"**{escaped(words.sentence(metrics), 1_000)}**" in text
    for told in ("## Tables", "| student | recall |", "## Columns", "Q07"):
        assert told in text
    for name in ("pointwise", "listwise"):
        assert f"| `{name}` |" in text
        assert f"| rows of {name} | {metrics['counts'][f'{name}.rows']:,} |" in text
    assert "inclusion probability of the row" in text
    assert metrics["facts"]["provenance"]["config_hash"] in text


def test_a_card_is_made_without_measures_too(place):
    run("build", "-c", "feed.yaml", "--set", "quality.measure=false")
    text = (FEED / "README.md").read_text()
    assert "Nothing of this build was measured" in text
    assert "## Measures" not in text
    assert {config["config_name"] for config in front()["configs"]} >= {"lists", "pairwise"}
    assert loaded("openlineage.json")["run"]["facets"]["rankdistill_build"]["verdict"] is None


def test_croissant_has_every_file_with_its_digest_and_a_field_per_column(built):
    found = loaded("croissant.json")
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    objects = {d["@id"]: d for d in found["distribution"] if d["@type"] == "cr:FileObject"}
    sets = {d["@id"]: d["includes"] for d in found["distribution"] if d["@type"] == "cr:FileSet"}
    assert sorted(objects) == sorted(path for paths in sets.values() for path in paths)
    for path, told in objects.items():
        content = (FEED / path).read_bytes()
        assert told["sha256"] == hashlib.sha256(content).hexdigest()
        assert told["contentSize"] == f"{len(content)} B"
        assert told["contentUrl"] == path
    for records in found["recordSet"]:
        table = records["@id"]
        schema = DataSet.open("feed").schema(table)
        assert [field["name"] for field in records["field"]] == schema.names
        for field in records["field"]:
            assert field["source"]["fileSet"]["@id"] in sets
            is_list = str(schema.field(field["name"]).type).startswith("list")
            assert field.get("repeated", False) == is_list
            assert field["dataType"].startswith("sc:")
    (dt,) = (f for f in found["recordSet"][0]["field"] if f["name"] == "dt")
    (day,) = re.match(dt["source"]["transform"]["regex"], next(iter(objects))).groups()
    assert day == "2026-11-01"


def test_openlineage_tells_what_this_run_read_and_wrote(built):
    run("build", "-c", "feed.yaml", "--dt", "2026-11-02", "--force")
    event = loaded("openlineage.json")
    assert (event["eventType"], event["job"]["name"]) == ("COMPLETE", "build feed")
    assert event["schemaURL"].endswith("2-0-2/OpenLineage.json#/$defs/RunEvent")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event["run"]["runId"])
    logs = sorted(map(str, Path("sim/log").absolute().rglob("dt=2026-11-02/*.parquet")))
    assert event["inputs"] == [{"namespace": "file", "name": path} for path in logs]
    data_set = DataSet.open("feed")
    for output in event["outputs"]:
        table = Path(output["name"]).name
        parts = data_set.parts(table, dt="2026-11-02")
        facets, size = output["facets"], output["outputFacets"]["outputStatistics"]
        assert size["rowCount"] == sum(part.num_rows for part in parts)
        assert size["size"] == sum(part.num_bytes for part in parts)
        assert [f["name"] for f in facets["schema"]["fields"]] == data_set.schema(table).names
        for facet in facets.values():
            assert facet["_producer"] == event["producer"]
            assert "#/$defs/" in facet["_schemaURL"]
    (points,) = (o for o in event["outputs"] if o["name"].endswith("/pointwise"))
    rows = [row for b in data_set.read("pointwise", dt="2026-11-02") for row in b.to_pylist()]
    columns = points["facets"]["dataQualityMetrics"]["columnMetrics"]
    for name in ("weight", "rank", "probability", "label"):
        values = [row[name] for row in rows if row[name] is not None]
        nulls = len(rows) - len(values)
        assert columns[name] == {"nullCount": nulls, "min": min(values), "max": max(values)}
    assert columns["item_id"] == {"nullCount": 0}  # no id is told


def test_a_rollback_describes_the_build_it_made_current_again(built):
    first = {name: (FEED / name).read_text() for name in CARD}
    run("build", "-c", "feed.yaml", "--force", "--set", "samples.pointwise.top_k=2")
    run("rollback", "1", "--data", "feed")
    assert front()["configs"] == yaml.safe_load(first["README.md"].split("---\n")[1])["configs"]
    event = loaded("openlineage.json")
    assert (event["job"]["name"], event["inputs"]) == ("rollback feed", [])
    before = {o["name"]: o["outputFacets"] for o in json.loads(first[CARD[2]])["outputs"]}
    assert {o["name"]: o["outputFacets"] for o in event["outputs"]} == before


@pytest.mark.parametrize("name", CARD)
@pytest.mark.parametrize("text", ["# mine\n", '{"name": "mine", "producer": "other"}', ""])
def test_a_file_of_somebody_else_stays_as_it_is_and_is_told(built, name, text):
    (FEED / name).write_text(text)
    others = {other: (FEED / other).read_text() for other in CARD if other != name}
    shown = run("build", "-c", "feed.yaml", "--force").stderr
    assert shown.count("stays as it is") == 1
    assert f"warning: {name} is not one that rankdistill wrote" in shown
    assert (FEED / name).read_text() == text
    assert all((FEED / other).read_text() != old for other, old in others.items())


def test_a_link_as_readme_is_not_followed(built):
    Path("elsewhere").write_text((FEED / "README.md").read_text())
    (FEED / "README.md").unlink()
    (FEED / "README.md").symlink_to(Path("elsewhere").absolute())
    before = Path("elsewhere").read_text()
    run("build", "-c", "feed.yaml", "--force")
    assert Path("elsewhere").read_text() == before
    assert not (FEED / "README.md").is_symlink()


@pytest.mark.parametrize("name", CARD)
def test_a_build_lives_though_its_card_cannot_be_written(built, name):
    (FEED / name).unlink()
    (FEED / name).mkdir()
    shown = run("build", "-c", "feed.yaml", "--force")
    assert shown.stdout.startswith("build 2 of feed\n")
    assert f"warning: {name} is not written" in shown.stderr
    assert all((FEED / other).is_file() for other in CARD if other != name)


def test_a_fault_of_ours_in_the_card_fails_no_build_and_leaves_no_old_card(built, monkeypatch):
    def fails(*_: object) -> str:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(rankdistill.describing, "contents_of", fails)
    shown = run("build", "-c", "feed.yaml", "--force")
    assert shown.stderr.count("ZeroDivisionError: of ours") == 3
    assert not any((FEED / name).exists() for name in CARD)


def test_the_card_is_no_stray_and_gc_leaves_it(built):
    report = DataSet.open("feed").verify()
    assert (report.faults, report.strays) == ((), ())
    run("gc", "--data", "feed")
    assert all((FEED / name).is_file() for name in CARD)
    assert "up to date" in run("build", "-c", "feed.yaml").stdout


def test_names_from_log_and_config_do_nothing_in_the_card(built):
    bad = "<script>alert(1)</script>[x](javascript:alert(1))|`@me ---"
    data_set = DataSet.open("feed")
    build = data_set.current()
    assert build is not None
    document = loaded("metrics.json")
    document["facts"]["student"] = document["measures"][0]["what"] = bad
    document["facts"]["kinds"]["negatives"] = {"mix": {bad: 1}}
    contents = contents_of(data_set, build, document)
    contents = type(contents)(**{**vars(contents), "name": f"{bad}\n---\nx: 1", "days": (bad,)})
    text = readme(contents)
    own, body = yaml.safe_load(text.split("\n---\n", 1)[0]), text.split("\n---\n", 1)[1]
    assert own["license"] == "unknown"
    assert not re.search(r"<script|\]\(|(?<!\\)@me|^---$", body, re.MULTILINE)
    assert json.loads(croissant(contents))["name"].isprintable()
    assert json.loads(lineage(contents))["job"]["name"].isprintable()


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        ("/data/log.parquet", "file", "/data/log.parquet"),
        ("file:///data/log.parquet", "file", "/data/log.parquet"),
        ("s3://bucket/a/b.parquet", "s3://bucket", "a/b.parquet"),
        ("s3://key:secret@bucket/a?sig=secret#secret", "s3://bucket", "a"),
        ("https://me:secret@host:8443/a?token=secret", "https://host:8443", "a"),
    ],
)
def test_an_input_is_named_without_secrets(path, namespace, name):
    assert place_of(path) == {"namespace": namespace, "name": name}


@pytest.mark.parametrize(
    ("num_rows", "told"),
    [(0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**12, "n>1T")],
)
def test_sizes_are_told_in_hugging_face_s_words(num_rows, told):
    assert size_category(num_rows) == told
