"""Builds under way: each records its id before its first part, and holds a lock while it lives.

<root>/_staging/<build_id>.json stays until `gc` has found nothing more under that prefix: it
is what says that a folder <table>/<build_id> is ours. The lock (flock) goes with the process,
however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from uuid import uuid4

from rankdistill.private import FILE_MODE
from rankdistill.store.builds import TABLE as BUILDS
from rankdistill.store.builds import Build
from rankdistill.store.files import make_dirs, refuse_link, sync
from rankdistill.store.parts import Part, escape

FOLDER = "_staging"
MARKER = "rankdistill"  # the file that says that a folder without builds is ours


@dataclass(frozen=True)
class Staging:
    """A build under way. Parts go to PartWriter(root, build_id, ...).

    base: the data set as this build found it; None before the first build.
    heads: table -> its Delta version then. Together they tell what others changed since.
    Keep it until `publish`: the lock goes with it, and gc takes the parts of the unlocked.
    """

    build_id: str
    root: Path
    base: Build | None
    heads: Mapping[str, int]
    _lock: IO[str] = field(repr=False, compare=False)

    @property
    def is_there(self) -> bool:
        """Whether its record is where it was put."""
        return (self.root / FOLDER / f"{self.build_id}.json").exists()

    @property
    def is_over(self) -> bool:
        """Published, or given up."""
        return self._lock.closed

    def release(self) -> None:
        """No longer alive: what is not published is for `gc`."""
        self._lock.close()


@dataclass(frozen=True)
class Record:
    """A recorded prefix, of a build that lives or is over."""

    build_id: str
    path: Path
    host: str
    touched_at: float
    is_locked: bool

    def is_live(self, retention_hours: float) -> bool:
        """Locked, or of another machine, whose locks may not reach us, and recent."""
        is_far = self.host != socket.gethostname()
        return self.is_locked or (is_far and time.time() - self.touched_at < retention_hours * 3600)


def mark(root: Path) -> None:
    """Make `root` and put our marker into it."""
    make_dirs(root, FOLDER)
    if not (root / FOLDER / MARKER).exists():  # a build that is up to date writes nothing
        (root / FOLDER / MARKER).touch(FILE_MODE)
        sync(root / FOLDER)


def begin(root: Path, base: Build | None, heads: Mapping[str, int]) -> Staging:
    """Record a new prefix and lock it."""
    build_id = uuid4().hex
    facts = {"build_id": build_id, "pid": os.getpid(), "host": socket.gethostname()}
    make_dirs(root, FOLDER)
    draft = root / FOLDER / f".{build_id}"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    lock = os.fdopen(os.open(draft, flags, FILE_MODE), "w", encoding="utf-8")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    json.dump(facts, lock)
    lock.flush()
    os.fsync(lock.fileno())
    draft.rename(draft.with_name(f"{build_id}.json"))  # appears locked, never unlocked
    sync(root / FOLDER)
    return Staging(build_id, root, base, heads, lock)


def new_folder(root: Path, table: str, build_id: str, dt: str) -> Path:
    """A folder for what the tasks of a build share of a day; `gc` finds what is left in it."""
    inside = f"{table}/{build_id}/dt={escape(dt)}"
    make_dirs(root, inside)
    return root / inside


def remove_folder(root: Path, folder: Path) -> None:
    """Remove the files in a folder of a build under way, and the folders that held nothing else."""
    _remove(root, folder.iterdir())


def remove_parts(root: Path, parts: Iterable[Part]) -> None:
    """Remove parts of a build under way, and the folders that held nothing else."""
    _remove(root, (root / part.table / part.path for part in parts))


def _remove(root: Path, files: Iterable[Path]) -> None:
    for path in list(files):
        path.unlink(missing_ok=True)
        for folder in (path.parent, path.parent.parent, root / path.relative_to(root).parts[0]):
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def records(root: Path) -> list[Record]:
    """All recorded prefixes."""
    found = (_record(path) for path in sorted((root / FOLDER).glob("*.json")))
    return [record for record in found if record]


def tables(root: Path) -> list[str]:
    """Folders of `root` that hold or may hold tables of ours."""
    names = (entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    return sorted(name for name in names if name not in (FOLDER, BUILDS))


def refuse_links(root: Path) -> None:
    """PlaceError E0202 where a table, or its log, is a symbolic link: Delta would write there."""
    for folder in (Path(entry) for entry in os.scandir(root) if entry.is_dir()):
        refuse_link(folder)
        refuse_link(folder / "_delta_log")


def _record(path: Path) -> Record | None:
    try:
        with path.open("r+", encoding="utf-8") as file:
            host = json.load(file)["host"]
            is_locked = _is_locked(file)
            return Record(path.stem, path, host, path.stat().st_mtime, is_locked)
    except FileNotFoundError:
        return None  # another gc was quicker


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
