"""What the documents say is so: verbs and options exist, every config key is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main
from pydantic import BaseModel

from rankdistill import cli
from rankdistill.document import read_document
from rankdistill.engines.duckdb_options import DuckDbOptions
from rankdistill.engines.spark_options import SparkOptions
from rankdistill.mining.options import MineOptions, read_mine_options
from rankdistill.samples.guards import GUARDS
from rankdistill.samples.negative_options import DEFAULT_MIX
from rankdistill.samples.sources import ORDER
from rankdistill.schema_pages import pages
from rankdistill.settings import Settings, settings_of
from tests.builders import FACTS

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
STORIES = sorted((ROOT / "conf").glob("*.yaml"))
MINING = ROOT / "conf" / "mining.yaml"  # of a verb of its own
CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
COMMANDS: Any = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


def mentions() -> Iterator[tuple[str, str, list[str]]]:
    """(file, verb, options) of every `rankdistill VERB` in code and in the configs' comments."""
    texts = {path: CODE.findall(path.read_text()) for path in DOCS}
    texts |= {path: [(path.read_text(), "")] for path in STORIES}
    for path, codes in texts.items():
        for block, span in codes:
            for line in (block or span).replace("\\\n", " ").splitlines():
                for verb, rest in re.findall(r"\brankdistill ([a-z][a-z-]*)(.*)", line):
                    options = re.findall(r"(?<=\s)--[a-z-]+", rest.split("`")[0])
                    yield path.name, verb, options


def test_every_verb_and_option_that_is_named_exists():
    found = list(mentions())
    assert len(found) > 10
    for file, verb, options in found:
        assert verb in COMMANDS, f"{file}: rankdistill {verb}"
        known = {o for parameter in COMMANDS[verb].params for o in parameter.opts}
        assert set(options) <= known | {"--help"}, f"{file}: rankdistill {verb} {options}"


def test_the_readme_tells_every_verb():
    readme = (ROOT / "README.md").read_text()
    assert not [verb for verb in COMMANDS if f"`{verb}`" not in readme]


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_every_story_loads_and_comments_each_of_its_lines(path):
    if path == MINING:
        read_mine_options(str(path), ())
    else:
        settings_of(read_document(path.read_text(), path.name))
    before = ""
    for line in path.read_text().splitlines():
        is_leaf = re.match(r"\s*[\w-]+: +[^#\s]", line)
        assert not is_leaf or "#" in line or before.lstrip().startswith("#"), line
        before = line


def test_every_key_of_the_configuration_is_in_some_story():
    told = "\n".join(path.read_text() for path in STORIES if path != MINING)
    keys = {key for model in models(Settings) for key in keys_of(model)}
    assert len(keys) > 60
    assert not sorted(key for key in keys if not re.search(rf"\b{key}:", told))


def test_every_key_of_mining_is_in_its_story():
    engines = models(DuckDbOptions) | models(SparkOptions)  # told in conf/hive_rows.yaml
    keys = {key for model in models(MineOptions) - engines for key in keys_of(model)}
    assert len(keys) > 20
    assert not sorted(key for key in keys if not re.search(rf"\b{key}:", MINING.read_text()))


def test_every_other_choice_of_mining_is_one():
    found = re.findall(r"^# (\w+): (\{.*\})", MINING.read_text(), re.MULTILINE)
    assert len(found) > 3
    for key, value in found:
        read_mine_options(str(MINING), [f"{key}={value}"])


def models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """`model` and every model that stands in its fields."""
    found: set[type[BaseModel]] = set()
    waiting = [model]
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            for field in here.model_fields.values():
                waiting += inner(field.annotation)
    return found


def inner(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in get_args(annotation) for m in inner(part)]


def keys_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


NEGATIVES = re.findall(
    r"```yaml\n(.*?)```", (ROOT / "docs" / "negatives.md").read_text(), re.DOTALL
)
CASCADE = """
output: out
log: {path: logs, columns: {feedback: [click]}, stage: {from: column, column: stage}}
"""
OF_CASCADE = replace(FACTS, score_kind="logit")


@pytest.mark.parametrize("block", NEGATIVES)
def test_the_configs_of_the_negatives_page_work_on_a_cascade_s_log(block):
    assert len(NEGATIVES) > 5
    settings = settings_of(read_document(CASCADE + block, "negatives.md"))
    for kind, chosen in settings.samples.kinds().items():
        resolved = chosen.for_student(settings.student).for_log(OF_CASCADE)
        assert resolved.refuse(OF_CASCADE) == [], kind


def test_the_negatives_page_tells_every_source_and_guard_and_the_defaults():
    page = (ROOT / "docs" / "negatives.md").read_text()
    assert not [name for name in (*ORDER, *GUARDS) if f"`{name}`" not in page]
    for mix in DEFAULT_MIX.values():
        told = r",\s".join(f"`{name}` {share:g}" for name, share in mix.items())
        assert re.search(told, page), mix


def choices() -> Iterator[tuple[str, str]]:
    """(key, value) of each choice that conf/hive_rows.yaml shows behind a #."""
    path: list[str] = []
    for line in (ROOT / "conf" / "hive_rows.yaml").read_text().splitlines():
        if match := re.match(r"( *)(\w+):", line):
            path = [*path[: len(match[1]) // 2], match[2]]
        elif match := re.match(r"( *)# (\w+): (\{.*?\}\}|\{.*?\}|[\w./\"]+)(?:\s+#.*)?$", line):
            yield ".".join([*path[: len(match[1]) // 2], match[2]]), match[3]


def test_every_choice_that_is_shown_as_a_comment_is_one():
    text = (ROOT / "conf" / "hive_rows.yaml").read_text()
    found = [choice for choice in choices() if choice[0] not in ("log.table", "engine")]
    assert len(found) > 20
    for key, value in found:
        settings_of(read_document(text, "hive_rows.yaml"), [f"{key}={value}"])


@pytest.mark.parametrize("path", pages())
def test_pages_made_from_code_are_current(path):
    here, made = (ROOT / path).read_text(), pages()[path]
    if path.endswith(".json"):
        assert json.loads(here) == json.loads(made), "run `make schemas`"
    else:
        assert here == made, "run `make schemas`"


def test_the_readme_s_tree_is_the_tree():
    readme = (ROOT / "README.md").read_text()
    tree = readme.split("## The house")[1].split("```")[1]
    shown = re.findall(r"^  ([\w.]+)/? {2,}", tree, re.MULTILINE)
    there = {
        path.name
        for path in (ROOT / "rankdistill").iterdir()
        if path.name not in ("__init__.py", "__main__.py", "__pycache__", "py.typed")
    }
    assert set(shown) == there
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert target.startswith("https://") or (path.parent / target).exists(), target
