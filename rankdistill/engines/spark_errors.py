"""Spark's faults as ours: what is damaged, what ran out, what is not there, in one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rankdistill.engines.spark_work import ERRORS
from rankdistill.engines.versions import ON_WORKERS
from rankdistill.errors import InputError, PlaceError, ResourceError, UserError

_OURS = re.compile(r"rankdistill\.errors\.(\w+): error\[(E\d{4})\]: (.+)")
_FILE = re.compile(r"while reading file (\S+?)\.?\s")
_CAUSE = re.compile(r"^(?:Caused by: )?[\w.$]+(?:Exception|Error): (.+)$", re.MULTILINE)
_RECENT = re.compile(r"most recent failure: (?:Lost task [^)]*\) \([^)]*\): )?(.+)")
_PYTHON = re.compile(r"^(?:\w+\.)*(\w+(?:Error|Exception): .+)$", re.MULTILINE)
# A Python that did not even begin, and why.
_NO_START = re.compile(
    r"Error from python worker:.*?^\s*(\w+Error: [^\n]+)", re.DOTALL | re.MULTILINE
)
_DISK = ("No space left on device", "Disk quota exceeded", "File too large")
# A library that cannot be mapped, a process that ends amid its work, an import of Python's that
# fails without a word: for want of memory.
_PYTHON_MEMORY = (
    "Python worker exited unexpectedly",
    "MemoryError",
    "failed to map segment",
    "Cannot allocate memory",
    "std::bad_alloc",
    "SystemError: error return without exception set",
)
_JVM_MEMORY = ("OutOfMemoryError", "MEMORY_LIMIT", "UNABLE_TO_ACQUIRE_MEMORY")
_NO_PYTHON = re.compile(r'Cannot run program "([^"]+)"')
_NO_MODULE = re.compile(r"ModuleNotFoundError: (?:No module named '|import of )([\w.]+)")
_LOST = ("ExecutorLostFailure", "FetchFailed", "blockmgr-")
_ENVIRONMENT = (
    "ModuleNotFoundError: ",
    "Error from python worker:",
    "PYTHON_VERSION_MISMATCH",
    "PACKAGE_NOT_INSTALLED",
    "UNSUPPORTED_PACKAGE_VERSION",
    "Cannot run program",
)
_NOT_ALLOWED = ("PermissionError: ", "Read-only file system")
# Of the stores and of HDFS, which tell it as their own.
_DENIED = (
    "AccessDeniedException",
    "AccessControlException",
    "AuthorizationPermissionMismatch",
    "NoAuthWithAWSException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
)
_NO_FILE_SYSTEM = (
    "No FileSystem for scheme",
    "ClassNotFoundException: Class org.apache.hadoop.fs.",
)
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
_ENDED = ("Job aborted", "Job cancelled", "SparkContext was shut down", "stopped SparkContext")


@contextmanager
def told() -> Iterator[None]:
    """What Spark raises inside, as a UserError where the user can do something about it."""
    try:
        yield
    except ConnectionError as fault:
        raise _no_driver(str(fault)) from fault
    except Exception as fault:
        # By name: over Connect there is no py4j to import.
        if type(fault).__module__.split(".")[0] not in ("py4j", "pyspark"):
            raise
        if type(fault).__name__ == "Py4JNetworkError":
            raise _no_driver(str(fault)) from fault
        known = user_error(str(fault))
        if known is None:
            raise
        raise known from fault


def user_error(text: str) -> UserError | None:
    """The fault behind a Spark error's text; None where it is no fault of the environment."""
    if ours := _OURS.search(text):
        return ERRORS[ours[1]](ours[2], ours[3])
    for signs, fault in _FAULTS:
        if any(sign in text for sign in signs):
            return fault(text)
    return None


def _known(
    kind: type[UserError], code: str, message: str, help: str
) -> Callable[[str], UserError | None]:
    """A fault of which the text tells no more than its cause."""
    return lambda text: kind(code, message, found=_cause(text), help=help)


def _no_driver(text: str) -> UserError:
    return ResourceError(
        "E0403",
        "Spark's driver has ended amid its work, mostly for want of memory",
        found=text.strip().splitlines()[0] if text.strip() else None,
        help="raise engine.conf spark.driver.memory",
    )


def _other_environment(text: str) -> UserError:
    lacking = _NO_PYTHON.search(text) or _NO_MODULE.search(text)
    return ResourceError(
        "E0404",
        f"Spark's workers lack {lacking[1]}"
        if lacking
        else "Spark's workers have another Python, or other packages, than the driver",
        found=_cause(text),
        help=ON_WORKERS,
    )


def _unreadable(text: str) -> UserError:
    file = _FILE.search(text + " ")
    name = file[1].removeprefix("file://").removeprefix("file:") if file else "the log"
    return InputError(
        "E0310",
        f"{name} cannot be read to its end",
        found=_cause(text),
        help="write the file again; rankdistill validate names files that are damaged",
    )


def _ended(text: str) -> UserError | None:
    if "Python worker:" in text or "PythonException" in text:
        return None  # a fault of our own code
    return ResourceError("E0406", "Spark gave up", found=_cause(text), help="see Spark's own log")


_full = _known(
    ResourceError,
    "E0402",
    "the disk is full",
    "free the disk, or name another with engine.conf spark.local.dir",
)
_no_heap = _known(
    ResourceError,
    "E0403",
    "Spark ran out of memory",
    "raise engine.conf spark.executor.memory or spark.executor.memoryOverhead "
    "(spark.driver.memory with a local master)",
)
_no_worker_memory = _known(
    ResourceError,
    "E0403",
    "a Python worker of Spark ran out of memory",
    "raise engine.conf spark.executor.pyspark.memory where it is set, else "
    "spark.executor.memoryOverhead; or lower engine.batch_rows",
)
_lost = _known(
    ResourceError,
    "E0406",
    "Spark gave up: it lost executors, or what they had shuffled, again and again",
    "see why they ended; mostly for want of memory (engine.conf spark.executor.memory, "
    "spark.executor.memoryOverhead) or of disk (spark.local.dir)",
)
_closed = _known(
    PlaceError,
    "E0202",
    "Spark's workers may not use a place",
    "name a place that is theirs to use",
)
_denied = _known(
    PlaceError,
    "E0202",
    "where the log lies, Spark may not read",
    "give a key that may: engine.conf spark.hadoop.fs.*, or the identity that Spark runs as",
)
_no_file_system = _known(
    ResourceError,
    "E0404",
    "Spark lacks what reads addresses of the log's scheme",
    "add its jar to Spark: engine.conf spark.jars.packages, or spark-submit --packages, such as "
    "org.apache.hadoop:hadoop-aws:VERSION-OF-HADOOP",
)
# In this order: an executor that is lost for want of memory tells of both.
_FAULTS: tuple[tuple[tuple[str, ...], Callable[[str], UserError | None]], ...] = (
    (_DISK, _full),
    (_JVM_MEMORY, _no_heap),
    (_PYTHON_MEMORY, _no_worker_memory),
    (_ENVIRONMENT, _other_environment),
    (_LOST, _lost),
    (_NO_FILE_SYSTEM, _no_file_system),
    (_DENIED, _denied),
    (_NOT_ALLOWED, _closed),
    (_READING, _unreadable),
    (_ENDED, _ended),
)


def _cause(text: str) -> str:
    """The innermost message of a Java trace, the last line of a Python one."""
    if no_start := _NO_START.search(text):
        return no_start[1].strip()
    if "Python worker:" in text and (lines := _PYTHON.findall(text)):
        return str(lines[-1]).strip()
    if causes := _CAUSE.findall(text):
        return str(causes[-1]).strip()
    if recent := _RECENT.search(text):
        return recent[1].strip()
    return text.strip().splitlines()[0]
