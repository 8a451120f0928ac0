"""`Lists`, the batch every later room works on.

Shapes: R requests, N candidates (all requests' candidates, one request after the other).
The candidates of request i stand at offsets[i] : offsets[i + 1], in the teacher's order:
those with a teacher rank first, by it, then those an earlier stage dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.hashing import xxh64

# `stage` is the last stage that processed the item.
STAGES = {"recalled": 1, "preranked": 2, "ranked": 3, "reranked": 4, "exposed": 5}
# The column that a teacher order goes by; the others go by the place in the list.
ORDER_COLUMNS = {"rank": "rank", "rerank": "rerank_rank", "position": "position"}
EXPOSED, RANKED, PRERANKED, RECALLED = 5, 3, 2, 1


@dataclass(frozen=True)
class Lists:
    """Ranked lists of R requests with N candidates in all.

    requests: R rows; at least request_id, user_id, request_time, split, dt.
    candidates: N rows; at least item_id, stage (int8), rank, position (int32), teacher_score
        (float64); further columns as mapped. Nulls as documented in schemas/lists.json.
    teacher_rank: int32 [N], 1-based rank under `teacher_order`; 0 where the teacher gave none.
    response: for each feedback column that counts as a response, the least value that does.
    """

    offsets: np.ndarray
    requests: pa.RecordBatch
    candidates: pa.RecordBatch
    teacher_rank: np.ndarray
    feedback: tuple[str, ...] = ()
    response: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert len(self.offsets) == self.requests.num_rows + 1, "offsets do not fit requests"
        assert self.offsets[-1] == self.candidates.num_rows, "offsets do not fit candidates"

    @property
    def num_requests(self) -> int:
        return self.requests.num_rows

    @cached_property
    def lengths(self) -> np.ndarray:
        """Candidates per request, int64 [R]."""
        return np.diff(self.offsets)

    @cached_property
    def request(self) -> np.ndarray:
        """The request (0 .. R-1) of each candidate, int64 [N]."""
        return owners(self.offsets)

    @cached_property
    def place(self) -> np.ndarray:
        """The 0-based place of each candidate in its list, int64 [N]."""
        return np.arange(len(self.request)) - self.offsets[:-1][self.request]

    @cached_property
    def request_key(self) -> np.ndarray:
        """The key that every draw of a request starts from, uint64 [R]."""
        return xxh64(self.requests.column("request_id"))

    @cached_property
    def num_ranked(self) -> np.ndarray:
        """Candidates with a teacher rank per request, int64 [R]; they stand first."""
        return segment_sum(self.teacher_rank > 0, self.offsets)

    @cached_property
    def stage(self) -> np.ndarray:
        """int8 [N], a value of STAGES."""
        return numbers(self.candidates.column("stage"), np.int8)

    @cached_property
    def score(self) -> np.ndarray:
        """teacher_score as float64 [N], NaN where there is none."""
        return numbers(self.candidates.column("teacher_score"), np.float64)

    @cached_property
    def has_score(self) -> bool:
        """Whether any candidate of the batch carries a teacher score."""
        column = self.candidates.column("teacher_score")
        return len(column) > column.null_count

    @cached_property
    def responded(self) -> np.ndarray:
        """bool [N]: exposed (or of unknown exposure) and responded to, by `response`."""
        hit = np.zeros(self.candidates.num_rows, dtype=bool)
        for name in self.response:
            hit |= self.hits(name)
        return hit

    def hits(self, name: str) -> np.ndarray:
        """bool [N]: the feedback `name` is a response, or above 0 where it never counts as one."""
        values = numbers(self.candidates.column(name), np.float64)
        return values >= self.response[name] if name in self.response else values > 0

    @cached_property
    def exposed(self) -> np.ndarray:
        """bool [N]: stage is exposed."""
        return self.stage == EXPOSED

    def rows(self) -> pa.RecordBatch:
        """One row per request, candidate columns as parallel lists (the `lists` table)."""
        offsets = pa.array(self.offsets.astype(np.int32))
        columns = {name: self.requests.column(name) for name in self.requests.schema.names}
        for name in self.candidates.schema.names:
            columns[name] = pa.ListArray.from_arrays(offsets, self.candidates.column(name))
        return pa.RecordBatch.from_pydict(columns)

    @classmethod
    def from_rows(
        cls,
        rows: pa.RecordBatch,
        teacher_order: str,
        feedback: tuple[str, ...] = (),
        response: Mapping[str, float] | None = None,
    ) -> Lists:
        """The inverse of `rows`: a batch of the `lists` table, every list of a row as long."""
        listed = [f.name for f in rows.schema if pa.types.is_list(f.type)]
        lengths = pc.list_value_length(rows.column("item_id")).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        candidates = pa.RecordBatch.from_pydict({n: rows.column(n).flatten() for n in listed})
        requests = rows.select([n for n in rows.schema.names if n not in listed])
        place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + 1
        rank = teacher_rank(candidates, teacher_order, place)
        return cls(offsets, requests, candidates, rank, feedback, dict(response or {}))

    def pieces(self, cost: np.ndarray, most: int) -> Iterator[Lists]:
        """The same lists, in order and as a rule at once; cut so that what they cost together
        (int64 [R]) stays about `most`, but for a request that alone costs more."""
        piece = (np.cumsum(cost) - cost) // most
        cuts = np.flatnonzero(np.diff(piece)) + 1
        if not len(cuts):
            yield self
            return
        for requests in np.split(np.arange(self.num_requests), cuts):
            yield self.take(requests)

    def take(self, requests: np.ndarray) -> Lists:
        """The lists of the given requests (indices), in that order."""
        rows = spans(self.offsets[:-1][requests], self.lengths[requests])
        return Lists(
            np.concatenate([[0], np.cumsum(self.lengths[requests])]),
            self.requests.take(pa.array(requests)),
            self.candidates.take(pa.array(rows)),
            self.teacher_rank[rows],
            self.feedback,
            self.response,
        )


def teacher_rank(candidates: pa.RecordBatch, teacher_order: str, place: np.ndarray) -> np.ndarray:
    """The teacher's rank of candidates that stand in its order at `place` (from 1), int32 [N]."""
    column = ORDER_COLUMNS.get(teacher_order)
    if column is not None:
        return numbers(candidates.column(column), np.int32)
    if teacher_order == "score":
        scored = not_null(candidates.column("teacher_score"))
        return np.where(scored, place, 0).astype(np.int32)
    return place.astype(np.int32)


def numbers(column: pa.Array, dtype: type) -> np.ndarray:
    """A numeric or boolean column as NumPy; null becomes NaN in floats and 0 in integers."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if column.null_count:
        column = pc.fill_null(
            column.cast(pa.from_numpy_dtype(dtype)),
            np.dtype(dtype).type(np.nan if np.issubdtype(dtype, np.floating) else 0).item(),
        )
    return column.to_numpy(zero_copy_only=False).astype(dtype, copy=False)


def not_null(column: pa.Array) -> np.ndarray:
    """bool [n]: Arrow's bitmap of a plain array, unpacked (Arrow takes twenty times as long)."""
    bitmap = column.buffers()[0]
    if bitmap is None:
        return np.full(len(column), not pa.types.is_null(column.type))
    first = column.offset % 8
    held = np.frombuffer(bitmap, np.uint8)[column.offset // 8 :]
    return np.unpackbits(held, count=first + len(column), bitorder="little")[first:].view(bool)


def logits(probability: np.ndarray, hair: float) -> np.ndarray:
    """ln(p / (1 - p)); 0 and 1 are taken for what is `hair` off them."""
    held = np.clip(probability, hair, 1 - hair)
    found: np.ndarray = np.log(held) - np.log1p(-held)
    return found


def segment_sum(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sum of `values` [N] over each segment offsets[i] : offsets[i + 1] (int64 or float64 [R]).

    Floats are summed segment by segment, never by a running total over the batch: a row may
    not depend on what else is in its batch.
    """
    kind = np.float64 if np.issubdtype(values.dtype, np.floating) else np.int64
    sums = np.zeros(len(offsets) - 1, dtype=kind)
    filled = np.flatnonzero(offsets[1:] > offsets[:-1])
    if len(filled):
        sums[filled] = np.add.reduceat(values[: offsets[-1]], offsets[:-1][filled], dtype=kind)
    return sums


def owners(offsets: np.ndarray) -> np.ndarray:
    """Which segment each entry is of, int64 [offsets[-1]]: those of segment s stand at offsets[s]
    : offsets[s + 1]."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, ... start + length - 1 for each pair, one after the other (int64)."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
