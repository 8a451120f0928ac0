"""A Spark session fit for us: Java checked first, settings that decide rows fixed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import rankdistill
from rankdistill.config import reveal
from rankdistill.engines.spark_options import SparkOptions
from rankdistill.errors import ResourceError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MIN_JAVA = 17
# They decide which rows come out, or refuse damage; no configuration may change them.
FIXED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    # pandas writes nanoseconds, which Spark reads as numbers or not at all.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
}
# They decide how long it takes; engine.conf goes before them.
TUNED = {
    # Collecting lists twice, before and after the shuffle, saves no byte of it.
    "spark.sql.execution.bypassPartialAggregation": "true",
}
LOCAL = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # What fails is told by our own errors, not by JVM traces on the terminal.
    "spark.log.level": "FATAL",
    # Without it a JVM whose heap is full collects garbage for hours, and nobody hears of it.
    "spark.driver.extraJavaOptions": "-XX:+ExitOnOutOfMemoryError",
}

REDACTION = "spark.redaction.regex"
# Spark's own words, and what else the keys of stores are called.
HIDDEN = (
    "(?i)secret|password|token|access[.]?key|account[.]?key|api[.]?key|credential|signature|[.]sas"
)


class Session:
    """The session in use. owned: made here, so to be stopped here."""

    def __init__(self, options: SparkOptions) -> None:
        classes = _pyspark()
        conf = {key: reveal(value) for key, value in options.conf.items()}
        active = classes.getActiveSession()
        self.owned = active is None
        if active is None:
            hidden = [key for key, value in options.conf.items() if conf[key] != value]
            active = _started(classes, options, conf, hidden)
        self._base = active
        # Settings of its own: those of a session that we were lent stay as they are.
        self.spark: SparkSession = active.newSession()
        runtime = {key: value for key, value in conf.items() if key.startswith("spark.sql.")}
        for key, value in {**TUNED, **runtime, **FIXED}.items():
            if self.spark.conf.isModifiable(key):
                self.spark.conf.set(key, value)

    def close(self) -> None:
        """Stop Spark if it was started here; one whose JVM has ended is stopped already."""
        if self.owned:
            with suppress(ConnectionError):
                self._base.stop()


def _pyspark() -> type[SparkSession]:
    try:
        from pyspark.sql import SparkSession
    except ImportError as fault:
        raise ResourceError(
            "E0404",
            "the spark engine needs pyspark, which is not installed",
            help='pip install "rankdistill[spark]"; the duckdb engine needs none: --engine duckdb',
        ) from fault
    return SparkSession


def _started(
    classes: type[SparkSession], options: SparkOptions, conf: dict[str, str], hidden: list[str]
) -> SparkSession:
    """hidden: keys whose values came from the environment."""
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    remote = "SPARK_REMOTE" in os.environ or "spark.remote" in conf
    builder = classes.builder.appName("rankdistill")
    if not submitted and not remote:
        check_java()
        master = options.master or conf.get("spark.master", "local[*]")
        builder = builder.master(master)
        if master.startswith("local"):
            os.environ.update(of_local_workers())
            conf = {**LOCAL, **conf}
    if not remote:
        chosen = conf.get(REDACTION) or (_submitted(REDACTION) if submitted else None)
        conf = {**conf, REDACTION: redaction(chosen, hidden)}
    for key, value in conf.items():
        builder = builder.config(key, value)
    handler = signal.getsignal(signal.SIGINT)
    session = builder.getOrCreate()
    if threading.current_thread() is threading.main_thread():
        # pyspark puts a handler of its own in; the caller's decides how a run is stopped.
        signal.signal(signal.SIGINT, handler)
    return session


def redaction(chosen: str | None, hidden: Iterable[str]) -> str:
    """The pattern of the settings whose values Spark hides from its pages and event logs.

    chosen: the user's own pattern; hidden: keys that are hidden whatever it says.
    """
    return "|".join([chosen or HIDDEN, *(re.escape(key) for key in sorted(hidden))])


def _submitted(key: str) -> str | None:
    """A setting that spark-submit was given."""
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()  # as the session will; before, SparkConf knows no JVM's
    return SparkConf().get(key, None)


def of_local_workers() -> dict[str, str]:
    """The environment by which local workers run this Python, unless another is named, and find
    this package where it is not installed."""
    home = str(Path(rankdistill.__file__).resolve().parents[1])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    found = paths if home in paths else [home, *paths]
    python = os.environ.get("PYSPARK_PYTHON", sys.executable)
    return {"PYSPARK_PYTHON": python, "PYTHONPATH": os.pathsep.join(found)}


def check_java() -> tuple[str, int]:
    """(the java that would start, its major version); ResourceError E0401 unless 17 or newer."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None or not Path(java).is_file():
        raise _no_java(
            f"JAVA_HOME is {home}, which holds no bin/java"
            if home
            else 'JAVA_HOME unset; "java" not on PATH'
        )
    found = java_version(java)
    if found is None or found < MIN_JAVA:
        raise _no_java(f"{java} is Java {found or 'of an unknown version'}")
    return java, found


def java_version(java: str) -> int | None:
    """The major version of a java executable; None where it does not tell."""
    try:
        told = subprocess.run(  # noqa: S603
            [java, "-version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)
    return int(match[1]) if match else None


def _no_java(why: str) -> ResourceError:
    return ResourceError(
        "E0401",
        f"Spark cannot start: Java 17 or newer not found ({why}); "
        "the duckdb engine needs none: --engine duckdb",
    )
