"""How files and folders of ours are made: for the owner and the group alone, and never through a
symbolic link. Ground floor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_MODE, DIR_MODE = 0o640, 0o750
OTHERS = 0o027  # what libraries that write by themselves must not allow


def create(path: Path) -> int:
    """A handle to write a new file with; FileExistsError where there is something."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)


def open_to_append(path: Path) -> int:
    """A handle to add to a file with, new or not; OSError (ELOOP) where it is a symbolic link."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, FILE_MODE)


@contextmanager
def kept_from_others() -> Iterator[None]:
    """What this process and its children make is for the owner and the group at most, also what
    Delta, Arrow, PyTorch and faiss make by themselves; a stricter umask stays."""
    before = os.umask(0o077)
    os.umask(before | OTHERS)
    try:
        yield
    finally:
        os.umask(before)
