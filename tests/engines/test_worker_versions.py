"""Workers of Spark that are another environment than the driver: refused before any work."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from rankdistill import cli
from rankdistill.engines import spark_session
from rankdistill.engines.spark import Spark
from rankdistill.engines.spark_options import SparkOptions
from rankdistill.engines.versions import ALIKE, skew, versions
from rankdistill.errors import ResourceError

# What a worker has at its start that is not as here, and what the driver says of it.
SKEWS = [
    ("import pyarrow; pyarrow.__version__ = '19.0.1'", "pyarrow {pyarrow} here, 19.0.1 there"),
    ("import sys; sys.modules['rankdistill'] = None", "rankdistill"),
    (
        "import sys; from collections import namedtuple; names = 'major minor micro level serial'\n"
        "sys.version_info = namedtuple('Version', names)(3, 9, 1, 'final', 0)",
        "3.9",
    ),
    ("import sys; sys.modules['pyarrow'] = None", "pyarrow"),
    ("import sys; sys.version_info = None", "TypeError"),  # it does not even begin
    ("import pyspark; pyspark.__version__ = '4.99.0'", "pyspark {pyspark} here, 4.99.0 there"),
]


@pytest.fixture
def other_python(tmp_path, monkeypatch):
    """other_python(code): a Python like this one that runs `code` first, made the workers'."""

    def made(code):
        (tmp_path / "sitecustomize.py").write_text(code)
        python = tmp_path / "python"
        python.write_text(
            f'#!/bin/sh\nPYTHONPATH="{tmp_path}:$PYTHONPATH" exec "{sys.executable}" "$@"\n'
        )
        python.chmod(0o700)
        monkeypatch.setenv("PYSPARK_PYTHON", str(python))
        return str(python)

    return made


@pytest.mark.spark
@pytest.mark.fault("41", "workers of Spark with another Python or package", times=6, quick=2)
def test_workers_that_differ_are_refused_at_the_start(
    trial, told, monkeypatch, spark, other_python
):
    code, said = SKEWS[trial % len(SKEWS)]
    monkeypatch.setattr(spark.sparkContext, "pythonExec", other_python(code))
    with pytest.raises(ResourceError, match="E0404") as caught:
        Spark(SparkOptions())
    assert said.format(**versions()) in caught.value.found
    assert "--py-files" in caught.value.help


@pytest.mark.spark
def test_workers_of_equal_versions_will_do(monkeypatch, spark, other_python):
    monkeypatch.setattr(spark.sparkContext, "pythonExec", other_python("pass"))
    Spark(SparkOptions()).close()


def test_only_what_may_change_rows_is_compared():
    here = dict.fromkeys(ALIKE, "3.11.2")
    assert skew(here, here) is None
    assert skew(here, here | {"pyarrow": "3.9.9", "python": "3.11.9"}) is None
    assert skew(here, here | {"numpy": "missing"}) == "numpy 3.11.2 here, missing there"
    assert skew(here, here | {"rankdistill": "3.11.3"}) is not None


@pytest.mark.parametrize(
    ("code", "said"),
    [("pass", "as this one"), (SKEWS[2][0], "3.9.1 there"), ("raise SystemExit", "not run")],
)
def test_doctor_looks_at_the_python_of_workers(other_python, code, said):
    python = other_python(code)
    found = json.loads(CliRunner().invoke(cli.app, ["doctor", "--format", "json"]).stdout)
    told = found["PYSPARK_PYTHON"]
    assert python in told["found"]
    assert said in told["found"] + told["advice"]
    assert ("--py-files" in told["advice"]) == (code != "pass")


def test_doctor_tells_of_an_old_java_and_of_what_needs_torch(monkeypatch):
    monkeypatch.setattr(spark_session, "java_version", lambda java: 11)
    monkeypatch.setitem(sys.modules, "torch", None)
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert result.exit_code == 0
    assert "Java 17 or newer not found" in result.stdout and "is Java 11" in result.stdout
