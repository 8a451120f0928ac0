"""What is shipped: the wheel holds schemas and configs, and works where no checkout is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rankdistill.contract import TABLES

ROOT = Path(__file__).parent.parent
OFFLINE = ROOT / "tests" / "security" / "offline"  # keeps a Python from the network
SHIPPED = (
    "conf",
    "docs",
    "jobs",
    "rankdistill",
    "schemas",
    "setup.py",
    "pyproject.toml",
    "README.md",
)
PAGES = (
    "page.css",
    *(f"{name}.html.j2" for name in ("head", "page", "diff", "request", "evaluation")),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build folder is left in the checkout."""
    copy = tmp_path_factory.mktemp("source")
    for name in (*SHIPPED, "LICENSE"):
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, copy / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "-w", "dist"]
    done = subprocess.run(
        [*pip, "wheel", *options, "."], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (copy / "dist").glob("*.whl")
    return made


def python(folder: Path, packages: Path, *arguments: str, **more: str) -> str:
    """The stdout of this Python in `folder`, with `packages` and the dependencies alone; more:
    of the environment."""
    env = {**os.environ, "PYTHONPATH": str(packages), **more}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_module_schema_and_config_and_nothing_else_of_ours(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"rankdistill/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    expected |= {f"rankdistill/conf/{path.name}" for path in (ROOT / "conf").glob("*.yaml")}
    texts = (ROOT / "docs" / "measures").glob("*.md")
    expected |= {f"rankdistill/docs/measures/{path.name}" for path in texts}
    expected |= {f"rankdistill/quality/report/{name}" for name in PAGES}
    code = (ROOT / "rankdistill").rglob("*.py")
    expected |= {str(path.relative_to(ROOT)) for path in code}
    expected.add("rankdistill/py.typed")
    assert {name for name in inside if ".dist-info/" not in name} == expected


def test_the_installed_wheel_runs_the_demo_outside_the_checkout(wheel, tmp_path):
    packages, here = tmp_path / "packages", tmp_path / "here"
    here.mkdir()
    pip = ["-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    python(here, packages, *pip, "--target", str(packages), str(wheel))
    where = "import rankdistill; print(rankdistill.__file__)"
    assert python(here, packages, "-c", where).startswith(str(packages))
    told = tmp_path / "told"
    no_net = {"PYTHONPATH": f"{OFFLINE}{os.pathsep}{packages}", "OFFLINE_TOLD": str(told)}
    shown = python(here, packages, "-m", "rankdistill", "demo", **no_net)
    assert not told.exists()
    assert "build 1 of rankdistill-demo/feed" in shown
    assert "grades 0:" in shown


def test_the_zip_for_py_files_is_imported_as_it_is_with_its_schemas(wheel, tmp_path):
    packages = tmp_path / "rankdistill.zip"
    shutil.copy(wheel, packages)
    code = (
        "from rankdistill.contract import TABLES, resource, table_contract\n"
        "print(*[table_contract(table)['table'] for table in TABLES])\n"
        "print(resource('conf', 'demo.yaml').read_text()[:10])\n"
        "print(resource('schemas', 'lists.json'))\n"
        "from rankdistill.quality.cookbook import to_do\n"
        "from rankdistill.quality.report.page import page\n"
        "print(to_do('Q07')[:2], callable(page))"
    )
    tables, conf, place, told = python(tmp_path, packages, "-c", code).splitlines()
    assert tables.split() == list(TABLES)
    assert conf == "# The demo"
    assert str(packages) in place
    assert told == "-  True"
    options = ["simulate", "--out", "sim", "--set=num_requests=3"]
    python(tmp_path, packages, "-m", "rankdistill", *options)
    job = [str(ROOT / "jobs" / "simulate_logs.py"), "--out", "sim", "--set=num_requests=3"]
    assert "already there" in python(tmp_path, packages, *job)
