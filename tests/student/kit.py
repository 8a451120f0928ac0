"""Small lists on disk and small runs, for the tests of students."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankdistill import training
from rankdistill.build import build
from rankdistill.document import read_document
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.samples.pairwise import PairwiseOptions
from rankdistill.settings import Settings, settings_of
from rankdistill.student import checkpoint, run
from rankdistill.student.drawing import Drawing
from rankdistill.student.fields.fit import fit_fields
from rankdistill.student.fields.options import FieldsOptions
from rankdistill.student.loader import Loader
from rankdistill.student.options import BatchOptions
from rankdistill.student.plan import Plan
from rankdistill.student.reading import ListsSource, Piece
from tests.builders import make_lists

SEED = 7


def some_lists(num_requests: int, seed: int = 0):
    """Requests of 1 to 9 candidates from 40 items and 10 users, some shown, some clicked."""
    rng = np.random.default_rng(seed)
    rows = []
    for request in range(num_requests):
        items = rng.permutation(40)[: rng.integers(1, 10)]
        for rank, item in enumerate(items.tolist(), 1):
            is_shown = rank <= 3
            rows.append(
                {
                    "request_id": request,
                    "user_id": f"u{request % 10}",
                    "item_id": item,
                    "rank": rank,
                    "teacher_score": float(-rank),
                    "stage": "exposed" if is_shown else "ranked",
                    "click": float(rng.random() < 0.4) if is_shown else None,
                }
            )
    return make_lists(rows, response={"click": 1})


def source_of(folder: Path, num_requests: int = 200, group: int = 16) -> ListsSource:
    """Lists in one file of row groups of `group` requests."""
    file = folder / "lists.parquet"
    rows = some_lists(num_requests).rows()
    table = rows.drop_columns(["dt"])
    pq.write_table(pa.Table.from_batches([table]), file, row_group_size=group)
    pieces = []
    with pq.ParquetFile(file) as parquet:
        for number in range(parquet.num_row_groups):
            held = parquet.metadata.row_group(number).num_rows
            pieces.append(Piece(str(file), number, held, "2026-11-21"))
    names = tuple(table.schema.names)
    return ListsSource(tuple(pieces), names, "rank", frozenset(), ("click",), {"click": 1})


def loader_of(source: ListsSource, options: BatchOptions, **asked) -> Loader:
    """Batches of pairs."""
    fields = fit_fields(FieldsOptions(), (source.read([piece]) for piece in source.pieces))
    kinds = {"pairwise": PairwiseOptions(top_k=3, allow_exposed=True)}
    return Loader(source, Drawing(source, fields, kinds, SEED), options, SEED, **asked)


def plan_of(config: Path, *overrides: str, **asked) -> Plan:
    """The plan of a config, as `train` makes it."""
    chosen = settings_of(read_document(config.read_text(), str(config)), overrides)
    processes = asked.pop("processes", 1)
    return training.plan_of(chosen, training.Asked("", **asked), processes)


def train(plan: Plan, folder: Path, **asked) -> list[str]:
    """Train; what was said."""
    said: list[str] = []
    run.train(plan, folder, asked.pop("notify", lambda *_, **__: None), said.append, **asked)
    return said


class Killed(BaseException):
    """Stands for a kill between two steps."""


def kill_at(num_steps: int) -> Callable[..., None]:
    """Told of progress, it kills after so many steps of this process."""
    steps = 0

    def notify(event, **_):
        nonlocal steps
        steps += event == "progress"
        if steps == num_steps:
            raise Killed

    return notify


def train_until(plan: Plan, folder: Path, num_steps: int) -> None:
    """Train, killed after so many steps."""
    with pytest.raises(Killed):
        train(plan, folder, notify=kill_at(num_steps))


def last_checkpoint(folder: Path) -> checkpoint.Checkpoint:
    place = folder / "checkpoints"
    return checkpoint.load(place, checkpoint.names(place)[0])


CONFIG = """
student: prerank
log:
  columns: {feedback: [click], request: [scene], item: [category]}
  stage: {from: column, column: stage}
  response: {click: 1}
split: {train_until: "2026-11-02T00:00:00Z"}
samples: {pairwise: {top_k: 5, strategy: {kind: random, num_pair_per_sample: 2}}}
quality: {measure: false}
train:
  model: {kind: fm, dim: 8}
  epochs: 3
  batch: {requests: 16, pool: 40}
  checkpoint_every: 1
  device: cpu
  threads: 1
"""


def built(
    folder: Path, overrides: Sequence[str] = (), change: Callable[[Path], None] = lambda log: None
) -> tuple[Path, Settings]:
    """(config, settings) of a simulated log of two days of 100 requests, built; the second day
    is for validation. change: of the log's folder, before it is built."""
    options = SimulateOptions(
        num_requests=100,
        days=2,
        num_users=30,
        num_items=150,
        num_candidates=20,
        num_ranked=10,
        num_exposed=4,
    )
    simulate(folder / "sim", options)
    change(folder / "sim" / "log")
    config = folder / "feed.yaml"
    head = f"output: {folder / 'feed'}\n"
    text = head + CONFIG.replace("log:\n", f"log:\n  path: {folder / 'sim' / 'log'}\n", 1)
    config.write_text(text)
    chosen = settings_of(read_document(text, str(config)), overrides)
    build(chosen)
    return config, chosen
