"""The kernels by name: options, kernel, and the gather that makes its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from rankdistill.config import Options
from rankdistill.lists.batch import Lists
from rankdistill.samples.gather import lists_table, negatives_table, pairs_table, points_table
from rankdistill.samples.listwise import ListwiseOptions, listwise
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.negatives import negatives
from rankdistill.samples.pairwise import PairwiseOptions, pairwise
from rankdistill.samples.pointwise import PointwiseOptions, pointwise
from rankdistill.samples.side import Side

NOTHING = Side()


@dataclass(frozen=True)
class Sampler:
    """options: its class; kernel(lists, options, seed, epoch=, side=) -> rows with `counts`;
    table(lists, rows, side) -> the table of that name."""

    options: type[Options]
    kernel: Callable[..., Any]
    table: Callable[[Lists, Any, Side], pa.RecordBatch]

    def draw(
        self, lists: Lists, options: Any, seed: int, side: Side = NOTHING, epoch: int = 0
    ) -> Any:
        """The rows of a batch, as indices; side: what `options.needs` names."""
        return self.kernel(lists, options, seed, epoch=epoch, side=side)

    def gather(self, lists: Lists, rows: Any, side: Side = NOTHING) -> pa.RecordBatch:
        """The table of what was drawn."""
        return self.table(lists, rows, side)


SAMPLERS = {
    "pointwise": Sampler(
        PointwiseOptions, pointwise, lambda lists, rows, side: points_table(lists, rows)
    ),
    "pairwise": Sampler(
        PairwiseOptions, pairwise, lambda lists, rows, side: pairs_table(lists, rows)
    ),
    "listwise": Sampler(
        ListwiseOptions,
        lambda lists, options, seed, epoch, side: listwise(lists, options, seed, epoch),
        lambda lists, rows, side: lists_table(lists, rows),
    ),
    "negatives": Sampler(NegativesOptions, negatives, negatives_table),
}
