"""What a day looks into, put into files and drawn from: seconds, and memory of the process's own.

`python -m bench.mapped FOLDER NUM_ITEMS NUM_RESPONSES`, a process of its own, as its memory is
measured. Zipf counts; the tables are made piece by piece and kept.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.catalogue.axis import Popularity, Uniform, put_laws
from rankdistill.catalogue.history import put_history
from rankdistill.catalogue.law import Law, draw
from rankdistill.day_side import RESPONSES, DaySide, num_rows, put_items, rows_of
from rankdistill.hashing import mix
from rankdistill.samples.lots import Lots

_PIECE = 2**20
_SCHEMA = pa.schema([("item_id", pa.int64()), ("num_click", pa.int64())])
_LAWS = {"popular": Popularity("click"), "uniform": Uniform()}
_BATCH, _NUM_DRAW, _NUM_EXCLUDED = 2_500, 100, 200


def items(folder: Path, num: int) -> str:
    """A file of `num` items and their counts, made where it is missing."""

    def rows(place: np.ndarray) -> dict[str, Any]:
        return {"item_id": mix(place).view(np.int64), "num_click": num // (place + 1)}

    return _file(folder / f"items-{num}.parquet", num, rows)


def responses(folder: Path, num: int) -> str:
    """A file of `num` responses, some 50 of a user, within 30 days."""

    def rows(place: np.ndarray) -> dict[str, Any]:
        user = mix(1, place) % np.uint64(max(num // 50, 1))
        micros = (mix(2, place) % np.uint64(30 * 86_400_000_000)).view(np.int64)
        return {
            "user_id": user.view(np.int64),
            "request_time": pa.array(micros, pa.timestamp("us", tz="UTC")),
            "item_id": mix(3, place).view(np.int64),
        }

    return _file(folder / f"responses-{num}.parquet", num, rows)


def _file(path: Path, num: int, rows: Callable[[np.ndarray], dict[str, Any]]) -> str:
    if not path.exists():
        part = path.with_suffix(".part")
        writer = None
        for first in range(0, num, _PIECE):
            table = pa.table(rows(np.arange(first, min(first + _PIECE, num))))
            writer = writer or pq.ParquetWriter(part, table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()
        part.rename(path)
    return str(path)


def _anonymous() -> int:
    """Bytes of this process that are on no file."""
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@contextmanager
def measured(title: str) -> Iterator[None]:
    """Print how long the block took, and by how much anonymous memory grew at most."""
    before, done, peak = _anonymous(), threading.Event(), [0]

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], _anonymous())

    watching = threading.Thread(target=watch)
    watching.start()
    start, cpu = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        done.set()
        watching.join()
    grown = max(peak[0] - before, 0) / 1e6
    print(f"  {title:28}{wall:8.2f} s {cpu:8.2f} s CPU  own memory +{grown:,.0f} MB", flush=True)


def main(data: Path, num_items: int, num_responses: int) -> None:
    files = [items(data, num_items)], [responses(data, num_responses)]
    with TemporaryDirectory(dir=data) as name:
        folder = Path(name)
        side = DaySide(name, ("click",), tuple(_LAWS))
        with measured(f"catalogue, {num_items:,}"):
            put_items(folder, files[0], _SCHEMA)
        with measured("two laws"):
            put_laws(folder, side.catalogue(), 1, _LAWS)
        with measured(f"history, {num_responses:,}"):
            put_history(folder, rows_of(files[1], RESPONSES), num_rows(files[1]))
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"  on disk {size / 1e9:.2f} GB", flush=True)
        with measured("opened by a task"):
            law = side.law("popular")
            side.catalogue(), side.history()
        draws(law, "mapped")
        draws(_loaded(law), "in memory")


def _loaded(law: Law) -> Law:
    """The same as arrays of this process."""
    guide = replace(law.guide, values=law.edge.copy().view(np.uint64), first=law.guide.first.copy())
    given = {f.name: getattr(law, f.name) for f in fields(law)}
    own = {n: v.copy() for n, v in given.items() if isinstance(v, np.ndarray)}
    return Law(**{**given, **own, "guide": guide})


def draws(law: Law, title: str, num_batches: int = 40) -> None:
    """Draws of many requests with excluded items each; twice: pages of the first are warm then."""
    num = np.full(_BATCH, _NUM_DRAW)
    offsets = np.arange(_BATCH + 1) * _NUM_EXCLUDED
    step = len(law.order) // _NUM_EXCLUDED
    spread = np.arange(_NUM_EXCLUDED) * step
    for turn in ("first", "again"):
        with measured(f"draws, {title}, {turn}"):
            for batch in range(num_batches):
                key = mix(7, batch, np.arange(_BATCH))
                excluded = spread + (key % np.uint64(step)).astype(np.int64)[:, None]
                draw(law, Lots(1, 0, key), "bench", num, offsets, excluded.ravel())
    print(f"    of {num_batches * _BATCH * _NUM_DRAW / 1e6:.0f} M draws each", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
