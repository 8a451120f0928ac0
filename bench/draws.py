"""Draws from a large catalogue, alone: no lists, no files written, one core.

Zipf counts; the items to keep out are popular more often than not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.catalogue.axis import Popularity, put_laws
from rankdistill.catalogue.items import Catalogue, put_catalogue
from rankdistill.catalogue.law import Law, draw
from rankdistill.day_side import rows_of
from rankdistill.hashing import xxh64
from rankdistill.samples.lots import Lots

NUM_ITEMS, NUM_EXCLUDED, NUM_DRAW = 1_000_000, 200, 100
_BATCH = 2_500  # requests
_NONE = np.zeros(0, dtype=np.int64)


def tables(data: Path, num_requests: int) -> Path:
    """A folder with catalogue.parquet (item_id, exposed; Zipf) and requests.parquet
    (request_id, excluded: items, more of them popular), made where it is missing."""
    folder = data / f"draws-{num_requests}"
    if (folder / "requests.parquet").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    made = np.random.default_rng(1)
    ids = made.choice(2**62, NUM_ITEMS, replace=False)
    exposed = (10_000_000 / np.arange(1, NUM_ITEMS + 1)).astype(np.int64)
    order = made.permutation(NUM_ITEMS)
    catalogue = pa.table({"item_id": ids[order], "exposed": exposed[order]})
    pq.write_table(catalogue, folder / "catalogue.parquet")

    place = (NUM_ITEMS * made.random((num_requests, NUM_EXCLUDED)) ** 2).astype(np.int64)
    excluded = pa.FixedSizeListArray.from_arrays(pa.array(ids[place].ravel()), NUM_EXCLUDED)
    requests = {
        "request_id": made.choice(2**62, num_requests, replace=False),
        "excluded": excluded.cast(pa.list_(pa.int64())),
    }
    pq.write_table(pa.table(requests), folder / "requests.parquet", row_group_size=_BATCH * 4)
    return folder


def seconds(folder: Path, *, excluding: bool) -> float:
    """CPU seconds of `draw`, in batches as a build makes them; what it reads is in memory."""
    catalogue, law = _looked_into(folder / "catalogue.parquet")
    draw(law, Lots(1, 0, np.zeros(0, np.uint64)), "bench", _NONE, np.zeros(1, np.int64), _NONE)
    spent = 0.0
    for request_id, offsets, excluded in list(_batches(folder, catalogue)):
        if not excluding:
            offsets, excluded = np.zeros_like(offsets), _NONE
        num = np.full(len(request_id), NUM_DRAW)
        before = time.process_time()
        draw(law, Lots(1, 0, xxh64(request_id)), "bench", num, offsets, excluded)
        spent += time.process_time() - before
    return spent


def _looked_into(file: Path) -> tuple[Catalogue, Law]:
    """As a build makes them: in files, mapped."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        read = rows_of([str(file)], ("item_id", "exposed"))
        rows = (batch.rename_columns(["item_id", "num_exposed"]) for batch in read)
        put_catalogue(folder, rows, pa.int64(), ["exposed"], NUM_ITEMS)
        catalogue = Catalogue.load(folder, ["exposed"])
        put_laws(folder, catalogue, 1, {"popular": Popularity("exposed")})
        return catalogue, Law.load(folder, "popular")


def _batches(
    folder: Path, catalogue: Catalogue
) -> Iterator[tuple[pa.Array, np.ndarray, np.ndarray]]:
    """request_id, and what is excluded, as `draw` takes it."""
    for batch in pq.ParquetFile(folder / "requests.parquet").iter_batches(_BATCH):
        lists, num = batch.column("excluded"), batch.num_rows
        request = np.repeat(np.arange(num), np.diff(lists.offsets))
        packed = np.sort(request << 32 | catalogue.find(xxh64(lists.flatten())))
        packed = packed[np.diff(packed, prepend=-1) > 0]
        offsets = np.searchsorted(packed, np.arange(num + 1) << 32)
        yield batch.column("request_id"), offsets, packed & 0xFFFF_FFFF
