"""What docs/cluster.md shows: commands that exist, a DAG that retries what is worth it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import typer.main

from rankdistill import cli
from rankdistill.errors import ConfigError, InputError, PlaceError, ResourceError
from tests.pages_kit import named

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "cluster.md").read_text()
COMMANDS = typer.main.get_command(cli.app).commands


def verb_of(job):
    found = re.search(r'main\(\["([a-z-]+)"', (ROOT / "jobs" / job).read_text())
    assert found is not None, job
    return COMMANDS[found[1]]


def test_every_job_that_is_named_exists_and_takes_the_options_that_are_shown():
    text = "".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "jobs").iterdir()))
    lines = (PAGE + text).replace("\\\\", "\\").replace("\\\n", " ").splitlines()
    found = [match for line in lines if (match := re.search(r"jobs/(\w+\.py)(.*)", line))]
    assert {match[1] for match in found} == {path.name for path in (ROOT / "jobs").glob("*.py")}
    for match in found:
        known = {name for parameter in verb_of(match[1]).params for name in parameter.opts}
        assert set(re.findall(r"(?<=\s)--[a-z-]+", match[2].split("|")[0])) <= known, match[0]


def test_the_exit_codes_are_told_with_their_meaning():
    rows = dict(re.findall(r"^\| ([\d, ]+) \| ([^|]+) \|", PAGE, re.MULTILINE))
    assert list(rows) == ["0", "1", "2", "3", "4", "5", "6", "130, 143"]
    kinds = {"E0101": ConfigError, "E0301": InputError, "E0201": PlaceError, "E0401": ResourceError}
    codes = [kind(code, "it is wrong").exit_code for code, kind in kinds.items()]
    assert codes == [2, 3, 4, 4]


@pytest.fixture
def dag(monkeypatch):
    """The function `build` of the page's DAG, run with stand-ins for Airflow's names."""
    made, given = [], {}

    def decorated(**options):
        given.update(options)
        return lambda function: function

    class Task:
        def __init__(self, function):
            self.run = function

        def __call__(self):
            made.append(self.run)

    names = {
        "airflow": {},
        "airflow.exceptions": {"AirflowFailException": type("Final", (Exception,), {})},
        "airflow.sdk": {"dag": decorated, "task": Task},
        "airflow.timetables": {},
        "airflow.timetables.interval": {"CronDataIntervalTimetable": SimpleNamespace},
    }
    names["airflow.timetables.interval"]["CronDataIntervalTimetable"] = lambda cron, timezone: cron
    for name, values in names.items():
        module = ModuleType(name)
        module.__dict__.update(values)
        monkeypatch.setitem(sys.modules, name, module)
    exec(compile(named("cluster.md", "dag"), "feed.py", "exec"), {})
    assert given["max_active_runs"] == 1
    (build,) = made
    return build, names["airflow.exceptions"]["AirflowFailException"]


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 6, 130, 143])
def test_the_dag_retries_the_exit_codes_that_the_page_says(dag, monkeypatch, code):
    build, final = dag
    commands = []

    def run(command, check):
        commands.append(command)
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr(subprocess, "run", run)
    if code == 0:
        build(ds="2026-11-07")
    else:
        with pytest.raises(Exception, match=str(code)) as caught:
            build(ds="2026-11-07")
        (row,) = re.findall(rf"^\| (?:130, )?{code}(?:, 143)? \|.*\| (\w+)", PAGE, re.MULTILINE)
        assert (caught.type is final) == (row == "no")
    (command,) = commands
    at = next(i for i, word in enumerate(command) if word.endswith(".py"))
    known = {
        name for parameter in verb_of(Path(command[at]).name).params for name in parameter.opts
    }
    assert {word for word in command[at:] if word.startswith("--")} == {"--config", "--dt"} & known


def test_the_test_of_a_mount_passes_where_a_data_set_may_lie(tmp_path):
    done = subprocess.run(
        ["sh", "-c", named("cluster.md", "links")], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "File exists" in done.stderr and (tmp_path / "c").exists()
