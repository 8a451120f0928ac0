"""How many rows a kind can draw at most, told from list lengths alone: a build draws of so few
lists at once that it stays small, and refuses what would blow up; `plan` tells it.

Shapes: n int64 [R], candidates per request; k, the highest rank of a positive (None: any).
Bounds hold where teacher ranks differ; a log with tied ranks may have more than k positives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from rankdistill.errors import InputError
from rankdistill.lists.batch import Lists
from rankdistill.samples.gains import delta_ndcg, normalised_gain
from rankdistill.samples.pair_field import PairField
from rankdistill.samples.strategies import DeltaNdcgPairs

# Rows of a kind that are drawn at once, and those that one request may give at most.
MOST_ROWS, MOST_OF_A_REQUEST = 5_000_000, 50_000_000


def pairs_of(n: np.ndarray, k: int | None, per_positive: int | None = None) -> np.ndarray:
    """Pairs of the places 1 .. k with later ones, at most `per_positive` for each, int64 [R]."""
    top = n if k is None else np.minimum(n, k)
    # Places up to n - per_positive have that many behind them; later ones have n - place.
    full = 0 * n if per_positive is None else np.clip(n - per_positive, 0, top)
    rest = (top - full) * n - (top * (top + 1) - full * (full + 1)) // 2
    return full * (per_positive or 0) + rest


# strategy -> most pairs of each request
MOST_PAIRS: dict[str, Callable[[np.ndarray, int | None, Any], np.ndarray]] = {
    "random": lambda n, k, o: pairs_of(n, k, o.num_pair_per_sample),
    "adjacent": lambda n, k, o: pairs_of(n, k, 1),
    "topk": lambda n, k, o: pairs_of(n, k),
    "mean": lambda n, k, o: np.minimum(n * o.num_pair_per_sample, pairs_of(n, k)),
    "all": lambda n, k, o: pairs_of(np.minimum(n, o.max_length), k),
    "stage": lambda n, k, o: (
        (n if k is None else np.minimum(n, k))
        * np.clip(n - 1, 0, o.num_pair_per_sample)  # an earlier stage may be ranked before
    ),
    "margin": lambda n, k, o: pairs_of(n, k, o.num_pair_per_sample),
    "delta_ndcg": lambda n, k, o: np.minimum(o.num_pairs, pairs_of(np.minimum(n, o.max_length), k)),
}


def most_drawn(options: Any, lengths: np.ndarray) -> np.ndarray:
    """Rows of a kind that each request gives at most before a cap thins them, int64 [R]."""
    if getattr(options, "max_pairs_per_request", None) is not None:
        options = options.model_copy(update={"max_pairs_per_request": None})
    most: np.ndarray = options.most_rows(lengths)
    return most


def not_too_many(kinds: Mapping[str, Any], lists: Lists) -> Iterator[Lists]:
    """`lists` in pieces of which no kind draws more than about MOST_ROWS rows at once.

    Raises InputError E0305 where one request alone could give MOST_OF_A_REQUEST.
    """
    cost = np.zeros(lists.num_requests, dtype=np.int64)
    for kind, options in kinds.items():
        most = most_drawn(options, lists.lengths)
        if most.max(initial=0) > MOST_OF_A_REQUEST:
            raise _blow_up(kind, most, lists)
        cost = np.maximum(cost, most)
    return lists.pieces(cost, MOST_ROWS)


def _blow_up(kind: str, most: np.ndarray, lists: Lists) -> InputError:
    at = int(np.argmax(most))
    request_id = lists.requests.column("request_id")[at].as_py()
    within = "top_k and the pairs per positive" if kind == "pairwise" else "what a positive draws"
    return InputError(
        "E0305",
        f'{kind} would draw up to {int(most[at]):,} rows of request "{request_id}", which has '
        f"{int(lists.lengths[at]):,} candidates",
        found=f"more than {MOST_OF_A_REQUEST:,}, the most that one request may give",
        help=f"lower samples.{kind} ({within}), or log.max_candidates",
    )


def never_drawn(lists: Lists, strategy: DeltaNdcgPairs, top_k: int | None) -> tuple[int, int]:
    """(pairs that a `delta_ndcg` draw never takes because both grades are one, all pairs)."""
    field = PairField(lists, top_k, ~lists.responded)
    span = field.later(strategy.max_length)
    gain = normalised_gain(lists, strategy)
    num_flat = num_pairs = 0
    for rows in field.blocks(span):
        row, neg = field.every(span, rows)
        size = delta_ndcg(lists, gain, field.positives.items[row], neg)
        num_flat += int((size <= 0).sum())
        num_pairs += len(neg)
    return (0 if strategy.floor > 0 else num_flat), num_pairs
