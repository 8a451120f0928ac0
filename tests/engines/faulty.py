"""The work of a build with a fault in it, for Spark's workers: they import it by this name.

A test puts a `Faulty` in the place of `one_pass.work` in `rankdistill.build`.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rankdistill.engines.query import Row
from rankdistill.lists.group import Grouped
from rankdistill.one_pass import Recipe, work

WHY = "a fault that was put there"
SLEEP_SECONDS = 60.0
WHEN = ("before", "amid", "after")


@dataclass(frozen=True)
class Faulty:
    """What goes wrong in the task of `partition`.

    fault: one of FAULTS. when: before the task's first batch, amid its batches, or after its
    parts were written. folder: takes the mark that it struck; where Spark keeps its shuffle files.
    """

    fault: str
    partition: int
    when: str
    folder: str

    def __call__(self, recipe: Recipe, batches: Iterable[Grouped], task: str) -> Iterator[Row]:
        def fed() -> Iterator[Grouped]:
            for batch in batches:
                yield batch
                self._at("amid")

        self._at("before")
        rows = list(work(recipe, fed(), task))
        self._at("after")
        yield from rows

    @property
    def mark(self) -> Path:
        return Path(self.folder) / "struck"

    def _at(self, when: str) -> None:
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        if when == self.when and context.partitionId() == self.partition:
            FAULTS[self.fault](self)

    def strikes_first(self) -> bool:
        """Whether this is the first time, in whatever process."""
        try:
            os.close(os.open(self.mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


def _throws_once(faulty: Faulty) -> None:
    if faulty.strikes_first():
        raise RuntimeError(WHY)


def _dies_once(faulty: Faulty) -> None:
    if faulty.strikes_first():
        os._exit(9)


def _is_slow_once(faulty: Faulty) -> None:
    """So slow that another attempt is made beside it, and ends first."""
    if faulty.strikes_first():
        time.sleep(SLEEP_SECONDS)


def _loses_shuffle(faulty: Faulty) -> None:
    """All that was shuffled so far is gone; some tasks have fetched theirs."""
    if faulty.strikes_first():
        for file in Path(faulty.folder).rglob("shuffle_*"):
            file.unlink(missing_ok=True)


def _throws(faulty: Faulty) -> None:
    raise RuntimeError(WHY)


def _dies(faulty: Faulty) -> None:
    os._exit(9)


def _lacks_memory(faulty: Faulty) -> None:
    raise MemoryError("Unable to allocate 9.00 TiB")


def _lacks_disk(faulty: Faulty) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/there/part.parquet")


def _lacks_rights(faulty: Faulty) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/there/part.parquet")


FAULTS: Mapping[str, Callable[[Faulty], None]] = {
    "throws once": _throws_once,
    "dies once": _dies_once,
    "is slow once": _is_slow_once,
    "loses shuffle": _loses_shuffle,
    "throws": _throws,
    "dies": _dies,
    "lacks memory": _lacks_memory,
    "lacks disk": _lacks_disk,
    "lacks rights": _lacks_rights,
}
