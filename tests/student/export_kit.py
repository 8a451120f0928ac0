"""Students of every kind handed over, for the tests of exports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from rankdistill.student.fields.encode import Fields, RowField
from rankdistill.student.fields.snapshot import Snapshot
from rankdistill.student.models.options import FmOptions, Model, TwoTowerOptions
from rankdistill.student.scoring import Scorer
from rankdistill.student.serving.export import hand_over
from rankdistill.student.serving.options import ExportOptions
from rankdistill.student.vocabulary import Counting

MODELS: list[Model] = [
    FmOptions(dim=5),
    TwoTowerOptions(dim=4, towers=[6, 3]),
    TwoTowerOptions(dim=4, towers=[6, 3], network="dcn", similarity="cosine", temperature=0.5),
]
FACTS: dict[str, Any] = {
    **{"run": "a" * 64, "build": 3, "build_id": "b", "days": ["2026-11-21"], "seed": 3},
    **{"student": "step-1", "served": "main", "options": {}, "objectives": {}, "kinds": {}},
}


def scorer_of(options: Model, fields, objectives=("main", "click")) -> Scorer:
    """With numbers far from 0 everywhere, and scores of a few."""
    scorer = Scorer.new(options, fields, 3, 0.1, objectives)
    draw = torch.Generator().manual_seed(1)
    scorer.table.weight.copy_(torch.randn(scorer.table.weight.shape, generator=draw) / 4)
    for parameter in scorer.student.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=draw) / 3)
    return scorer


def plain_fields(num_users: int, num_items: int) -> Fields:
    """Ids alone, 0 and up."""
    found = []
    for num in (num_users, num_items):
        counting = Counting()
        counting.add(pa.array(range(num)), np.ones(num, np.int64))
        found.append(counting.vocabulary())
    user = RowField("user.user_id", "id", "user_id", found[0], 0)
    item = RowField("item.item_id", "id", "item_id", found[1], found[0].size)
    rows = pa.RecordBatch.from_pydict({"item_id": found[1].id})
    num_rows = found[0].size + found[1].size
    return Fields((user,), (item,), num_rows, snapshot=Snapshot(rows))


def handed_over(scorer: Scorer, fields, out: Path, **options: Any) -> dict[str, Any]:
    """The manifest."""
    asked = ExportOptions.model_validate({"parity": {"rows": 300, "users": 50}, **options})
    run = out.parent / "no_run"
    return hand_over(scorer, fields, FACTS, asked, run, out, notify=lambda *a, **k: None)


def fresh(code: str, folder: Path, **more: str) -> str:
    """The stdout of the code in a new process in `folder`, without our packages on its path."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | more
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
