"""Training: epochs of batches, each scored once, its losses summed, its rows updated.

A step is a function of the state before it and of its batch, and the state is all in the
checkpoint, so a run that was killed and resumed ends with the same bytes as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from rankdistill.hashing import xxh64
from rankdistill.student import checkpoint as checkpoints
from rankdistill.student import watch
from rankdistill.student.checkpoint import Checkpoint
from rankdistill.student.chunk import Chunk
from rankdistill.student.evaluation.collected import Collected
from rankdistill.student.evaluation.judged import Judged
from rankdistill.student.evaluation.measures import is_better
from rankdistill.student.loader import Loader
from rankdistill.student.losses.schedule import Moment
from rankdistill.student.metrics import Metrics
from rankdistill.student.objectives import Objectives
from rankdistill.student.optimizer import Gradients, Optimizer
from rankdistill.student.options import TrainOptions
from rankdistill.student.parallel import Group
from rankdistill.student.scoring import Scorer

ALWAYS = ("opa", "opa_micro")  # told of every epoch, beside the measure that chooses


@dataclass
class Progress:
    """What a run has done. sums: of each loss in the epoch under way, over `in_epoch` steps;
    labels: the least and the largest that a view showed in the first epoch; history: what each
    finished epoch said; best: the epoch (in `history`) that is to be kept."""

    step: int = 0
    in_epoch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    labels: dict[str, list[float]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    best: int | None = None


@dataclass(frozen=True)
class Setting:
    """Where a run stands. run: the hash of config and data, which a checkpoint must have to be
    gone on from; validation: the batches to validate on, anew each time; only: ranges of rows of
    the embedding table that alone are trained."""

    folder: Path
    run: str
    validation: Callable[[], Iterable[Chunk]]
    notify: Callable[..., None]
    say: Callable[[str], None]
    group: Group = Group()
    only: Sequence[tuple[int, int]] | None = None


class Trainer:
    """One run: the loop, and the state that it carries along."""

    def __init__(
        self,
        scorer: Scorer,
        objectives: Objectives,
        loader: Loader,
        options: TrainOptions,
        setting: Setting,
    ) -> None:
        self.scorer, self.objectives, self.loader = scorer, objectives, loader
        self.progress = Progress()
        self.optimizer = Optimizer(scorer, options.optimizer, setting.group, setting.only)
        self.metrics: Metrics | None = None
        self._options, self._setting, self._group = options, setting, setting.group
        number = "" if self._group.is_first else f".{self._group.rank}"
        self._watch = watch.Watch(setting.folder / f"bad_batch{number}.json", setting.say)

    def fit(self) -> Progress:
        """Train to the last epoch, or until validation no longer gets better."""
        while not self._is_done():
            for chunk in self.loader.epoch():
                self._count(chunk, self.step(chunk))
                self._setting.notify("progress", rows=chunk.num_requests * self._group.size)
                every = self._options.checkpoint_every
                if every is not None and self.progress.step % every == 0:
                    self._save()
            self._end_epoch()
            self._save()
        return self.progress

    def _is_done(self) -> bool:
        done, chosen = self.progress, self._options.validation
        if len(done.history) >= self._options.num_epochs:
            return True
        if chosen is None or chosen.patience is None or done.best is None:
            return False
        # An epoch before the last switch says nothing of what comes behind it.
        ends = [0, *(epoch["step"] for epoch in done.history)]
        in_vain = range(done.best + 1, len(done.history))
        begins = [Moment(ends[at], at / self._options.num_epochs) for at in in_vain]
        return sum(map(self.objectives.is_settled, begins)) >= chosen.patience

    def step(self, chunk: Chunk) -> Gradients:
        """One update; what was found before it. TrainingError E0501 where that is not finite,
        E0502 where the schedules leave no loss."""
        moment = self._moment()
        losses = dict(self.objectives.losses(self.scorer.score(chunk), chunk, moment))
        if not losses:
            raise watch.nothing_on(moment)
        found = self.optimizer.gradients(losses)
        self._watch.step(moment.step, chunk, found)
        self.optimizer.update(found)
        return found

    def _moment(self) -> Moment:
        """That of the step under way: of what a checkpoint keeps, and of the batch's place."""
        share = (self.loader.position.epoch + self.loader.share) / self._options.num_epochs
        return Moment(self.progress.step + 1, share)

    def _count(self, chunk: Chunk, found: Gradients) -> None:
        done, moment = self.progress, self._moment()
        done.step += 1
        done.in_epoch += 1
        for name, loss in found.losses.items():
            done.sums[name] = done.sums.get(name, 0.0) + loss
        if not done.history:
            watch.see_labels(done.labels, self.objectives.view_names, chunk)
        if self.metrics is not None:
            self.metrics.step(
                done.step,
                chunk.num_requests * self._group.size,
                lambda: {
                    "share": round(moment.share, 6),
                    "losses": dict(found.losses),
                    "weights": self.objectives.weights(moment),
                    "gradient": found.norm,
                },
            )

    def _end_epoch(self) -> None:
        done = self.progress
        if not done.in_epoch:
            raise watch.nothing_learned()
        if not done.history:
            seen = watch.all_labels(self._group.told(done.labels))
            watch.refuse_nothing(seen, self.objectives.view_names)
            watch.refuse_constant(seen)
        names = [name for _, name, _ in self.objectives.named()]
        losses = {name: done.sums.get(name, 0.0) / done.in_epoch for name in names}
        # The first process decides, for all have to agree on when to stop.
        told = self._group.told(self._validated() if self._group.is_first else {})[0]
        done.history.append(
            {"epoch": len(done.history), "step": done.step, "losses": losses, "validation": told}
        )
        done.in_epoch, done.sums = 0, {}
        done.best = self._best(told)
        if self.metrics is not None:
            self.metrics.epoch(done.history)
        self._setting.notify("epoch", **done.history[-1])

    def _validated(self) -> dict[str, float | None]:
        chosen = self._options.validation
        if chosen is None:
            return {}
        told = validate(self.scorer, self._setting.validation(), chosen.measure)
        if told[chosen.measure] is None:
            raise watch.not_to_be_measured(chosen.measure)
        return told

    def _best(self, told: dict[str, float]) -> int:
        """The epoch to keep, after one of which validation told this; the last without any."""
        done, chosen = self.progress, self._options.validation
        last = len(done.history) - 1
        if chosen is None or done.best is None:
            return last
        before = done.history[done.best]["validation"][chosen.measure]
        return last if is_better(chosen.measure, told[chosen.measure], before) else done.best

    def _save(self) -> None:
        """A checkpoint, all of whose numbers are finite."""
        self.progress.labels = watch.all_labels(self._group.told(self.progress.labels))
        state = self.state()
        watch.refuse_infinite(state.tensors, self.progress.step)
        if self._group.is_first:
            folder = self._setting.folder / checkpoints.FOLDER
            checkpoints.save(folder, checkpoints.step_name(self.progress.step), state)
            checkpoints.prune(folder, self._options.keep_checkpoints, self.best_name())

    def best_name(self) -> str | None:
        """The checkpoint of the best epoch."""
        done = self.progress
        return None if done.best is None else checkpoints.step_name(done.history[done.best]["step"])

    def state(self) -> Checkpoint:
        """All that the next step depends on."""
        facts = {
            "run": self._setting.run,
            "loader": self.loader.state_dict(),
            **asdict(self.progress),
        }
        return Checkpoint(self.tensors(), facts)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights, and the state of their optimizers."""
        return {**self.scorer.tensors(), **self.optimizer.tensors()}

    def load_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """The inverse of `tensors`."""
        self.scorer.load(tensors)
        self.optimizer.load(tensors)

    def load_state(self, found: Checkpoint) -> None:
        """Go on from there."""
        self.load_tensors(found.tensors)
        self.loader.load_state_dict(found.facts["loader"])
        self.progress = Progress(**{name: found.facts[name] for name in asdict(self.progress)})


@torch.no_grad()
def validate(scorer: Scorer, batches: Iterable[Chunk], measure: str) -> dict[str, float | None]:
    """How the student orders what the teacher ordered, and the measure that it is chosen by;
    under the default conventions of `evaluate`, and in float32, as it will serve."""
    scorer.student.eval()
    found = Collected(dict.fromkeys([*ALWAYS, measure]))
    for chunk in batches:
        key = xxh64(chunk.request_id)
        score = scorer.score(chunk).slots.cpu().numpy()
        found.add(Judged(chunk.offsets, key, score, chunk.columns))
    scorer.student.train()
    num = int(found.columns(ALWAYS[0])[:, 1].sum())
    return {**found.values(), "num_requests": num}
