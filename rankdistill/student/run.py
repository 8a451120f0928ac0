"""A training run from its plan to its student. The room's front door; `folder` says what it
leaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rankdistill.errors import TrainingError
from rankdistill.store.files import alone
from rankdistill.store.outputs import made_folder, refuse_table
from rankdistill.student import checkpoint as checkpoints
from rankdistill.student import warm, watch
from rankdistill.student.device import exactly
from rankdistill.student.fields.columns import Tables
from rankdistill.student.fields.encode import Fields
from rankdistill.student.fields.fit import fit_fields
from rankdistill.student.fields.kept import FEATURES, FOLDER, load_fields, save_fields
from rankdistill.student.folder import RUN_FILE, read_run, write_run
from rankdistill.student.loader import Loader, whole
from rankdistill.student.metrics import EPOCHS, STEPS, Metrics
from rankdistill.student.options import TrainOptions
from rankdistill.student.parallel import Group
from rankdistill.student.plan import Plan
from rankdistill.student.published import publish_users
from rankdistill.student.same_run import refuse_other
from rankdistill.student.scoring import Scorer
from rankdistill.student.start import start_from
from rankdistill.student.trackers import MLFLOW_RUN, TENSORBOARD, trackers
from rankdistill.student.train import Progress, Setting, Trainer
from rankdistill.student.warm import Before

BEGUN = "begun"


@dataclass
class Run:
    """A run under way. facts: run.json; before: what it starts from."""

    plan: Plan
    folder: Path
    notify: Callable[..., None]
    say: Callable[[str], None]
    group: Group
    before: Before | None

    def __post_init__(self) -> None:
        self.facts = read_run(self.folder)
        self.fields = load_fields(self.folder, self.facts)

    def trainer(self) -> Trainer:
        plan, chosen, group = self.plan, self.plan.options, self.group
        learned, held_out = plan.learned, plan.held_out
        checked = plan.checking(held_out, self.fields)
        names = list(plan.objectives.terms)
        loader = Loader(
            learned,
            plan.drawing(learned, self.fields),
            chosen.batch,
            plan.seed,
            rank=group.rank,
            world=group.size,
            is_timely=plan.is_incremental,
        )
        setting = Setting(
            self.folder,
            plan.hash(),
            lambda: whole(held_out, checked, chosen.batch),
            self.notify,
            self.say,
            group,
            warm.id_rows(self.fields) if plan.is_incremental else None,
        )
        accumulated = chosen.optimizer.init_accumulator
        scorer = Scorer.new(chosen.model, self.fields, plan.seed, accumulated, names)
        scorer.student.in_bf16 = chosen.precision == "bf16"
        return Trainer(scorer.to(plan.device), plan.objectives, loader, chosen, setting)

    def start(self, trainer: Trainer) -> None:
        """From the last checkpoint, else from what the config names."""
        folder, run = self.folder / checkpoints.FOLDER, self.plan.hash()
        found = checkpoints.newest(folder, run, self.say) if self.group.is_first else None
        step = found.facts["step"] if found is not None else None
        step = self.group.told(step)[0]
        if step is not None:
            name = checkpoints.step_name(step)
            trainer.load_state(found or checkpoints.load(folder, name))
            self.notify("resumed", step=step)
        elif self.before is not None:
            tensors, told = warm.take_over(trainer.tensors(), self.fields, self.before)
            trainer.load_tensors(tensors)
            warm.tell(told, self.before.folder, self.say)
            self._keep(start={"run": str(self.before.folder), "full": self.before.full, **told})
        elif self.plan.options.start.vectors:
            self._keep(start=self._from_teacher(trainer.scorer))

    def _from_teacher(self, scorer: Scorer) -> dict[str, Any]:
        """The embeddings that start from the teacher's, told."""
        chosen = self.plan.options
        found = start_from(scorer.table, self.fields, chosen.model.dim, chosen.start.vectors)
        for name, told in found.items():
            how = f"{told['width']} wide" + (", projected" if told["projected"] else "")
            share = f"{told['found']:,} of {told['values']:,} values"
            self.say(f"{name}: {share} start from the teacher's vectors ({how})")
        return found

    def finish(self, trainer: Trainer) -> None:
        name = trainer.best_name()
        assert name is not None
        told: dict[str, Any] = {}
        if self.before is not None and self.plan.is_incremental:
            weight = trainer.scorer.table.weight.cpu()
            told["published"] = publish_users(self.folder, weight, self.fields, self.before)
        self._keep(**told, student=name)

    def _keep(self, **facts: Any) -> None:
        if self.group.is_first:
            self.facts |= facts
            write_run(self.folder, self.facts)


def train(
    plan: Plan,
    folder: Path,
    notify: Callable[..., None],
    say: Callable[[str], None],
    group: Group | None = None,
) -> Progress:
    """Train in `folder`, or go on where a run of the same plan stopped. group: of the processes
    that train together, whose first one alone speaks and writes.

    Raises TrainingError E0501 to E0505, ConfigError E0105, ResourceError E0403 to E0405.
    """
    group = group or Group()
    torch.set_num_threads(plan.options.threads or torch.get_num_threads())
    if not group.is_first:
        notify, say = _nothing, _nothing
    with exactly(plan.device):
        if plan.device.type == "cuda":
            say(f"trains on {torch.cuda.get_device_name(plan.device)}")
        return _train(plan, folder, notify, say, group)


def _train(
    plan: Plan,
    folder: Path,
    notify: Callable[..., None],
    say: Callable[[str], None],
    group: Group,
) -> Progress:
    chosen, before = plan.options, None
    if chosen.start.run is not None:
        before = Before.open(Path(chosen.start.run), chosen, list(plan.objectives.terms))
    with _alone_in(plan, folder) if group.is_first else nullcontext():
        if group.is_first:
            _begin(plan, folder, before, say)
        group.told(None)  # the others read what it wrote
        run = Run(plan, folder, notify, say, group, before)
        trainer = run.trainer()
        run.start(trainer)
        if run.facts["student"] is not None:
            say(f"the run in {folder} has ended before: nothing is left to train")
        notify("started", rows=_rows_left(run.facts, trainer.progress, plan))
        if not group.is_first:
            return trainer.fit()
        done = _told(trainer, folder, chosen)
        run.finish(trainer)
        return done


@contextmanager
def _alone_in(plan: Plan, folder: Path) -> Iterator[None]:
    """The run's folder, made where it is not there, and nobody else's until the block ends; one
    that was made for nothing goes.

    Raises PlaceError E0202, E0204 before there is one, TrainingError E0503 where another process
    trains in it.
    """
    refuse_table(folder)
    plan.refuse_damaged()
    is_new = not folder.exists()
    made_folder(str(folder))
    try:
        with alone(folder) as is_free:
            if not is_free:
                raise TrainingError(
                    "E0503",
                    f"another process trains in {folder}",
                    help="wait for it, or give another --out",
                )
            yield
    finally:
        if is_new:
            with suppress(OSError):  # not empty
                folder.rmdir()


def _told(trainer: Trainer, folder: Path, chosen: TrainOptions) -> Progress:
    """Train, with its metrics in the folder and in the trackers."""
    step = trainer.progress.step
    metrics = Metrics(folder, chosen.metrics_every, trackers(chosen.trackers, folder, step))
    metrics.go_on(step)
    trainer.metrics = metrics
    try:
        return trainer.fit()
    except TrainingError:
        _set_free(folder)
        raise
    finally:
        metrics.close()


def _nothing(*said: Any, **facts: Any) -> None:
    pass


def _rows_left(facts: dict[str, Any], done: Progress, plan: Plan) -> int:
    """Requests that are still to be read, as far as the steps made tell."""
    in_epoch = int(facts["learned"]["requests"])
    begun = min(done.in_epoch * plan.options.batch.requests * plan.processes, in_epoch)
    return in_epoch * (plan.options.num_epochs - len(done.history)) - begun


def _begin(plan: Plan, folder: Path, before: Before | None, say: Callable[[str], None]) -> None:
    """Fit the fields to the lists to train on and write run.json, where that is not done yet."""
    begun = folder / BEGUN
    if (folder / RUN_FILE).exists():
        there = read_run(folder)
        if there["run"] == plan.hash() or checkpoints.names(folder / checkpoints.FOLDER):
            refuse_other(folder, there, plan)
            return
        _set_free(folder)  # it was killed before it kept anything: nobody else is in the folder
    if any(folder.iterdir()) and not begun.exists():
        raise TrainingError(
            "E0503",
            f"{folder} is not empty, and holds no training run",
            found=", ".join(sorted(each.name for each in folder.iterdir())[:5]),
            help="give a new or an empty folder as --out",
        )
    learned = _learned(plan, before)
    say(f"fields learn from {learned['requests']:,} requests")
    begun.touch()
    _clear(folder)
    (folder / FEATURES).mkdir()
    fields = _fitted(plan, Tables.load(plan.stage(folder / FEATURES)), before)
    facts = {
        "run": plan.hash(),
        **plan.facts(),
        "data_set": str(plan.data_set.root),
        "build": plan.build.number,
        **save_fields(folder, fields),
        "learned": learned,
        "student": None,
    }
    write_run(folder, facts)
    begun.unlink()


def _clear(folder: Path) -> None:
    """Take away what a run left that was killed before it had its fields, or failed."""
    for name in (FOLDER, FEATURES, TENSORBOARD, checkpoints.FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)
    names = (folder / name for name in (EPOCHS, STEPS, MLFLOW_RUN))
    for file in (*names, *folder.glob("bad_batch*.json")):
        file.unlink(missing_ok=True)


def _set_free(folder: Path) -> None:
    """A run that failed before it kept anything leaves its folder to any other."""
    if not checkpoints.names(folder / checkpoints.FOLDER):
        (folder / BEGUN).touch()
        (folder / RUN_FILE).unlink()


def _learned(plan: Plan, before: Before | None) -> dict[str, Any]:
    """What there is to train on: requests, and the time of the last one that the student will
    have learned from. TrainingError E0502 where there is none, or none to validate on."""
    span = plan.learned.span()
    if not span.num:
        raise watch.nothing_learned()
    chosen = plan.options.validation
    if chosen is not None and not plan.held_out.span().num:
        raise watch.nothing_to_validate()
    earlier = None if before is None else before.facts["learned"]["until"]
    until = max((each for each in (span.last, earlier) if each is not None), default=None)
    return {"requests": span.num, "from": span.first, "until": until}


def _fitted(plan: Plan, tables: Tables, before: Before | None) -> Fields:
    source = plan.learned
    batches = (source.read([piece]) for piece in source.pieces)
    fields = fit_fields(plan.options.fields, batches, tables)
    return fields if before is None else warm.grown(fields, before, plan.options)
