"""Approximate search with faiss, for catalogues too large to search item by item.

An index proposes; scores and order are the exact ones of `nearest`. What an index misses is
missed: an HNSW or IVF search of fewer items is what makes it fast.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from rankdistill.catalogue.nearest import Excluded, Metric, Nearest, Vectors, directed, rescored
from rankdistill.config import Options
from rankdistill.errors import ResourceError

_ASKED_BEYOND = 16  # float32 order and exact order may differ at the edge
_BLOCK = 65_536
_ITEMS_OF_MEAN = 39  # that faiss wants for a mean of k-means, and warns below


class ExactSearch(Options):
    """Every item is scored; nothing is missed."""

    kind: Literal["exact"] = "exact"


class FlatIndex(Options):
    """faiss IndexFlatIP: every item is scored, in float32."""

    kind: Literal["flat"] = "flat"


class HnswIndex(Options):
    """faiss IndexHNSWFlat (Malkov, Yashunin 2018). Neighbours by inner product would leave short
    items unlinked: it is over distances, where a further number makes all items equally long
    (Bachrach et al. 2014), which gives the same order."""

    kind: Literal["hnsw"] = "hnsw"
    neighbours: int = Field(32, ge=2, le=512, description="links of an item (M)")
    ef_construction: int = Field(200, ge=1)
    ef_search: int = Field(256, ge=1, description="at least what is asked for")


class Lists(Options):
    """lists: None = four times the square root of the number of items; probes: lists searched
    for a user, None = one in sixteen of them, and eight at least."""

    lists: int | None = Field(None, ge=1)
    probes: int | None = Field(None, ge=1)

    def fitted(self, num_items: int) -> tuple[int, int]:
        """(lists, probes) for so many items: k-means wants some of them for each list."""
        lists = self.lists or round(4 * num_items**0.5)
        lists = max(1, min(lists, num_items // _ITEMS_OF_MEAN))
        return lists, min(self.probes or max(8, lists // 16), lists)


class IvfIndex(Lists):
    """faiss IndexIVFFlat: items in lists by k-means, of which the nearest are searched."""

    kind: Literal["ivf"] = "ivf"


class IvfPqIndex(Lists):
    """faiss IndexIVFPQ (Jegou, Douze, Schmid 2011): the same, an item as `codes` bytes, each for
    some of its numbers. codes: None = a byte for two numbers, an eighth of float32's memory."""

    kind: Literal["ivf_pq"] = "ivf_pq"
    codes: int | None = Field(None, ge=1)


Index = Annotated[FlatIndex | HnswIndex | IvfIndex | IvfPqIndex, Field(discriminator="kind")]
Search = Annotated[
    ExactSearch | FlatIndex | HnswIndex | IvfIndex | IvfPqIndex, Field(discriminator="kind")
]


def faiss_package() -> Any:
    """The package; ResourceError E0404 where it is not installed."""
    try:
        import faiss
    except ImportError as fault:
        raise ResourceError(
            "E0404",
            "an approximate search needs faiss, which is not installed",
            help="pip install 'rankdistill[ann]'; without it: of mine-negatives "
            "search: {kind: exact}, export without --index",
        ) from fault
    return faiss


def build_index(items: Vectors, options: Any, metric: Metric) -> Any:
    """A faiss index over the items; cosines are inner products of unit vectors.

    Built on one thread: links of an HNSW graph depend on who comes first.
    """
    faiss = faiss_package()
    width = items.value.shape[1]
    index = _EMPTY[options.kind](faiss, width, options, len(items.norm))
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        if not index.is_trained:
            index.train(directed(items, metric))
        for start in range(0, len(items.norm), _BLOCK):
            part = items.take(slice(start, start + _BLOCK))
            rows = directed(part, metric)
            if index.metric_type == faiss.METRIC_L2:
                rows = _equally_long(rows, part, items, metric)
            index.add(rows)
    finally:
        faiss.omp_set_num_threads(threads)
    return index if index.d == width else _widened(faiss, width, index)


def _equally_long(rows: np.ndarray, part: Vectors, items: Vectors, metric: Metric) -> np.ndarray:
    """float32 [n, D + 1]: |u - x|^2 of a user (u, 0) falls as u . x rises."""
    rest = np.zeros(len(rows))
    if metric == "inner_product":
        rest = np.sqrt(np.maximum(items.norm.max() ** 2 - part.norm**2, 0))
    return np.concatenate([rows, rest[:, None].astype(np.float32)], 1)


def _widened(faiss: Any, width: int, index: Any) -> Any:
    """The index for vectors of `width` numbers, to which zeros are added."""
    return faiss.IndexPreTransform(faiss.RemapDimensionsTransform(width, index.d, False), index)


def _ivf(faiss: Any, width: int, options: IvfIndex, num_items: int) -> Any:
    lists, probes = options.fitted(num_items)
    inner = faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, inner)
    index.nprobe = probes
    return index


def _ivf_pq(faiss: Any, width: int, options: IvfPqIndex, num_items: int) -> Any:
    lists, probes = options.fitted(num_items)
    codes = settled(options, num_items, width)["codes"]
    padded = -(-width // codes) * codes  # each byte is for equally many numbers
    bits = min(8, max(1, (num_items // _ITEMS_OF_MEAN).bit_length() - 1))
    inner = faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFPQ(faiss.IndexFlatIP(padded), padded, lists, codes, bits, inner)
    index.nprobe = probes
    return index if padded == width else _widened(faiss, width, index)


def settled(options: Any, num_items: int, width: int) -> dict[str, Any]:
    """The options as they are for so many items, with what they leave open filled in."""
    found: dict[str, Any] = options.model_dump(mode="json")
    found["gives"] = "distances" if isinstance(options, HnswIndex) else "inner products"
    if isinstance(options, Lists):
        found["lists"], found["probes"] = options.fitted(num_items)
    if isinstance(options, IvfPqIndex):
        found["codes"] = options.codes or -(-width // 2)
    return found


def _hnsw(faiss: Any, width: int, options: HnswIndex, num_items: int) -> Any:
    index = faiss.IndexHNSWFlat(width + 1, options.neighbours, faiss.METRIC_L2)
    index.hnsw.efConstruction = options.ef_construction
    index.hnsw.efSearch = options.ef_search
    return index


_EMPTY: dict[str, Any] = {
    "flat": lambda faiss, width, options, num_items: faiss.IndexFlatIP(width),
    "hnsw": _hnsw,
    "ivf": _ivf,
    "ivf_pq": _ivf_pq,
}


def proposed(
    users: Vectors, items: Vectors, index: Any, k: int, excluded: Excluded, metric: Metric
) -> Nearest:
    """As `nearest.nearest`, of the items that the index proposes; a user may get fewer than k.

    How many are asked for depends on a user's own excluded items alone, so that what it gets
    does not depend on who else is searched for.
    """
    num_items = len(items.norm)
    wanted = k + np.diff(excluded.offsets) + _ASKED_BEYOND
    asked = np.minimum(2 ** np.ceil(np.log2(wanted)).astype(np.int64), num_items)
    pairs = []
    for num in np.unique(asked):
        user = np.flatnonzero(asked == num)
        _, item = index.search(directed(users.take(user), metric), int(num))
        row, place = np.nonzero(item >= 0)
        pairs.append(user[row] * num_items + item[row, place])
    found = np.unique(np.concatenate(pairs)) if pairs else np.zeros(0, dtype=np.int64)
    out = excluded.rows() * num_items + excluded.item
    found = found[~np.isin(found, out)]
    user, item = np.divmod(found, num_items)
    if metric == "cosine":
        has_direction = items.norm[item] > 0
        user, item = user[has_direction], item[has_direction]
    return rescored(users, items, user, item, k, metric)
