"""Spark's faults as ours: what is damaged, or what ran out, in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from rankdistill.engines.spark_work import ERRORS
from rankdistill.errors import InputError, ResourceError, UserError

_OURS = re.compile(r"rankdistill\.errors\.(\w+): error\[(E\d{4})\]: (.+)")
_FILE = re.compile(r"while reading file (\S+?)\.?\s")
_CAUSE = re.compile(r"^(?:Caused by: )?[\w.$]+(?:Exception|Error): (.+)$", re.MULTILINE)
_NO_PYTHON = re.compile(r'Cannot run program "([^"]+)"')
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_READING = (
    "FAILED_READ_FILE",
    "CANNOT_READ_FILE",
    "MALFORMED_RECORD",
    "MALFORMED_CSV",
    "CORRUPT",
    "ParquetDecodingException",
    "FileNotFoundException",
    "PATH_NOT_FOUND",
)
_MEMORY = ("OutOfMemoryError", "MEMORY_LIMIT", "Python worker exited unexpectedly", "MemoryError")


@contextmanager
def told() -> Iterator[None]:
    """What Spark raises inside, as a UserError where the user can do something about it."""
    try:
        yield
    except Exception as fault:
        # By name: over Connect there is no py4j to import.
        if type(fault).__module__.split(".")[0] not in ("py4j", "pyspark"):
            raise
        known = user_error(str(fault))
        if known is None:
            raise
        raise known from fault


def user_error(text: str) -> UserError | None:
    """The fault behind a Spark error's text; None where it is no fault of the environment."""
    if ours := _OURS.search(text):
        return ERRORS[ours[1]](ours[2], ours[3])
    if "No space left on device" in text:
        return ResourceError(
            "E0402",
            "the disk is full",
            found=_cause(text),
            help="free the disk, or name another with engine.conf spark.local.dir",
        )
    if lacking := _NO_PYTHON.search(text) or _NO_MODULE.search(text):
        return ResourceError(
            "E0404",
            f"Spark's workers lack {lacking[1]}",
            found=_cause(text),
            help="give them our zip (--py-files) and a Python with our packages (--archives and "
            "PYSPARK_PYTHON), as docs/cluster.md has it",
        )
    if any(sign in text for sign in _MEMORY):
        return ResourceError(
            "E0403",
            "Spark ran out of memory",
            found=_cause(text),
            help="raise engine.conf spark.executor.memory or spark.executor.memoryOverhead "
            "(spark.driver.memory with a local master)",
        )
    if any(sign in text for sign in _READING):
        file = _FILE.search(text + " ")
        name = file[1].removeprefix("file://").removeprefix("file:") if file else "the log"
        return InputError(
            "E0310",
            f"{name} cannot be read to its end",
            found=_cause(text),
            help="write the file again; rankdistill validate names files that are damaged",
        )
    return None


def _cause(text: str) -> str:
    """The innermost message of a Java trace."""
    causes = _CAUSE.findall(text)
    return causes[-1].strip() if causes else text.strip().splitlines()[0]
