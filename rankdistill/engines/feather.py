"""Feather files as one Arrow table."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.feather

from rankdistill.log.files import Opened


def feather_table(opened: Opened, names: Sequence[str]) -> pa.Table:
    """The columns `names` of the files with their partition values, memory-mapped."""
    schema = pa.schema([opened.schema.field(name) for name in names])
    tables = []
    for file in opened.files:
        partition = dict(file.partition)
        own = [name for name in names if name not in partition]
        table = pyarrow.feather.read_table(file.path, columns=own, memory_map=True)
        for key in set(names) & set(partition):
            value = pa.scalar(partition[key], pa.string())
            table = table.append_column(key, pa.repeat(value, file.num_rows))
        tables.append(table.select(names).cast(schema))
    return pa.concat_tables(tables)
