"""Stored parts read back: the one place that knows what a damaged one looks like (E0204)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.errors import PlaceError
from rankdistill.store.parts import Part


def read_part(
    file: str | Path, columns: Sequence[str] | None = None, *, batch_rows: int = 65_536
) -> Iterator[pa.RecordBatch]:
    """The rows of one part in order, page checksums verified, without dt.

    A batch has at most `batch_rows` rows and never crosses a row group, so that a batch of
    lists is bounded in elements too. Raises PlaceError E0204 where the file is not what was
    written, or not there.
    """
    num_rows = 0
    with opened(file) as parquet:
        for group in range(parquet.num_row_groups):
            for batch in parquet.iter_batches(batch_rows, row_groups=[group], columns=columns):
                num_rows += batch.num_rows
                yield batch
        # Checksums cover pages, not their headers: a flip there may lose rows without a word.
        if num_rows != parquet.metadata.num_rows:
            raise damaged(file, f"{num_rows} rows instead of {parquet.metadata.num_rows}")


def count_rows(file: str | Path) -> int:
    """Rows of one part, by its footer. Raises as `read_part`."""
    with opened(file) as parquet:
        return int(parquet.metadata.num_rows)


def part_table(file: str | Path, columns: Sequence[str]) -> pa.Table:
    """These columns of one part at once. Raises as `read_part`."""
    with opened(file) as parquet:
        return whole_table(file, parquet, columns)


def whole_table(file: str | Path, parquet: pq.ParquetFile, columns: Sequence[str]) -> pa.Table:
    """The same of a part that is `opened`."""
    table = parquet.read(columns=list(columns))
    if table.num_rows != parquet.metadata.num_rows:
        raise damaged(file, f"{table.num_rows} rows instead of {parquet.metadata.num_rows}")
    return table


def refuse_damaged(file: str | Path, columns: Sequence[str]) -> None:
    """Raises as `read_part` of `columns`: for engines, which do not verify page checksums."""
    for _ in read_part(file, columns):
        pass


@contextmanager
def opened(file: str | Path) -> Iterator[pq.ParquetFile]:
    """A part, and whatever its reading raises inside as PlaceError E0204."""
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            yield parquet
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as fault:
        reason = "no such file" if isinstance(fault, FileNotFoundError) else str(fault)
        raise damaged(file, reason) from fault


def damaged(file: str | Path, reason: str) -> PlaceError:
    """A stored file is not what was written: every reader of one tells it so."""
    return PlaceError(
        "E0204",
        f"a part of the data set is damaged or lost: {file}",
        found=next(iter(reason.splitlines()), None),
        help="rankdistill verify names all that are; restore them from a copy, or build their dt "
        "again with --force",
    )


def fault(file: Path, part: Part) -> str | None:
    """What is wrong with a part, by size and footer; None where nothing is."""
    if file.is_symlink() or not file.is_file():
        return "no such file"
    if (size := file.stat().st_size) != part.num_bytes:
        return f"{size} bytes instead of {part.num_bytes}"
    try:
        num_rows = pq.read_metadata(file).num_rows
    except (pa.ArrowInvalid, OSError) as error:
        return f"unreadable footer ({error})"
    return None if num_rows == part.num_rows else f"{num_rows} rows instead of {part.num_rows}"
