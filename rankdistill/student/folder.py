"""A training run: a folder that holds what the student is, how it was made, and how it went.

run.json          options, build, fields, what it started from, the hash of config and data
fields/           what each field learned, one table each; items.parquet, the items that were seen
features/         the rows of the feature tables that the fields look into
checkpoints/      tensors and state; the best one is the student
metrics.jsonl     a line for each epoch; steps.jsonl: every so many steps
published/        of an incremental run, the user ids' embeddings that it changed
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rankdistill import __version__
from rankdistill.errors import TrainingError
from rankdistill.store.files import replace_text
from rankdistill.student import checkpoint as checkpoints
from rankdistill.student.fields.encode import Fields
from rankdistill.student.fields.kept import load_fields
from rankdistill.student.options import TrainOptions
from rankdistill.student.scoring import Scorer

RUN_FILE = "run.json"
VERSION = 1


def write_run(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write run.json, whole or not at all. facts: JSON values."""
    head = {"schema_version": VERSION, "rankdistill": __version__}
    replace_text(folder / RUN_FILE, json.dumps({**head, **facts}, indent=1) + "\n")


def read_run(folder: Path) -> dict[str, Any]:
    """run.json of a run. TrainingError E0503 where there is none or it is damaged."""
    if not (folder / RUN_FILE).is_file():
        raise TrainingError(
            "E0503",
            f"{folder} holds no training run",
            found=f"no {RUN_FILE} in it" if folder.is_dir() else "no such folder",
            help="give the folder that train --out wrote",
        )
    try:
        facts = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError("no JSON object")
        if (found := facts.get("schema_version")) != VERSION:
            raise ValueError(f"schema_version {found!s:.40}, and this version knows {VERSION}")
        return facts
    except (OSError, ValueError, RecursionError) as fault:
        raise TrainingError(
            "E0503",
            f"{RUN_FILE} of the run in {folder} cannot be read",
            found=f"{type(fault).__name__}: {fault}",
            help="put it back from a copy, or train anew with another --out",
        ) from fault


def read_finished(folder: Path) -> dict[str, Any]:
    """The same of a run that has its student."""
    facts = read_run(folder)
    if facts["student"] is None:
        raise TrainingError(
            "E0503",
            f"the run in {folder} has not finished",
            help="rankdistill train with the same config and --out goes on with it",
        )
    return facts


def load_student(folder: Path) -> tuple[Scorer, Fields, dict[str, Any]]:
    """(the best student of a finished run, its fields, run.json)."""
    facts = read_finished(folder)
    try:
        options = TrainOptions.model_validate(facts["options"])
    except ValidationError as fault:
        raise TrainingError(
            "E0503",
            f"the run in {folder} is of another version of rankdistill",
            found=f"made by {facts['rankdistill']}; {fault.errors()[0]['loc']} is not known here",
            help="evaluate it with the version that made it, or train again",
        ) from fault
    fields = load_fields(folder, facts)
    names = list(facts["objectives"])
    scorer = Scorer.new(options.model, fields, int(facts["seed"]), 0.0, names)
    scorer.load(checkpoints.load(folder / checkpoints.FOLDER, facts["student"]).tensors)
    return scorer, fields, facts
