"""Shell completion, by the protocol that the installed scripts of bash, zsh and fish speak."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from cli_kit import ROOT
from typer.testing import CliRunner

from rankdistill import cli
from rankdistill.cli import choices
from rankdistill.contract import TABLES
from rankdistill.export.asked import ANCHORS
from rankdistill.export.formats import FORMATS
from rankdistill.quality.cookbook import cookbook
from tests.pages_kit import named

VERBS = {act.__name__.replace("_", "-") for act in cli.VERBS}


def asked_by(shell: str, line: str) -> dict[str, str]:
    """What the script of a shell sets for `line`, the cursor at its end."""
    if shell == "bash":
        cursor = len(line.split(" ")) - 1
        own = {"COMP_WORDS": line.replace(" ", "\n"), "COMP_CWORD": str(cursor)}
    else:
        own = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    return {"_RANKDISTILL_COMPLETE": f"complete_{shell}", **own}


def completed(line: str, shell: str = "bash") -> list[str]:
    """The words that `shell` is offered for `line`."""
    result = CliRunner().invoke(cli.app, [], env=asked_by(shell, line), prog_name="rankdistill")
    assert result.exit_code == 0, result.stderr
    return result.stdout.split("\n")[:-1]


def test_verbs_and_options_are_completed():
    assert set(completed("rankdistill ")) == VERBS
    assert completed("rankdistill bu") == ["build"]
    assert completed("rankdistill build --f") == ["--from", "--force", "--fail-on", "--format"]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("build --engine ", ("duckdb", "spark")),
        ("build --fail-on ", ("fail", "warn", "never")),
        ("plan --format ", ("text", "json")),
        ("evaluate --split ", ("valid", "test")),
        ("export --index iv", ("ivf", "ivf_pq")),
        ("files ", TABLES),
        ("export-samples --as ", tuple(FORMATS)),
        ("export-samples --anchor ", tuple(ANCHORS)),
        ("explain ", (*choices.CODES, *cookbook())),
        ("explain Q0", tuple(f"Q0{number}" for number in range(1, 10))),
        ("diff feed --baseline y", ("yesterday",)),
    ],
)
def test_values_of_closed_sets_are_completed_and_are_those_of_the_catalogues(line, values):
    assert tuple(completed(f"rankdistill {line}")) == values


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_offered_the_same(shell):
    assert "spark" in "".join(completed("rankdistill build --engine s", shell))
    assert "preview" in "".join(completed("rankdistill prev", shell))


def test_the_readme_s_command_installs_it_for_the_shell_that_runs_it(tmp_path):
    ours = f'rankdistill() {{ "{sys.executable}" -m rankdistill "$@"; }}\n'
    env = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = ["bash", "-e", "-c", ours + named("README.md", "completion") + "true"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (script,) = tmp_path.rglob("rankdistill.sh")
    assert str(script) in (tmp_path / ".bashrc").read_text()
    assert "_RANKDISTILL_COMPLETE=complete_bash" in script.read_text()


def test_a_completion_loads_nothing_heavy():
    code = (
        "import sys; from rankdistill.cli import app\n"
        "try: app([], prog_name='rankdistill')\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    env = os.environ | asked_by("bash", "rankdistill export-samples --as ")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(FORMATS)
    modules = set(done.stderr.split())
    assert not {"numpy", "pyarrow", "duckdb", "deltalake", "pyspark", "torch"} & modules
    assert len(modules) < 380  # as of --help
