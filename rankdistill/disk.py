"""A disk that takes no more: told with what there is, what was written, and where."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
from pathlib import Path

from rankdistill.errors import ResourceError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# As the libraries under us put it that raise an OSError without its number, or one of their own.
_TOLD = re.compile(r"(?:os error|errno) (\d+)", re.IGNORECASE)


def number_of(fault: BaseException) -> int | None:
    """The system's number of a fault; None where it tells none."""
    if isinstance(fault, OSError) and fault.errno is not None:
        return fault.errno
    told = _TOLD.search(str(fault))
    return int(told[1]) if told else None


def no_room(fault: BaseException, place: str | Path, written: int = 0) -> ResourceError | None:
    """E0402 of a fault of writing at `place`, after so many bytes; None where room is not it."""
    number = number_of(fault)
    if number not in FULL:
        return None
    named = fault.filename if isinstance(fault, OSError) else None
    free = free_at(named or place)
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if number == errno.EFBIG and most != resource.RLIM_INFINITY:
        free += f"; no file may take more than {_size(most)} (ulimit -f)"
    need = f"; it needs more than the {_size(written)} that were written" if written else ""
    told = "the disk is full" if number != errno.EFBIG else "a file may not grow as it must"
    return ResourceError(
        "E0402",
        f"{told}: {os.strerror(number)}",
        found=free + need,
        help="make room or name another disk, and run it again",
    )


def free_at(place: str | Path) -> str:
    """What the disk has left on which `place` lies, or would lie."""
    where = Path(os.path.abspath(place))
    disk = next(each for each in (where, *where.parents) if each.exists())
    return f"{_size(shutil.disk_usage(disk).free)} free at {where}"


def _size(num_bytes: int) -> str:
    return f"{num_bytes:,} bytes" if num_bytes < 10**6 else f"{num_bytes / 1e6:,.1f} MB"
