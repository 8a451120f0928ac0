"""gc: old builds are forgotten, and files that no build names any more are removed.

Only files under a prefix that we recorded (<table>/<build_id>/dt=*/*, of the ENDINGS of parts and
arrays), and only where that build is over; and rows of `builds` that are forgotten. Nothing else,
ever.
"""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path

from rankdistill import arrays, buckets
from rankdistill.store import builds, delta, staging
from rankdistill.store.builds import Build
from rankdistill.store.delta import ConflictError
from rankdistill.store.publish import align_heads, named_by

ENDINGS = (".parquet", arrays.ENDING, buckets.ENDING)


def gc(root: Path, *, retention_hours: float, keep_builds: int, dry_run: bool) -> list[str]:
    """The files removed (dry_run: to be removed), relative to `root`, sorted.

    A build is forgotten once it is not among the newest `keep_builds` and was replaced more
    than `retention_hours` ago. What a dead build left goes at once.
    """
    assert keep_builds >= 1, keep_builds
    # First who lives, then what is named: one that is over by now publishes nothing later.
    records = staging.records(root)
    live = {record.build_id for record in records if record.is_live(retention_hours)}
    over = [record for record in records if record.build_id not in live]
    kept = _forget(root, retention_hours, keep_builds, dry_run)

    used = set(map(Path, named_by(root, kept)))
    doomed = {path for record in over for path in _parts_under(root, record.build_id)} - used
    if live:
        # Their commits must not be crossed by ours, so what a head still names waits.
        doomed -= _in_heads(root)
    elif not dry_run:
        align_heads(root)
    doomed |= _unnamed_rows(root, retention_hours, kept)

    if not dry_run:
        for path in sorted(doomed):
            (root / path).unlink(missing_ok=True)
        for record in over:
            _tidy(root, record)
    return sorted(map(str, doomed))


def discard(root: Path, build_id: str) -> None:
    """Remove the parts of a build that was refused; `gc` has nothing left to find but its record.

    The record stays, as a task that is not quite dead may write one more part. What a head names
    is left to `gc`, which puts the heads right first.
    """
    for path in _parts_under(root, build_id) - _in_heads(root):
        (root / path).unlink(missing_ok=True)
    _remove_empty(root, build_id)


def bytes_under(root: Path, build_id: str) -> int:
    """What the parts below one prefix take."""
    return sum((root / path).stat().st_size for path in _parts_under(root, build_id))


def _forget(root: Path, retention_hours: float, keep_builds: int, dry_run: bool) -> list[Build]:
    """Forget old builds; those that are left."""
    while True:
        before = builds.history(root)
        every = builds.every(root)
        limit = time.time() - retention_hours * 3600
        old = {
            build.number
            for build, successor in pairwise(every)
            if build.number <= every[-1].number - keep_builds
            and successor.created_at.timestamp() <= limit
        }
        try:
            if not dry_run:
                builds.forget(root, old, before)
            return [build for build in every if build.number not in old]
        except ConflictError:
            continue


def _parts_under(root: Path, build_id: str) -> set[Path]:
    """The parts below one prefix; symbolic links are neither followed nor taken."""
    found = set()
    for table in staging.tables(root):
        prefix = root / table / build_id
        if prefix.is_symlink() or not prefix.is_dir():
            continue
        for folder in os.scandir(prefix):
            if folder.name.startswith("dt=") and folder.is_dir(follow_symlinks=False):
                found |= {
                    Path(file.path).relative_to(root)
                    for file in os.scandir(folder)
                    if file.name.endswith(ENDINGS) and file.is_file(follow_symlinks=False)
                }
    return found


def _in_heads(root: Path) -> set[Path]:
    tables = [table for table in staging.tables(root) if delta.is_table(root / table)]
    return {Path(table, path) for table in tables for path in delta.head(root / table).files}


def _unnamed_rows(root: Path, retention_hours: float, kept: list[Build]) -> set[Path]:
    """Files of builds that are forgotten (or would be), and of rows that lost their
    compare-and-swap: of a number that the table has. One beyond may be committed this moment."""
    folder = root / builds.TABLE
    limit = time.time() - retention_hours * 3600
    files = [file for file in folder.glob("*.parquet") if file.is_file() and not file.is_symlink()]
    old = {file for file in files if file.stat().st_mtime <= limit}
    # The listing comes first: a row committed since is then in the head.
    numbers = {build.number for build in kept}
    newest = max(numbers, default=0)
    there = {name: builds.number_of(name) for name in delta.head(folder).files}
    named = {name for name, number in there.items() if number in numbers or number > newest}
    taken = max(there.values(), default=0)
    return {
        file.relative_to(root)
        for file in old
        if file.name not in named and builds.number_of(file.name) <= taken
    }


def _tidy(root: Path, record: staging.Record) -> None:
    """Remove the folders of a prefix that are empty, and the record of one that is gone."""
    if not _remove_empty(root, record.build_id):
        record.path.unlink(missing_ok=True)


def _remove_empty(root: Path, build_id: str) -> bool:
    """Remove the empty folders of a prefix; whether anything is left of it."""
    left = False
    for table in staging.tables(root):
        prefix = root / table / build_id
        if prefix.is_dir() and not prefix.is_symlink():
            for folder in [*prefix.glob("dt=*"), prefix]:
                if not folder.is_symlink() and folder.is_dir() and not os.listdir(folder):
                    folder.rmdir()
            left |= prefix.exists()
    return left
