"""The sample of a list that relaxed ranking distillation learns: an order, and what is below it.

Drawn afresh while training, for one loss; no table is made of it. Shapes: R requests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from rankdistill.config import Options
from rankdistill.lists.batch import Lists, segment_sum, spans
from rankdistill.samples.lots import Lots, draw_uniform, draw_weighted


class OrderSampleOptions(Options):
    """num: interesting candidates, of those with a teacher rank r up to `top` by exp(-r / decay);
    others: uniform of the rest."""

    num: int = Field(20, ge=1, le=10_000)
    top: int = Field(100, ge=1)
    decay: float = Field(10.0, gt=0)
    others: int = Field(20, ge=1, le=10_000)


@dataclass(frozen=True)
class OrderSample:
    """T candidates, request by request in the order of the list. request: index of the request;
    item: candidate index; place: from 1 for the interesting ones, 0 for the others; all int64."""

    request: np.ndarray
    item: np.ndarray
    place: np.ndarray


def order_sample(
    lists: Lists, options: OrderSampleOptions, seed: int, epoch: int = 0
) -> OrderSample:
    """What is drawn of every request (Kang et al. 2020); all of the top, or of the rest, where
    there are not more."""
    lots = Lots(seed, epoch, lists.request_key)
    rank = lists.teacher_rank
    is_top = (rank > 0) & (rank <= options.top)
    num_top = segment_sum(is_top, lists.offsets)

    # Those with a teacher rank stand first, by it, and so do the top of them.
    candidate = spans(lists.offsets[:-1], num_top)
    bounds = np.concatenate([[0], np.cumsum(num_top)])
    request, place = lists.request[candidate], lists.place[candidate]
    log_weight = -rank[candidate] / options.decay
    drawn = draw_weighted(
        lots, "order.interesting", bounds, request, place, log_weight, options.num
    )

    rest = lists.lengths - num_top
    every = np.arange(lists.num_requests)
    row, index = draw_uniform(lots, "order.others", every, 0, rest, options.others)
    others = (lists.offsets[:-1] + num_top)[row] + index

    item = np.sort(np.concatenate([candidate[drawn], others]))
    request = lists.request[item]
    num_drawn = np.minimum(num_top, options.num)
    first = np.searchsorted(request, every)
    nth = 1 + np.arange(len(item)) - first[request]
    return OrderSample(request, item, np.where(nth <= num_drawn[request], nth, 0))
