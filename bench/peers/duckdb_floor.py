"""What any build on DuckDB pays: read, sort, hand over as Arrow, write as many bytes as ours.

duckdb_floor.py LAYOUT LOG OUT --written FILE: the rows to be written lie ready in FILE (Arrow IPC,
mapped, not decoded), and a row group of them is written whenever as large a share of the log has
arrived. Nothing is mapped, judged, drawn, gathered, counted, hashed, synced or committed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bench.peers.command_line import chosen

COLUMNS = "request_id, user_id, request_time, item_id, rank, teacher_score, position, click"
# As our engine asks DuckDB for a log: its order, and the rows that it hands over at once.
LAYOUTS = {"rows": ("ORDER BY request_id, rank", 1_000_000), "lists": ("", 8192)}
NUM_WRITERS, GROUP = 2, 1_048_576


def written(path: str) -> pa.Table:
    """The rows of an Arrow IPC file, mapped."""
    return pa.ipc.open_file(pa.memory_map(path)).read_all()


def writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Parquet as our parts have it."""
    packed = {name: "DELTA_BINARY_PACKED" for name in schema.names if name.endswith("item_id")}
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in schema.names if name not in packed],
        dictionary_pagesize_limit=65_536,
        column_encoding=packed,
        write_page_checksum=True,
        store_schema=False,
    )


def main() -> None:
    given = chosen("--written")
    out = Path(given.out)
    pa.set_memory_pool(pa.system_memory_pool())  # as ours: see engines/duckdb.py
    rows = written(given.written)
    groups = [rows.slice(at, GROUP) for at in range(0, len(rows), GROUP)]
    order, at_once = LAYOUTS[given.layout]
    connection = duckdb.connect(config={"temp_directory": f"{out}.spill"})
    found = connection.sql(f"SELECT {COLUMNS} FROM read_parquet('{given.log}') {order}")
    num_rows, seen, due = pq.read_metadata(given.log).num_rows, 0, 0
    out.mkdir()
    with ExitStack() as stack:
        files = [
            stack.enter_context(writer(out / f"{number}.parquet", rows.schema))
            for number in range(NUM_WRITERS)
        ]
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in files]
        for batch in found.to_arrow_reader(at_once):
            seen += batch.num_rows
            while due < len(groups) * seen // num_rows:
                number = due % NUM_WRITERS
                threads[number].submit(files[number].write_table, groups[due], GROUP)
                due += 1


if __name__ == "__main__":
    main()
