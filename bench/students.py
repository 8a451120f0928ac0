"""`python -m bench.students`: training beside peers, as ratios of one run.

loader: rows of candidates a second on one core, decoded, sampled, encoded and cut.
bpr: the factorization machine on ids alone beside `implicit`'s BPR on the same pairs (skipped
without it): pairs a second. vocabulary: the step with ten times as many ids. towers: two towers
beside a plain torch loop with sparse embeddings and SparseAdam. Shapes: P pairs a batch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from rankdistill.settings import read_settings
from rankdistill.student.chunk import Chunk, Drawn, Encoded
from rankdistill.student.embedding import EmbeddingTable
from rankdistill.student.fields.encode import Shape
from rankdistill.student.fields.fit import fit_fields
from rankdistill.student.loader import Loader
from rankdistill.student.losses.options import BprLoss
from rankdistill.student.losses.schedule import Moment
from rankdistill.student.models.fm import FactorizationMachine
from rankdistill.student.models.options import FmOptions, TwoTowerOptions
from rankdistill.student.models.student import Student
from rankdistill.student.models.two_tower import TwoTower
from rankdistill.student.objectives import Objectives
from rankdistill.student.optimizer import Optimizer
from rankdistill.student.options import OptimizerOptions
from rankdistill.student.parallel import Group
from rankdistill.student.scoring import Scorer
from rankdistill.training import plan_of

DIM = 32
WIDTHS = [64, 32]
BPR = Objectives({"main": [BprLoss()]})


def popular(rng: np.random.Generator, num: int, size: int) -> np.ndarray:
    """Items with a long tail."""
    return (num * rng.random(size) ** 3).astype(np.int64)


def batch(user: np.ndarray, item: np.ndarray) -> Chunk:
    """P pairs, each a request of its own: codes of user [P, F] and of positive and negative
    [2 P, F], one after the other."""
    num = len(user)
    slots = {"pos": np.arange(0, 2 * num, 2), "neg": np.arange(1, 2 * num, 2)}
    values = {"weight": np.ones(num), "margin": np.zeros(num)}
    drawn = {"pairwise": Drawn(np.arange(num + 1), slots, values)}
    offsets = 2 * np.arange(num + 1)
    return Chunk(pa.array(np.arange(num)), offsets, Encoded(user), Encoded(item), {}, drawn)


def stepper(student: Student, num_rows: int) -> Callable[[Chunk], None]:
    """A step of a fresh student on a batch."""
    keys = np.arange(num_rows, dtype=np.uint64)
    scorer = Scorer(student, EmbeddingTable.new(keys, student.width, 1, 0.01, 1e-10))
    return partial(step, Optimizer(scorer, OptimizerOptions(), Group()), scorer)


def step(optimizer: Optimizer, scorer: Scorer, chunk: Chunk, objectives: Objectives = BPR) -> None:
    """What the trainer does."""
    losses = dict(objectives.losses(scorer.score(chunk), chunk, Moment(1, 0.5)))
    optimizer.update(optimizer.gradients(losses))


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """The fastest of some runs."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def pairs_of(num_users: int, num_items: int, num: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.integers(0, num_users, num), popular(rng, num_items, num)


def bpr(num_users: int, num_items: int, num: int, size: int) -> None:
    user, item = pairs_of(num_users, num_items, num)
    rng = np.random.default_rng(2)
    student = FactorizationMachine(FmOptions(dim=DIM), Shape(1), Shape(1))
    train = stepper(student, num_users + num_items)

    def ours() -> None:
        for first in range(0, num, size):
            some = slice(first, first + size)
            both = np.stack([item[some], rng.integers(0, num_items, len(item[some]))], 1)
            train(batch(user[some, None], num_users + both.reshape(-1, 1)))

    ids = np.arange(num_users + num_items)[:, None]
    chunks = [
        requests_of(ids[:num_users], ids[num_users:], size, seed)[0]
        for seed in range(num // size // 4)
    ]
    in_requests = sum(len(chunk.drawn["pairwise"].slots["pos"]) for chunk in chunks)

    def of_requests() -> None:
        for chunk in chunks:
            train(replace(chunk))  # which finds out anew which slots hold the same item

    rates = {
        "of requests (40 each)": in_requests / seconds(of_requests),
        "of a request each": num / seconds(ours),
    }
    print(
        f"bpr  {num:,} pairs, {num_users:,} users, {num_items:,} items, dim {DIM}, batch {size:,}, "
        f"{torch.get_num_threads()} threads"
    )
    for name, own in rates.items():
        print(f"     ours, pairs {name}: {own / 1e6:.2f} M pairs/s")
    try:
        from implicit.bpr import BayesianPersonalizedRanking
        from scipy.sparse import csr_matrix
    except ImportError as fault:
        print(f"     implicit: skipped ({fault})")
        return
    matrix = csr_matrix((np.ones(num, np.float32), (user, item)), (num_users, num_items))
    peer = BayesianPersonalizedRanking(
        factors=DIM,
        iterations=1,
        num_threads=torch.get_num_threads(),
        verify_negative_samples=False,
    )
    peer.fit(matrix, show_progress=False)
    other = matrix.nnz / seconds(lambda: peer.fit(matrix, show_progress=False))
    ratios = ", ".join(f"{own / other:.2f} {name}" for name, own in rates.items())
    print(f"     implicit {other / 1e6:.2f} M pairs/s; ratio {ratios} (goal 0.5)")


def vocabulary(size: int) -> None:
    rng = np.random.default_rng(3)
    found = []
    for num in (1_000_000, 10_000_000):
        train = stepper(FactorizationMachine(FmOptions(dim=DIM), Shape(1), Shape(1)), 2 * num)
        # The same items again and again, of a larger table: what grows is the table alone.
        user, item = rng.integers(0, num, (size, 1)), num + rng.integers(0, num, (2 * size, 1))
        chunk = batch(user, item)
        train(chunk)
        found.append(seconds(partial(train, chunk), 10))
    one, ten = found
    print(
        f"vocabulary  step of {size:,} pairs: 1 M {one * 1e3:.2f} ms, 10 M {ten * 1e3:.2f} ms; ",
        end="",
    )
    print(f"ratio {ten / one:.2f} (goal 1.15)")


class Plain(nn.Module):
    """Two towers as they are written first: sparse embeddings, a vector for every pair."""

    def __init__(self, num: int, fields: int, dim: int, towers: list[int]) -> None:
        super().__init__()
        self.table = nn.Embedding(num, dim, sparse=True)
        layers = []
        for _ in range(2):
            widths = [fields * dim, *towers]
            parts: list[nn.Module] = []
            for wide, narrow in zip(widths, towers, strict=False):
                parts += [nn.Linear(wide, narrow), nn.ReLU()]
            layers.append(nn.Sequential(*parts[:-1]))
        self.user, self.item = layers

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        return (
            self.user(self.table(user).flatten(1)) * self.item(self.table(item).flatten(1))
        ).sum(1)


def requests_of(
    users: np.ndarray, items: np.ndarray, size: int, seed: int = 5
) -> tuple[Chunk, np.ndarray, np.ndarray]:
    """`size` pairs as the loader hands them over: requests of 60 ranked candidates, each of the
    ten highest against four of the others, and of them the slots in a pair alone; codes of user
    and item of the two sides of every pair. users, items: codes of each [., F]; items have a
    long tail."""
    rng = np.random.default_rng(seed)
    of_request, length = 40, 60
    requests = size // of_request
    user = users[rng.integers(0, len(users), requests)]
    own = popular(rng, len(items), requests * length)
    first = np.repeat(length * np.arange(requests), of_request)
    pos = first + np.tile(np.repeat(np.arange(10), 4), requests)
    neg = first + rng.integers(10, length, len(first))
    kept, slot = np.unique([pos, neg], return_inverse=True)
    values = {"weight": np.ones(len(pos)), "margin": np.zeros(len(pos))}
    start = of_request * np.arange(requests + 1)
    drawn = {"pairwise": Drawn(start, dict(zip(("pos", "neg"), slot, strict=True)), values)}
    offsets = np.searchsorted(kept, length * np.arange(requests + 1))
    known, place = np.unique(own[kept], return_inverse=True)
    held = Encoded(items[known], place=place)
    chunk = Chunk(pa.array(np.arange(requests)), offsets, Encoded(user), held, {}, drawn)
    return chunk, user.repeat(of_request, 0), items[own[np.stack([pos, neg], 1)]]


def towers(num: int, size: int, fields: int = 4, dim: int = 16) -> None:
    rng = np.random.default_rng(4)
    user = rng.integers(0, num, (size, fields))
    item = rng.integers(0, num, (size, 2, fields))
    apart = batch(user, item.reshape(-1, fields)), user, item
    for name, (chunk, *codes) in {
        "of requests (40 each)": requests_of(
            rng.integers(0, num, (num // 10, fields)),
            rng.integers(0, num, (num // 10, fields)),
            size,
        ),
        "of a request each, no item twice": apart,
    }.items():
        own, other = towers_beside(num, chunk, *codes, dim)
        print(
            f"towers  {2 * fields} fields, {num:,} values, dim {dim}, {WIDTHS}, "
            f"{len(codes[0]):,} pairs {name}: ours {own * 1e3:.1f} ms, plain {other * 1e3:.1f} ms; "
            f"ratio {other / own:.1f} (goal 5)"
        )


def towers_beside(
    num: int, chunk: Chunk, user: np.ndarray, item: np.ndarray, dim: int
) -> tuple[float, float]:
    """Seconds of our step and of the plain one on the same pairs."""
    fields = user.shape[1]
    student = TwoTower(TwoTowerOptions(dim=dim, towers=WIDTHS), Shape(fields), Shape(fields))
    train = stepper(student, num)
    plain = Plain(num, fields, dim, WIDTHS)
    sparse = torch.optim.SparseAdam(list(plain.table.parameters()))
    dense = torch.optim.Adam([*plain.user.parameters(), *plain.item.parameters()])
    of_user, positive, negative = (torch.from_numpy(a) for a in (user, item[:, 0], item[:, 1]))

    def theirs() -> None:
        gap = plain(of_user, negative) - plain(of_user, positive)
        nn.functional.softplus(gap).mean().backward()
        for optimizer in (sparse, dense):
            optimizer.step()
            optimizer.zero_grad()

    train(chunk)
    theirs()
    return seconds(partial(train, chunk), 5), seconds(theirs, 5)


def loader(config: Path) -> None:
    """The lists of a data set that is built, as `train` reads them; and what training waits for
    them in an epoch of at most eight pools, the first one too."""
    plan = plan_of(read_settings(config))
    source = plan.source("train", "all")
    fields = fit_fields(plan.options.fields, (source.read([p]) for p in source.pieces))
    rows = int(
        sum(len(lists.teacher_rank) for lists in map(source.read, ([p] for p in source.pieces)))
    )
    columns = len(source.columns)
    pool = max(int(source.num_rows.sum()) // 8, 1)
    options = plan.options.batch.model_copy(update={"pool": pool})

    def epoch() -> Iterator[Chunk]:
        yield from Loader(source, plan.drawing(source, fields), options, 1).epoch()

    taken = seconds(lambda: sum(1 for _ in epoch()))
    print(f"loader  {rows:,} rows of {columns} columns: {rows / taken / 1e6:.2f} M rows/s (goal 3)")
    wide = TwoTowerOptions(dim=64, towers=[512, 256, 128])
    for model in (FmOptions(dim=DIM), TwoTowerOptions(dim=DIM, towers=WIDTHS), wide):
        scorer = Scorer.new(model, fields, 1, 1e-10, list(plan.objectives.terms))
        waited, total = waiting(epoch(), scorer, plan.objectives)
        widths, views = getattr(model, "towers", ""), ", ".join(plan.objectives.view_names)
        print(
            f"loader  {model.kind} dim {model.dim} {widths}, {views}: training waits {waited:.2f} "
            f"of {total:.2f} s, {waited / total:.1%} (goal 5 %)"
        )


def waiting(
    batches: Iterator[Chunk], scorer: Scorer, objectives: Objectives
) -> tuple[float, float]:
    """Seconds that training waits for batches, and all of its seconds."""
    optimizer = Optimizer(scorer, OptimizerOptions(), Group())
    waited, start = 0.0, time.perf_counter()
    asked = start
    for chunk in batches:
        waited += time.perf_counter() - asked
        step(optimizer, scorer, chunk, objectives)
        asked = time.perf_counter()
    return waited, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["bpr", "vocabulary", "towers"])
    parser.add_argument("--config", type=Path, help="of a data set that is built, for loader")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name in given.names:
        if name == "bpr":
            bpr(1_000_000, 1_000_000, 2_000_000, 16_384)
        elif name == "vocabulary":
            vocabulary(8_192)
        elif name == "towers":
            towers(1_000_000, 8_192)
        elif name == "loader" and given.config:
            loader(given.config)
        else:
            parser.error(f"{name}: known are bpr, vocabulary, towers, and loader with --config")


if __name__ == "__main__":
    main()
