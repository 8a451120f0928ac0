"""A training run: a folder that holds what the student is, how it was made, and how it went.

run.json          options, build, fields, the hash of config and data
fields/           the vocabularies, one table each
checkpoints/      tensors and state; the best one is the student
metrics.jsonl     a line for each epoch
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import ValidationError

from rankdistill import __version__
from rankdistill.errors import TrainingError
from rankdistill.samples.grade_rules import RankBucket
from rankdistill.store.dataset import Build, DataSet
from rankdistill.store.files import replace_text, sha256
from rankdistill.student import checkpoint as checkpoints
from rankdistill.student.drawing import NEGATIVES, Drawing
from rankdistill.student.fields.encode import CodedField, Fields, fit_fields
from rankdistill.student.loader import Loader, whole
from rankdistill.student.objectives import Objectives
from rankdistill.student.options import TrainOptions
from rankdistill.student.reading import ListsSource, lists_source
from rankdistill.student.scoring import Scorer
from rankdistill.student.shares import shares_of
from rankdistill.student.stored import stored_samples
from rankdistill.student.train import Progress, Trainer
from rankdistill.student.vocabulary import Vocabulary

RUN_FILE, FIELDS = "run.json", "fields"
VERSION = 1
NO_MATTER = {"threads", "keep_checkpoints", "checkpoint_every"}  # of the options: not of the result


@dataclass(frozen=True)
class Plan:
    """What is to be trained on what. kinds: resolved options of every configured sample kind;
    objectives: resolved; dts: days of the build, None = all."""

    data_set: DataSet
    build: Build
    options: TrainOptions
    objectives: Objectives
    kinds: Mapping[str, Any]
    seed: int
    dts: Sequence[str] | None = None

    @property
    def drawn(self) -> dict[str, Any]:
        """The kinds that the losses ask for."""
        return {kind: self.kinds[kind] for kind in sorted(self.objectives.kinds)}

    def drawing(self, source: ListsSource, fields: Fields) -> Drawing:
        """How batches to train on are made."""
        is_fresh = self.options.samples == "fresh"
        fresh = {k: o for k, o in self.drawn.items() if is_fresh and k != NEGATIVES}
        rest = [kind for kind in self.drawn if kind not in fresh]
        stored = stored_samples(self.data_set, self.build, rest, source) if rest else None
        made = Drawing(source, fields, fresh, self.seed, stored, self.drawn.get(NEGATIVES))
        made = replace(made, looked_at=self.objectives.slots)
        if self.objectives.uniform is None:
            return made
        positives = made.positives or self.kinds["pointwise"]
        shares = shares_of(source, positives, self.objectives.uniform)
        return replace(made, positives=positives, shares=shares)

    def source(self, *splits: str) -> ListsSource:
        fields = self.options.fields
        names = [f.column for f in (*fields.user, *fields.item)]
        return lists_source(self.data_set, self.build, dts=self.dts, splits=splits, columns=names)

    def facts(self) -> dict[str, Any]:
        """What the run is made of, as JSON values."""
        options = self.options.model_dump(mode="json", exclude=NO_MATTER)
        options["batch"].pop("workers")
        terms = self.objectives.terms.items()
        return {
            "options": options,
            "objectives": {n: [term.model_dump(mode="json") for term in own] for n, own in terms},
            "kinds": {kind: o.model_dump(mode="json") for kind, o in self.drawn.items()},
            "seed": self.seed,
            "days": sorted(self.dts if self.dts is not None else self.build.days),
            "build_id": self.build.build_id,
        }

    def hash(self) -> str:
        """sha256 of what decides the result."""
        return hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode()).hexdigest()


def train(
    plan: Plan, folder: Path, notify: Callable[..., None], say: Callable[[str], None]
) -> Progress:
    """Train in `folder`, or go on where a run of the same plan stopped.

    Raises TrainingError E0501 to E0503.
    """
    torch.set_num_threads(plan.options.threads or torch.get_num_threads())
    folder.mkdir(parents=True, exist_ok=True)
    fields = _fields(plan, folder)
    learned, held_out = plan.source("train", "all"), plan.source("valid")
    make = plan.drawing(learned, fields)
    checked = Drawing(held_out, fields, {}, plan.seed, grade=RankBucket())
    start = plan.options.optimizer.init_accumulator
    trainer = Trainer(
        Scorer.new(plan.options.model, fields, plan.seed, start),
        plan.objectives,
        Loader(learned, make, plan.options.batch, plan.seed),
        lambda: whole(held_out, checked, plan.options.batch),
        plan.options,
        folder,
        plan.hash(),
        notify,
    )
    found = checkpoints.newest(folder / checkpoints.FOLDER, plan.hash(), say)
    if found is not None:
        trainer.load_state(found)
        notify("resumed", step=trainer.progress.step)
    notify("started", rows=int(learned.num_rows.sum()) * plan.options.epochs)
    done = trainer.fit()
    _write_run(plan, folder, fields, trainer.best_name())
    return done


def _fields(plan: Plan, folder: Path) -> Fields:
    """Those of the run where it has begun, else fitted to the training days."""
    place = folder / RUN_FILE
    if place.exists():
        facts = read_run(folder)
        if facts["run"] != plan.hash():
            raise checkpoints.other_run(folder, str(facts["run"]), plan.hash())
        return load_fields(folder, facts)
    if any(folder.iterdir()):
        raise TrainingError(
            "E0503",
            f"{folder} is not empty, and holds no training run",
            help="give a new or an empty folder as --out",
        )
    source = plan.source("train", "all")
    fields = fit_fields(plan.options.fields, (source.read([piece]) for piece in source.pieces))
    save_fields(folder, fields)
    _write_run(plan, folder, fields, None)
    return fields


def _write_run(plan: Plan, folder: Path, fields: Fields, best: str | None) -> None:
    build = plan.build
    facts = {
        "schema_version": VERSION,
        "rankdistill": __version__,
        "run": plan.hash(),
        **plan.facts(),
        "data_set": str(plan.data_set.root),
        "build": build.number,
        "fields": [_field_facts(folder, side, f) for side, f in _sides(fields)],
        "student": best,
    }
    replace_text(folder / RUN_FILE, json.dumps(facts, indent=1) + "\n")


def _sides(fields: Fields) -> list[tuple[str, CodedField]]:
    return [*(("user", f) for f in fields.user), *(("item", f) for f in fields.item)]


def _field_facts(folder: Path, side: str, field: CodedField) -> dict[str, Any]:
    return {
        "side": side,
        "name": field.name,
        "column": field.column,
        "first": field.first,
        "size": field.vocabulary.size,
        "sha256": sha256(_field_file(folder, field.name)),
    }


def _field_file(folder: Path, name: str) -> Path:
    return folder / FIELDS / f"{name}.parquet"


def save_fields(folder: Path, fields: Fields) -> None:
    (folder / FIELDS).mkdir(exist_ok=True)
    for _, field in _sides(fields):
        pq.write_table(field.vocabulary.table(), _field_file(folder, field.name))


def load_fields(folder: Path, facts: Mapping[str, Any]) -> Fields:
    """The fields that `run.json` names. TrainingError E0503 where one is damaged."""
    sides: dict[str, list[CodedField]] = {"user": [], "item": []}
    num_rows = 0
    for each in facts["fields"]:
        file = _field_file(folder, each["name"])
        try:
            if sha256(file) != each["sha256"]:
                raise ValueError("it is not what was written")
            vocabulary = Vocabulary.of_table(pq.read_table(file))
        except (OSError, ValueError, pa.ArrowException) as fault:
            raise TrainingError(
                "E0503",
                f"a vocabulary of the run in {folder} cannot be read",
                found=f"{file.name}: {fault}",
                help="train again with another --out",
            ) from fault
        field = CodedField(each["name"], each["column"], vocabulary, each["first"])
        sides[each["side"]].append(field)
        num_rows = max(num_rows, each["first"] + vocabulary.size)
    return Fields(tuple(sides["user"]), tuple(sides["item"]), num_rows)


def read_run(folder: Path) -> dict[str, Any]:
    """run.json of a run. TrainingError E0503 where there is none or it is damaged."""
    try:
        facts = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        if not isinstance(facts, dict) or facts.get("schema_version") != VERSION:
            raise ValueError("not a run of this version")
        return facts
    except (OSError, ValueError, RecursionError) as fault:
        raise TrainingError(
            "E0503",
            f"{folder} holds no training run that can be read",
            found=f"{type(fault).__name__}: {fault}",
            help="give the folder that train --out wrote",
        ) from fault


def load_student(folder: Path) -> tuple[Scorer, Fields, dict[str, Any]]:
    """(the best student of a finished run, its fields, run.json)."""
    facts = read_run(folder)
    if facts["student"] is None:
        raise TrainingError(
            "E0503",
            f"the run in {folder} has not finished",
            help="rankdistill train with the same config and --out goes on with it",
        )
    fields = load_fields(folder, facts)
    try:
        options = TrainOptions.model_validate(facts["options"])
    except ValidationError as fault:
        raise TrainingError(
            "E0503",
            f"the run in {folder} is of another version of rankdistill",
            found=f"made by {facts['rankdistill']}; {fault.errors()[0]['loc']} is not known here",
            help="evaluate it with the version that made it, or train again",
        ) from fault
    scorer = Scorer.new(options.model, fields, int(facts["seed"]), 0.0)
    scorer.load(checkpoints.load(folder / checkpoints.FOLDER, facts["student"]).tensors)
    return scorer, fields, facts
