"""A training run: a folder that holds what the student is, how it was made, and how it went.

run.json          options, build, fields, the hash of config and data
fields/           what each field learned, one table each; items.parquet, the items that were seen
features/         the rows of the feature tables that the fields look into
checkpoints/      tensors and state; the best one is the student
metrics.jsonl     a line for each epoch
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from rankdistill import __version__
from rankdistill.errors import TrainingError
from rankdistill.features.join import Join
from rankdistill.samples.grade_rules import RankBucket
from rankdistill.store.dataset import Build, DataSet
from rankdistill.store.files import replace_text
from rankdistill.student import checkpoint as checkpoints
from rankdistill.student.drawing import NEGATIVES, Drawing
from rankdistill.student.fields.columns import Tables
from rankdistill.student.fields.encode import Fields
from rankdistill.student.fields.fit import fit_fields
from rankdistill.student.fields.kept import FEATURES, FOLDER, load_fields, save_fields
from rankdistill.student.loader import Loader, whole
from rankdistill.student.objectives import Objectives
from rankdistill.student.options import TrainOptions
from rankdistill.student.reading import ListsSource, lists_source
from rankdistill.student.scoring import Scorer
from rankdistill.student.shares import shares_of
from rankdistill.student.start import content, start_from
from rankdistill.student.stored import stored_samples
from rankdistill.student.train import Progress, Trainer

RUN_FILE, BEGUN = "run.json", "begun"
OF_FIELDS = ("fields", "rows", "items", "features")  # what run.json says of them
VERSION = 1
NO_MATTER = {"threads", "keep_checkpoints", "checkpoint_every"}  # of the options: not of the result


@dataclass(frozen=True)
class Plan:
    """What is to be trained on what. kinds: resolved options of every configured sample kind;
    objectives: resolved; dts: days of the build, None = all. joins: the feature tables that the
    fields look into, without their files; stage: writes their rows into a folder of its own and
    gives them with their files."""

    data_set: DataSet
    build: Build
    options: TrainOptions
    objectives: Objectives
    kinds: Mapping[str, Any]
    seed: int
    dts: Sequence[str] | None = None
    joins: tuple[Join, ...] = ()
    stage: Callable[[Path], tuple[Join, ...]] = lambda folder: ()

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
        """The lists of these splits, with the columns that fields and feature tables ask for."""
        fields = self.options.fields
        joined = {name for join in self.joins for name in join.names}
        names = [f.column for f in (*fields.user, *fields.item) if f.column not in joined]
        keys = [name for join in self.joins for name in join.on if name != "dt"]
        columns = list(dict.fromkeys([*names, *keys]))
        return lists_source(self.data_set, self.build, dts=self.dts, splits=splits, columns=columns)

    def facts(self) -> dict[str, Any]:
        """What the run is made of, as JSON values."""
        options = self.options.model_dump(mode="json", exclude=NO_MATTER)
        options["batch"].pop("workers")
        options["start"].pop("vectors")
        terms = self.objectives.terms.items()
        return {
            "options": options,
            "served": next(iter(self.objectives.terms)),
            "objectives": {n: [term.model_dump(mode="json") for term in own] for n, own in terms},
            "kinds": {kind: o.model_dump(mode="json") for kind, o in self.drawn.items()},
            "joined": [
                [join.of, join.timed, list(join.on), list(join.names)] for join in self.joins
            ],
            "vectors": self._vectors,
            "seed": self.seed,
            "days": sorted(self.dts if self.dts is not None else self.build.days),
            "build_id": self.build.build_id,
        }

    @cached_property
    def _vectors(self) -> dict[str, list[str]]:
        return content(self.options.start.vectors)

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
    fields, kept = _fields(plan, folder)
    learned, held_out = plan.source("train", "all"), plan.source("valid")
    make = plan.drawing(learned, fields)
    checked = Drawing(held_out, fields, {}, plan.seed, grade=RankBucket())
    chosen = plan.options
    state, names = chosen.optimizer.init_accumulator, list(plan.objectives.terms)
    scorer = Scorer.new(chosen.model, fields, plan.seed, state, names)
    trainer = Trainer(
        scorer,
        plan.objectives,
        Loader(learned, make, chosen.batch, plan.seed),
        lambda: whole(held_out, checked, chosen.batch),
        chosen,
        folder,
        plan.hash(),
        notify,
    )
    found = checkpoints.newest(folder / checkpoints.FOLDER, plan.hash(), say)
    if found is not None:
        trainer.load_state(found)
        notify("resumed", step=trainer.progress.step)
    elif chosen.start.vectors:
        kept["start"] = _from_teacher(chosen, scorer, fields, say)
        _write_run(plan, folder, kept, None)
    notify("started", rows=int(learned.num_rows.sum()) * plan.options.epochs)
    done = trainer.fit()
    _write_run(plan, folder, kept, trainer.best_name())
    return done


def _from_teacher(
    chosen: TrainOptions, scorer: Scorer, fields: Fields, say: Callable[[str], None]
) -> dict[str, Any]:
    """The embeddings that start from the teacher's, told."""
    found = start_from(scorer.table, fields, chosen.model.dim, chosen.start.vectors)
    for name, told in found.items():
        how = f"{told['width']} wide" + (", projected" if told["projected"] else "")
        share = f"{told['found']:,} of {told['values']:,} values"
        say(f"{name}: {share} start from the teacher's vectors ({how})")
    return found


def _fields(plan: Plan, folder: Path) -> tuple[Fields, dict[str, Any]]:
    """(those of the run where it has begun, else fitted to the training days; of them what
    run.json says)."""
    place, begun = folder / RUN_FILE, folder / BEGUN
    if place.exists():
        facts = read_run(folder)
        if facts["run"] != plan.hash():
            raise checkpoints.other_run(folder, str(facts["run"]), plan.hash())
        kept = {name: facts[name] for name in (*OF_FIELDS, "start") if name in facts}
        return load_fields(folder, facts), kept
    if any(folder.iterdir()) and not begun.exists():
        raise TrainingError(
            "E0503",
            f"{folder} is not empty, and holds no training run",
            help="give a new or an empty folder as --out",
        )
    begun.touch()
    for name in (FOLDER, FEATURES):  # of a run that was killed before it had its fields
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / FEATURES).mkdir()
    tables = Tables.load(plan.stage(folder / FEATURES))
    source = plan.source("train", "all")
    batches = (source.read([piece]) for piece in source.pieces)
    fields = fit_fields(plan.options.fields, batches, tables)
    kept = save_fields(folder, fields)
    _write_run(plan, folder, kept, None)
    begun.unlink()
    return fields, kept


def _write_run(plan: Plan, folder: Path, kept: Mapping[str, Any], best: str | None) -> None:
    """kept: what is known of the fields, and of what the embeddings started from."""
    facts = {
        "schema_version": VERSION,
        "rankdistill": __version__,
        "run": plan.hash(),
        **plan.facts(),
        "data_set": str(plan.data_set.root),
        "build": plan.build.number,
        **kept,
        "student": best,
    }
    replace_text(folder / RUN_FILE, json.dumps(facts, indent=1) + "\n")


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
