"""Popular positives thinned out and rare ones repeated, by their share of the catalogue's counts.

As word2vec subsamples frequent words (Mikolov et al. 2013, in the form of its code): an item of
share f is wanted sqrt(t / f) + t / f times.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np
from pydantic import Field

from rankdistill.catalogue.items import Catalogue
from rankdistill.config import Options
from rankdistill.hashing import unit, xxh64
from rankdistill.lists.batch import Lists
from rankdistill.samples.facts import LogFacts
from rankdistill.samples.lots import Lots
from rankdistill.samples.rows import Pairs, Points
from rankdistill.samples.side import Side


class DebiasOptions(Options):
    """t: the share from which on a positive is thinned (1.6 t and below are kept whole).

    count_of: what shares are counted by: click, positive, exposed, ...; None = positive.
    most: copies of a rare positive at most; 1 = none is repeated.
    store: inclusion = positives are dropped or repeated by hash; a row's weight counts its
    copies, its probability is multiplied by their expected number. weight = every positive
    stays, and its weight is multiplied by that number.
    """

    t: float = Field(default=1e-3, gt=0, le=1)
    count_of: str = "positive"
    most: int = Field(default=1, ge=1, le=100)
    store: Literal["inclusion", "weight"] = "inclusion"

    def refuse(self, facts: LogFacts) -> list[str]:
        """Why shares cannot be counted so on such a log."""
        known = (*COUNTED, *facts.feedback)
        if self.count_of in known:
            return []
        return [f"debias.count_of {self.count_of} is not counted; known are {', '.join(known)}"]


COUNTED = ("recalled", "preranked", "ranked", "reranked", "exposed", "positive")


Rows = TypeVar("Rows", Points, Pairs)


def debiased(
    rows: Rows, items: np.ndarray, lists: Lists, options: DebiasOptions, side: Side, lots: Lots
) -> Rows:
    """`rows` with those of popular positives thinned out and those of rare ones repeated.

    items: int64 [T], the positive of each row as candidate index, -1 for rows without one. All
    rows of a positive share its fate. Nothing else is drawn by it: probabilities stay exact.
    """
    assert side.catalogue is not None, "debias needs a catalogue"
    of_row = items >= 0
    distinct, which = np.unique(items[of_row], return_inverse=True)
    expected = expected_copies(lists, distinct, options, side.catalogue)
    factor = np.ones(len(items))
    if options.store == "weight":
        factor[of_row] = expected[which]
        return replace(rows, weight=rows.weight * factor)
    number = copies(lots, lists.request[distinct], lists.place[distinct], expected)
    weight, kept = np.ones(len(items)), np.ones(len(items), dtype=bool)
    weight[of_row], factor[of_row] = number[which], expected[which]
    kept[of_row] = number[which] > 0
    columns = {
        name: values[kept]
        for name, values in vars(rows).items()
        if isinstance(values, np.ndarray) and name not in ("weight", "probability")
    }
    counts = {
        **rows.counts,
        "rows": int(kept.sum()),
        "requests_without_row": lists.num_requests - len(np.unique(rows.request[kept])),
        "debias.dropped": int((~kept).sum()),
        "debias.repeated": int((weight > 1).sum()),
    }
    weight, probability = (rows.weight * weight)[kept], (rows.probability * factor)[kept]
    return replace(rows, weight=weight, probability=probability, counts=counts, **columns)


def expected_copies(
    lists: Lists, items: np.ndarray, options: DebiasOptions, catalogue: Catalogue
) -> np.ndarray:
    """How often each of the candidates `items` [T] is wanted; float64 [T] in (0, most].

    An item that was never counted is wanted `most` times.
    """
    key = xxh64(lists.candidates.column("item_id").take(items))
    found, count = catalogue.find(key), np.zeros(len(items))
    total = catalogue.totals[options.count_of]
    count[found >= 0] = catalogue.counts[options.count_of][found[found >= 0]]
    wanted = np.full(len(items), float(options.most))
    ratio = options.t * total / count[count > 0]
    wanted[count > 0] = np.minimum(np.sqrt(ratio) + ratio, options.most)
    return wanted


def copies(lots: Lots, request: np.ndarray, place: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Whole numbers whose mean over seeds is `expected`, by hash of request and place; int64."""
    return np.floor(expected + unit(lots.bits("debias", request, place, 0))).astype(np.int64)
