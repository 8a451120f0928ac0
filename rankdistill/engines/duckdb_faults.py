"""What DuckDB raises, sorted by who can mend it."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pyarrow as pa

from rankdistill.disk import free_at
from rankdistill.errors import ResourceError

# Of damaged pages DuckDB raises its base class and any other; faults of our SQL are ours.
# RuntimeError: where its message would quote bytes that are no UTF-8.
FAULTS = (duckdb.Error, pa.ArrowException, OSError, RuntimeError)
NO_ROOM = ("No space left", "max_temp_directory_size", "File too large", "quota exceeded")
OURS = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)


def told(fault: BaseException) -> ResourceError | None:
    """What the machine lacks; None where the fault lies in what was read."""
    text = str(fault)
    if any(sign in text for sign in NO_ROOM):
        return ResourceError(
            "E0402",
            "the disk is full: a sort cannot spill",
            found=first_line(fault) + _free(text),
            help="free space, or set engine.temp_directory to a larger disk",
        )
    if isinstance(fault, duckdb.OutOfMemoryException):
        return ResourceError(
            "E0403",
            "DuckDB ran out of memory",
            found=first_line(fault),
            help="raise engine.memory_limit, or free disk for spilling",
        )
    return None


def _free(text: str) -> str:
    """What the disk has of the file that a fault names, if it names one."""
    if (named := re.search(r'file "([^"]+)"', text)) is None:
        return ""
    return f"; {free_at(Path(named[1]).parent)}"


def first_line(fault: BaseException) -> str:
    text = str(fault).strip()
    return text.splitlines()[0] if text else type(fault).__name__
