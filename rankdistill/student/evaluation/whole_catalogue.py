"""Where the responses of a request stand among all items, by blocks of matrix products.

Shapes: Q requests, I items, d numbers of a vector, P responses.
"""

from __future__ import annotations

import numpy as np

from rankdistill.hashing import mix, name_key
from rankdistill.lists.batch import segment_sum

CELLS = 2**23  # scores at a time
TIES = name_key("evaluate.catalogue")


def places(
    users: np.ndarray,
    items: np.ndarray,
    item_key: np.ndarray,
    request: np.ndarray,
    item: np.ndarray,
) -> np.ndarray:
    """The place, from 1, of item[p] among all items for request[p], int64 [P].

    users: float32 [Q, d]; items: float32 [I, d]; item_key: uint64 [I], by whose hash equal
    scores stand; request: ascending. A place is a count of what scores more: nothing is sorted.
    """
    found = np.empty(len(item), dtype=np.int64)
    draw = mix(TIES, item_key)
    step = max(1, CELLS // max(len(items), 1))
    for first in range(0, len(users), step):
        scores = users[first : first + step] @ items.T
        begin, end = np.searchsorted(request, [first, first + len(scores)])
        for at in range(begin, end):
            row = scores[request[at] - first]
            own = row[item[at]]
            above = np.count_nonzero(row > own)
            tied = np.flatnonzero(row == own)
            found[at] = 1 + above + np.count_nonzero(draw[tied] < draw[item[at]])
    return found


def columns(place: np.ndarray, offsets: np.ndarray, k: int, bound: str) -> dict[str, np.ndarray]:
    """NDCG, recall and reciprocal rank at k of requests whose responses stand at these places:
    name -> float64 [Q, 2]; a request without a response has none.

    place: [P], of request q at offsets[q] : offsets[q + 1]; bound: recall_of.
    """
    num = np.diff(offsets)
    within = place <= k
    gain = np.where(within, 1.0 / np.log2(1.0 + place), 0.0)
    ideal = np.cumsum(np.append(0.0, 1.0 / np.log2(1.0 + np.arange(1, k + 1))))
    most = ideal[np.minimum(num, k)]
    reach = np.minimum(num, k) if bound == "reachable" else num
    first = np.full(len(num), np.inf)
    np.minimum.at(first, np.repeat(np.arange(len(num)), num), np.where(within, place, np.inf))
    tops = {
        "catalogue_ndcg": (segment_sum(gain, offsets), most),
        "catalogue_recall": (segment_sum(within, offsets), reach),
        "catalogue_mrr": (1.0 / first, np.ones(len(num))),
    }
    held = (num > 0).astype(np.float64)
    return {
        name: np.stack([np.divide(top, bottom, out=np.zeros(len(num)), where=held > 0), held], 1)
        for name, (top, bottom) in tops.items()
    }
