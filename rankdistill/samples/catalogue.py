"""The three kernels by name: options, kernel, and the gather that makes its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from rankdistill.lists.batch import Lists
from rankdistill.samples.gather import lists_table, pairs_table, points_table
from rankdistill.samples.listwise import ListwiseOptions, listwise
from rankdistill.samples.pairwise import PairwiseOptions, pairwise
from rankdistill.samples.pointwise import PointwiseOptions, pointwise


@dataclass(frozen=True)
class Sampler:
    """options: its class; draw(lists, options, seed, epoch) -> rows with `counts`;
    gather(lists, rows) -> the table of that name."""

    options: type[PointwiseOptions] | type[PairwiseOptions] | type[ListwiseOptions]
    draw: Callable[..., Any]
    gather: Callable[[Lists, Any], pa.RecordBatch]


SAMPLERS = {
    "pointwise": Sampler(PointwiseOptions, pointwise, points_table),
    "pairwise": Sampler(PairwiseOptions, pairwise, pairs_table),
    "listwise": Sampler(ListwiseOptions, listwise, lists_table),
}
