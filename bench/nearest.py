"""The search of mined negatives alone, against plain NumPy and faiss: `python -m bench.nearest`.

Random vectors of 64 dimensions; the nearest 100 of 100,000 items for each of 2,048 users. One
thread each: NumPy's products take one where this is set before it is imported.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402

NUM_USERS, NUM_ITEMS, WIDTH, NUM_NEAREST = 2_048, 100_000, 64, 100
SEED, MEMORY = 1, 128_000_000  # as mine-negatives has it by default


def vectors() -> tuple[np.ndarray, np.ndarray]:
    """(users, items), float32."""
    made = np.random.default_rng(SEED)
    return tuple(made.standard_normal((n, WIDTH), np.float32) for n in (NUM_USERS, NUM_ITEMS))


def ours(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Blocked, and the same items on every machine: their scores are worked out in float64."""
    from rankdistill.catalogue.nearest import Excluded, Vectors, block_sizes, nearest

    nobody = Excluded(np.zeros(len(users) + 1, np.int64), np.zeros(0, np.int64))
    blocks = dict(
        zip(("block_users", "block_items"), block_sizes(NUM_NEAREST, MEMORY), strict=True)
    )
    sides = Vectors.of(users), Vectors.of(items)
    found = nearest(*sides, NUM_NEAREST, nobody, "inner_product", **blocks)
    return found.item.reshape(len(users), NUM_NEAREST)


def numpy(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """All scores at once, in float32."""
    scores = users @ items.T
    best = np.argpartition(-scores, NUM_NEAREST, axis=1)[:, :NUM_NEAREST]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
    return np.take_along_axis(best, order, axis=1)


def faiss(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """IndexFlatIP."""
    import faiss

    index = faiss.IndexFlatIP(WIDTH)
    index.add(items)
    return index.search(users, NUM_NEAREST)[1]


SEARCHES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "ours": ours,
    "numpy": numpy,
    "faiss": faiss,
}


def has_faiss() -> bool:
    from importlib.util import find_spec

    return find_spec("faiss") is not None


def main(name: str, out: str) -> None:
    """Search as `name`; what was found and the CPU seconds that it took go into the file `out`."""
    users, items = vectors()
    SEARCHES[name](users[:8], items)  # imports, and memory that is there
    before = time.process_time()
    found = SEARCHES[name](users, items)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, found=found, seconds=time.process_time() - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
