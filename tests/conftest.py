"""Settings for every room's tests, and one Spark session for all that are marked `spark`."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from bench import spark_events

pytest_plugins = ["tests.fault_table", "pytester"]

# Machines under load must not fail a law: no deadline per example, and the same examples each run.
settings.register_profile("rankdistill", deadline=None, derandomize=True)
settings.load_profile("rankdistill")


@functools.cache
def _why_not_spark() -> str | None:
    from rankdistill.engines.spark_session import check_java
    from rankdistill.errors import ResourceError

    try:
        import pyspark  # noqa: F401

        check_java()
    except ImportError:
        return "pyspark is not installed"
    except ResourceError as fault:
        return fault.message
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("spark") is None:
        return
    why = _why_not_spark()
    if why is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must run the Spark tests: {why}", pytrace=False)
    pytest.skip(why)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    # Of the reports, which the workers of xdist send to who prints this.
    skipped = [r for r in terminalreporter.stats.get("skipped", ()) if "spark" in r.keywords]
    if skipped:
        line = f"{len(skipped)} SPARK TESTS WERE SKIPPED: {_why_not_spark()}"
        terminalreporter.write_line(line, red=True, bold=True)


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the event log of the session `spark`."""
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="session")
def spark(events: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A `local[2]` session in which a task has three attempts; engines made while it lives use it
    and leave it running."""
    from rankdistill.engines.spark_options import SparkOptions
    from rankdistill.engines.spark_session import Session

    conf = {"spark.sql.shuffle.partitions": "4", "spark.driver.memory": "1g"}
    # Small logs: what the compiler of a server would save, it costs several times over.
    conf["spark.driver.extraJavaOptions"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    conf["spark.local.dir"] = str(tmp_path_factory.mktemp("spark"))
    conf |= spark_events.conf(events)
    session = Session(SparkOptions(master="local[2,3]", conf=conf))
    yield session.spark
    session.close()
