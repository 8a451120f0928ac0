"""Batches of a build, in an order that seed, epoch and build decide alone.

Row groups are put into hashed order (or that of time) and read in pools; the requests of a pool
are put into hashed order, sampled by the kernels, encoded, and cut into batches. Threads decode
pools ahead; what they hand over is taken in order, so their number changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise

from rankdistill.student.chunk import Chunk
from rankdistill.student.options import BatchOptions
from rankdistill.student.order import in_time, pools, shuffled
from rankdistill.student.reading import ListsSource, Piece

# (pieces, epoch) -> their requests, shuffled, drawn and encoded; epoch None: as they stand.
Make = Callable[[Sequence[Piece], int | None], Chunk]


@dataclass(frozen=True)
class Position:
    """Where in an epoch the next batch is: of a pool (in the epoch's order), and in it."""

    epoch: int = 0
    pool: int = 0
    batch: int = 0


class Loader:
    """Pools shuffled, or in the order of time (is_timely), as `make` has to order its requests.

    Every process of `world` gets every world-th batch, and as many as each other: batches
    at the end of an epoch that do not go round are left out. position: of the next batch, for
    `state_dict`; share: of the epoch's rows that are given out with the batch under way, as far
    as row groups and batches tell."""

    def __init__(
        self,
        source: ListsSource,
        make: Make,
        options: BatchOptions,
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
        is_timely: bool = False,
    ) -> None:
        assert 0 <= rank < world, (rank, world)
        self._is_timely = is_timely
        self._source, self._make, self._options, self._seed = source, make, options, seed
        self._rank, self._world = rank, world
        self.position = Position()
        self.share = 0.0

    def state_dict(self) -> dict[str, int]:
        """Where it stands after the batches that were taken."""
        return {name: getattr(self.position, name) for name in ("epoch", "pool", "batch")}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on at exactly the batch where `state_dict` was asked for."""
        self.position = Position(**state)

    def epoch(self) -> Iterator[Chunk]:
        """The batches of this process, from the position to the end of its epoch."""
        rounds = self._batches(self.position)
        while len(group := list(islice(rounds, self._world))) == self._world:
            self.position, self.share, _ = group[-1]
            yield group[self._rank][2]
        self.position = Position(self.position.epoch + 1)

    def _batches(self, start: Position) -> Iterator[tuple[Position, float, Chunk]]:
        """(the position after it, the share of the epoch until there, batch) of every process."""
        plan = self._pools(start.epoch)
        rows = [sum(piece.num_rows for piece in pieces) for pieces in plan]
        for at, batches in self._ahead(plan, start):
            skipped = start.batch if at == start.pool else 0
            for number in range(skipped, len(batches)):
                is_last = number == len(batches) - 1
                after = Position(start.epoch, at + is_last, 0 if is_last else number + 1)
                done = sum(rows[:at]) + rows[at] * (number + 1) / len(batches)
                yield after, done / sum(rows), batches[number]

    def _pool(self, pieces: Sequence[Piece], epoch: int) -> list[Chunk]:
        """The batches of a pool, with all that a thread can find out in advance."""
        batches = list(cut(self._make(pieces, epoch), self._options))
        for batch in batches:
            _ = batch.request, batch.links
        return batches

    def _pools(self, epoch: int) -> list[list[Piece]]:
        if self._is_timely:
            return in_time(self._source, self._options.pool)
        return shuffled(self._source, self._options.pool, self._seed, epoch)

    def _ahead(self, plan: list[list[Piece]], start: Position) -> Iterator[tuple[int, list[Chunk]]]:
        """The pools from the start on, decoded by threads, in order."""
        workers = self._options.workers
        waiting: deque[tuple[int, Future[list[Chunk]]]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="decode") as threads:
            try:
                for at in range(start.pool, len(plan)):
                    waiting.append((at, threads.submit(self._pool, plan[at], start.epoch)))
                    if len(waiting) > workers:
                        number, made = waiting.popleft()
                        yield number, made.result()
                while waiting:
                    number, made = waiting.popleft()
                    yield number, made.result()
            finally:
                for _, made in waiting:
                    made.cancel()


def cut(chunk: Chunk, options: BatchOptions) -> Iterator[Chunk]:
    """Its batches."""
    for first, last in pairwise(chunk.cuts(options.requests, options.slots)):
        yield chunk.part(first, last)


def whole(source: ListsSource, make: Make, options: BatchOptions) -> Iterator[Chunk]:
    """Every batch in the order of the tables, for evaluation."""
    for first, last in pools(source.num_rows, options.pool):
        yield from cut(make(source.pieces[first:last], None), options)
