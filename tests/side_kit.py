"""Catalogues, laws and histories of tests, made as a build makes them: in files, then mapped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.axis import Popularity, Uniform, Weighing, put_laws
from rankdistill.catalogue.history import History, put_history
from rankdistill.catalogue.items import Catalogue, put_catalogue
from rankdistill.catalogue.law import Law
from rankdistill.samples.negative_options import NegativesOptions, weighings


def make_catalogue(
    item_id: pa.Array | pa.ChunkedArray, counts: Mapping[str, np.ndarray]
) -> Catalogue:
    """Of rows in any order, counts int64 [n] each."""
    columns = {f"num_{name}": np.asarray(count, np.int64) for name, count in counts.items()}
    rows = pa.table({"item_id": item_id, **columns}).to_batches()
    with TemporaryDirectory() as folder:
        put_catalogue(Path(folder), rows, item_id.type, list(counts), len(item_id))
        return Catalogue.load(Path(folder), list(counts))


def make_laws(
    catalogue: Catalogue, seed: int, given: NegativesOptions | Mapping[str, Weighing]
) -> dict[str, Law]:
    """Of the sources that the options use, or by name."""
    wanted = weighings(given) if isinstance(given, NegativesOptions) else given
    with TemporaryDirectory() as folder:
        put_laws(Path(folder), catalogue, seed, wanted)
        return {name: Law.load(Path(folder), name) for name in wanted}


def uniform(catalogue: Catalogue, seed: int) -> Law:
    return make_laws(catalogue, seed, {"a": Uniform()})["a"]


def popularity(
    catalogue: Catalogue, seed: int, *, count_of: str, alpha: float = 0.75, c: float = 1.0
) -> Law:
    return make_laws(catalogue, seed, {"a": Popularity(count_of, alpha, c)})["a"]


def make_history(responses: pa.Table) -> History:
    with TemporaryDirectory() as folder:
        put_history(Path(folder), responses.to_batches(), len(responses))
        return History.load(Path(folder))
