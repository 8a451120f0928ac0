"""What a build wrote as pairs, as rows that a floor writes again: python -m bench.written OUT FILE.

A process of its own: one that starts others passes its size on to what they are measured to be.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.store.dataset import DataSet


def main() -> None:
    out, file = map(Path, sys.argv[1:])
    parts = [out / "pairwise" / part.path for part in DataSet.open(out).parts("pairwise")]
    tables = [pq.read_table(part, read_dictionary=["split", "source"]) for part in parts]
    rows = pa.concat_tables(tables).unify_dictionaries()
    with pa.ipc.new_file(file, rows.schema) as sink:
        sink.write_table(rows, max_chunksize=1_048_576)


if __name__ == "__main__":
    main()
