"""How far an export is from its run: differences of vectors and scores, recall of the index.

Shapes: R users drawn to compare by, I items, d numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from rankdistill.catalogue.nearest import Excluded, Nearest, nearest, score_pairs
from rankdistill.catalogue.nearest import Vectors as Searched
from rankdistill.errors import TrainingError
from rankdistill.student.chunk import Encoded
from rankdistill.student.scoring import Scorer
from rankdistill.student.serving.tower import Vectors

TOLERANCE = 1e-5  # of a number as large as 1; of larger ones in proportion
SAME_TOP, MIN_SAME = 10, 0.999
_BLOCK = 4096


def run_vectors(scorer: Scorer, users: Encoded) -> tuple[np.ndarray, ...]:
    """What the run's student makes of the users: [R, d] for each objective."""
    with torch.no_grad():
        served = scorer.student.users(scorer.inputs(users))
        numbers = range(1, len(scorer.objectives))
        return (served.numpy(), *(scorer.student.heads(served, n).numpy() for n in numbers))


def program_parity(
    name: str, vectors: Vectors, arrays: Sequence[np.ndarray], own: Sequence[np.ndarray]
) -> tuple[dict[str, Any], np.ndarray]:
    """(how far the program's vectors are from the run's (`own`), the served ones).

    TrainingError E0504 where it is further than rounding.
    """
    pieces = []
    for first in range(0, len(arrays[0]), _BLOCK):
        pieces.append(vectors(*(each[first : first + _BLOCK] for each in arrays)))
    found = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
    away = max(float(np.abs(a - b).max(initial=0)) for a, b in zip(found, own, strict=True))
    largest = max(float(np.abs(each).max(initial=0)) for each in own)
    if not away <= TOLERANCE * max(1.0, largest):
        raise unlike(name, f"vectors differ by {away:.3g}, the largest number is {largest:.3g}")
    return {"rows": len(own[0]), "max_abs_diff": away}, found[0]


def score_parity(
    scorer: Scorer, users: Encoded, vectors: np.ndarray, items: Encoded, item_value: np.ndarray
) -> dict[str, Any]:
    """How far inner products of exported vectors are from the logits of the run's student, user i
    against item i. vectors: of the users [R, d]; item_value: of the items [R, d]."""
    own = np.arange(len(vectors))
    with torch.no_grad():
        at = torch.from_numpy(own)
        logits = scorer.student(scorer.inputs(users), scorer.inputs(items), at, at).numpy()
    served = (vectors.astype(np.float64) * item_value).sum(1)
    away = float(np.abs(served - logits).max(initial=0))
    size = float((np.abs(vectors) * np.abs(item_value)).sum(1).max(initial=0))
    if not away <= TOLERANCE * max(1.0, size):
        raise unlike("vectors", f"scores differ by {away:.3g}")
    return {"rows": len(own), "max_abs_diff": away}


def same_top(own: np.ndarray, found: np.ndarray, items: Searched, name: str) -> float:
    """The share of users whose first SAME_TOP items are the same set by both vectors, items that
    tie counted as one. TrainingError E0504 where it is less than MIN_SAME."""
    wanted, other = (top(Searched.of(each), items, SAME_TOP) for each in (own, found))
    held = _hits(own, items, wanted, other.user, other.item, SAME_TOP)
    share = float((held == min(SAME_TOP, len(items.norm))).mean())
    if share < MIN_SAME:
        raise unlike(name, f"only {share:.2%} of users have the same first {SAME_TOP} items")
    return share


def top(users: Searched, items: Searched, k: int) -> Nearest:
    """The k best items of each user, exactly."""
    none = Excluded(np.zeros(len(users.norm) + 1, np.int64), np.zeros(0, np.int64))
    return nearest(users, items, k, none, "inner_product")


def index_recall(
    index: Any, vectors: np.ndarray, items: Searched, at: Sequence[int]
) -> dict[str, float]:
    """Of the exact first k items of each user, the share that the index finds among its first k
    ("k"), and among as many as are asked for at most ("k@m"); one that ties with the k-th counts
    as found."""
    found = {}
    wide = {f"{k}@{max(at)}": (k, max(at)) for k in at if k < max(at)}
    for name, (k, m) in ({str(k): (k, k) for k in at} | wide).items():
        num = min(k, len(items.norm))
        _, item = index.search(np.ascontiguousarray(vectors), min(m, len(items.norm)))
        user, place = np.nonzero(item >= 0)
        wanted = top(Searched.of(vectors), items, num)
        hits = _hits(vectors, items, wanted, user, item[user, place], num)
        found[name] = round(float(np.minimum(hits, num).mean() / num), 6)
    return found


def _hits(
    vectors: np.ndarray,
    items: Searched,
    wanted: Nearest,
    user: np.ndarray,
    item: np.ndarray,
    k: int,
) -> np.ndarray:
    """How many of the given items are as good as the k-th wanted one, of each user, int64 [R]."""
    least = wanted.score.reshape(len(vectors), -1)[:, min(k, len(items.norm)) - 1]
    score = score_pairs(Searched.of(vectors), items, user, item, "inner_product")
    return np.bincount(user[score >= least[user]], minlength=len(vectors))


def unlike(name: str, found: str) -> TrainingError:
    return TrainingError(
        "E0504",
        f"the exported {name} does not score as the run does; nothing was exported",
        found=found,
        help="another version of torch or onnxruntime may; see constraints.txt",
    )
