"""What the draws of a day look into beside its lists: the catalogue, its laws, its history.

The driver puts them once into files of arrays in the build's hidden staging area; every task, of
whatever process or machine that sees it, maps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from rankdistill.catalogue.axis import Weighing, put_laws
from rankdistill.catalogue.history import History, put_history
from rankdistill.catalogue.items import Catalogue, put_catalogue
from rankdistill.catalogue.law import Law
from rankdistill.store.reading import count_rows, read_part

RESPONSES = ("user_id", "request_time", "item_id")
_BATCH_ROWS = 2**20


@dataclass(frozen=True)
class DaySide:
    """A folder of what a day looks into. Plain data: it travels to Spark's workers.

    counts: names of the catalogue's counts; laws: of its laws.
    """

    folder: str
    counts: tuple[str, ...]
    laws: tuple[str, ...]

    def catalogue(self) -> Catalogue:
        return Catalogue.load(Path(self.folder), self.counts)

    def law(self, name: str) -> Law:
        return Law.load(Path(self.folder), name)

    def history(self) -> History:
        return History.load(Path(self.folder))


def put_side(
    folder: Path,
    items: Sequence[str],
    counts: pa.Schema,
    responses: Sequence[str],
    weighings: Mapping[str, Weighing],
    seed: int,
) -> DaySide:
    """Everything that the draws of a day look into, into new files in `folder`.

    items: files of counts, columns `counts` (item_id, num_...); responses: files of that table.
    """
    side = DaySide(str(folder), count_names(counts), tuple(weighings))
    put_items(folder, items, counts)
    put_laws(folder, side.catalogue(), seed, weighings)
    put_history(folder, rows_of(responses, RESPONSES), num_rows(responses))
    return side


def put_items(folder: Path, files: Sequence[str], counts: pa.Schema) -> None:
    """The catalogue that files of counts hold."""
    item_id = counts.field("item_id").type
    rows = rows_of(files, counts.names)
    put_catalogue(folder, rows, item_id, count_names(counts), num_rows(files))


def count_names(counts: pa.Schema) -> tuple[str, ...]:
    return tuple(name.removeprefix("num_") for name in counts.names if name != "item_id")


def rows_of(files: Iterable[str], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of stored parts, some at once. Raises PlaceError E0204 where one is damaged."""
    for file in files:
        yield from read_part(file, columns, batch_rows=_BATCH_ROWS)


def num_rows(files: Iterable[str]) -> int:
    """By their footers. Raises as `rows_of`."""
    return sum(map(count_rows, files))


def size_of(side: DaySide) -> int:
    """Bytes of its files."""
    return sum(file.stat().st_size for file in Path(side.folder).iterdir())
