"""Files of our own: new, private, hashed while written, never through a symbolic link."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rankdistill.errors import PlaceError
from rankdistill.private import DIR_MODE, create

RACES = 100  # each lost one means that somebody else tidied up between two steps of ours


class HashedFile:
    """A new file that hashes what passes through: no second read of the part.

    The Parquet writer only appends, so the digest is that of the file. Synced to disk on
    close, so that a commit never names bytes that a power cut can still lose.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.fdopen(create(path), "wb", buffering=0)
        self._size = 0
        self._is_abandoned = False
        self.digest = hashlib.sha256()

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, data: Any) -> int:
        if self._is_abandoned:
            return memoryview(data).nbytes
        self.digest.update(data)
        view = memoryview(data).cast("B")
        while len(view):
            written = self._file.write(view)
            view = view[written:]
            self._size += written
        return memoryview(data).nbytes

    def tell(self) -> int:
        return self._size

    def flush(self) -> None: ...

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        """Take no more bytes; the footer that the Parquet writer still brings is dropped."""
        self._is_abandoned = True
        self._file.close()


def make_dirs(root: Path, inside: str) -> None:
    """Make the folders `inside` (with /) below `root`, never through a symbolic link.

    Raises PlaceError E0202 where one of them is a link, or its name too long.
    """
    for _ in range(RACES):
        try:
            return _make_dirs(root, inside)
        except FileNotFoundError:  # another build took an empty folder of tables away with its own
            if not root.is_dir():
                raise
    return _make_dirs(root, inside)


def _make_dirs(root: Path, inside: str) -> None:
    path = root
    for name in Path(inside).parts:
        path = path / name
        try:
            path.mkdir(mode=DIR_MODE)
        except FileExistsError:
            if path.is_symlink():
                raise PlaceError(
                    "E0202",
                    f"refusing to write through a symbolic link: {path}",
                    found=f"{path} -> {os.readlink(path)}",
                    help="put a folder there, or name the link's target as output",
                ) from None
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise PlaceError(
                "E0202",
                f"a folder's name is too long: {len(name):,} characters",
                found=name[:60] + "...",
                help="shorten the values of dt, or the output folder's own path",
            ) from None


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether nobody else is in such a block of `folder`; the lock goes with the process.

    Nothing is written, so a folder of somebody else's stays as it is. True, too, where the file
    system knows no locks of folders.
    """
    handle = os.open(folder, os.O_RDONLY)
    is_free = True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        is_free = fault.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    try:
        yield is_free
    finally:
        os.close(handle)


def sync(path: Path) -> None:
    """Have the disk keep what a file or folder holds now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """The digest of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_link(path: Path) -> None:
    """PlaceError E0202 where `path` is a symbolic link, be it to nothing."""
    if path.is_symlink():
        raise PlaceError(
            "E0202",
            f"refusing to write through a symbolic link: {path}",
            found=f"{path} -> {os.readlink(path)}",
            help="name the link's target, or remove the link",
        )


def replace_text(path: Path, text: str) -> None:
    """Have `path` hold `text`, whole or not at all; a pipe or a device, through whatever links,
    is written into and stays.

    Raises PlaceError E0202 where a symbolic link to anything else, or to nothing, is there: to
    replace it would take the machine's /dev/stdout away where that is sent to a file.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        return
    replace_file(path, lambda file: file.write(text.encode("utf-8", "backslashreplace")))


def replace_file(path: Path, fill: Callable[[HashedFile], object]) -> str:
    """Have `path` hold what `fill` writes, whole or not at all; the sha256 of it, in hex.

    Raises PlaceError E0202 where a symbolic link is there.
    """
    refuse_link(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    file = HashedFile(temporary)
    try:
        fill(file)
        file.close()
        os.replace(temporary, path)
    except BaseException:
        file.abandon()
        temporary.unlink(missing_ok=True)
        raise
    return file.digest.hexdigest()
