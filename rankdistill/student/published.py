"""What an incremental run hands to serving: the embeddings of user ids that it changed.

Item vectors and networks stay those of the last full run.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from rankdistill.store.files import make_dirs, replace_file
from rankdistill.student.fields.encode import Fields, RowField
from rankdistill.student.vocabulary import Vocabulary
from rankdistill.student.warm import ID, WEIGHT, Before, same_values

FOLDER = "published"


def publish_users(
    folder: Path, weight: torch.Tensor, fields: Fields, before: Before
) -> list[dict[str, Any]]:
    """A table for each id field of users: the value (null: all others; of a hashed field its
    bucket, 0: null) and its embedding, of the rows that are new or not as in `before`.

    weight: float32 [V, D]. What run.json says of the files, as JSON values.
    """
    make_dirs(folder, FOLDER)
    known = {each.name: each for each in before.fields.own_rows()}
    found = []
    for each in fields.user:
        if not isinstance(each, RowField) or each.kind != ID:
            continue
        to, of = same_values(each, known.get(each.name))
        is_new = np.ones(each.coder.size, dtype=bool)
        same = (weight[torch.from_numpy(to)] == before.tensors[WEIGHT][torch.from_numpy(of)]).all(1)
        is_new[to - each.first] = ~same.numpy()
        rows = np.flatnonzero(is_new)
        file = f"{FOLDER}/{quote(each.name, safe='')}.parquet"
        digest = replace_file(folder / file, partial(pq.write_table, _table(each, rows, weight)))
        told = {"field": each.name, "rows": len(rows), "sha256": digest}
        found.append({"file": file, **told})
    return found


def _table(field: RowField, rows: np.ndarray, weight: torch.Tensor) -> pa.Table:
    """The values of these codes with their embeddings."""
    if isinstance(field.coder, Vocabulary):
        values = field.coder.id.take(pa.array(rows - 1, mask=rows == 0))
    else:
        values = pa.array(rows)
    held = weight[torch.from_numpy(field.first + rows)].numpy()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(held.reshape(-1)), held.shape[1])
    return pa.table({field.column: values, "vector": vectors})
