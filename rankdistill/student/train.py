"""Training: epochs of batches, each scored once, its losses summed, its rows updated.

A step is a function of the state before it and of its batch, and the state is all in the
checkpoint, so a run that was killed and resumed ends with the same bytes as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from rankdistill.errors import TrainingError
from rankdistill.hashing import xxh64
from rankdistill.student import checkpoint as checkpoints
from rankdistill.student.checkpoint import Checkpoint
from rankdistill.student.chunk import Chunk
from rankdistill.student.evaluation.collected import Collected
from rankdistill.student.evaluation.judged import Judged
from rankdistill.student.evaluation.measures import is_better
from rankdistill.student.loader import Loader
from rankdistill.student.losses.schedule import Moment
from rankdistill.student.objectives import Objectives
from rankdistill.student.options import TrainOptions
from rankdistill.student.scoring import Scorer

Notify = Callable[..., None]
ALWAYS = ("opa", "opa_micro")  # told of every epoch, beside the measure that chooses


@dataclass
class Progress:
    """What a run has done. sums: of each loss in the epoch under way, over `in_epoch` steps;
    history: what each finished epoch said; best: the epoch (in `history`) that is to be kept."""

    step: int = 0
    in_epoch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    best: int | None = None


class Trainer:
    """One run in `folder`. validation: the batches to validate on, anew each time; run: the hash
    of config and data, which a checkpoint must have to be gone on from."""

    def __init__(
        self,
        scorer: Scorer,
        objectives: Objectives,
        loader: Loader,
        validation: Callable[[], Iterable[Chunk]],
        options: TrainOptions,
        folder: Path,
        run: str,
        notify: Notify,
    ) -> None:
        self.scorer, self.objectives, self.loader = scorer, objectives, loader
        self.progress = Progress()
        self._validation, self._options, self._notify = validation, options, notify
        self._folder, self._run = folder, run
        self._adam = torch.optim.Adam(scorer.student.parameters(), options.optimizer.dense_lr)

    def fit(self) -> Progress:
        """Train to the last epoch, or until validation no longer gets better."""
        while not self._is_done():
            for chunk in self.loader.epoch():
                self._count(self.step(chunk))
                self._notify("progress", rows=chunk.num_requests)
                every = self._options.checkpoint_every
                if every is not None and self.progress.step % every == 0:
                    self._save()
            self._end_epoch()
            self._save()
        return self.progress

    def _is_done(self) -> bool:
        done, patience = self.progress, self._options.validation.patience
        if len(done.history) >= self._options.epochs:
            return True
        is_stale = done.best is not None and len(done.history) - 1 - done.best >= (patience or 0)
        return patience is not None and is_stale

    def step(self, chunk: Chunk) -> dict[str, float]:
        """One update; the losses before it. TrainingError E0501 where one is not finite, E0502
        where the schedules leave none."""
        moment = self._moment()
        losses = dict(self.objectives.losses(self.scorer.score(chunk), chunk, moment))
        if not losses:
            raise _nothing_on(moment)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise self._not_finite(chunk)
        self._adam.zero_grad(set_to_none=True)
        total.backward()
        self._adam.step()
        chosen = self._options.optimizer
        self.scorer.table.step(chosen.lr, chosen.l2)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _moment(self) -> Moment:
        """That of the step under way: of what a checkpoint keeps, and of the batch's place."""
        share = (self.loader.position.epoch + self.loader.share) / self._options.epochs
        return Moment(self.progress.step + 1, share)

    def _count(self, losses: dict[str, float]) -> None:
        done = self.progress
        done.step += 1
        done.in_epoch += 1
        for name, loss in losses.items():
            done.sums[name] = done.sums.get(name, 0.0) + loss

    def _end_epoch(self) -> None:
        done = self.progress
        if not done.in_epoch:
            raise TrainingError(
                "E0502",
                "there is no request to train on",
                help="split.train_until, or the days given, leave none in train",
            )
        names = [name for _, name, _ in self.objectives.named()]
        losses = {name: done.sums.get(name, 0.0) / done.in_epoch for name in names}
        measure = self._options.validation.measure
        told = validate(self.scorer, self._validation(), measure)
        done.history.append(
            {"epoch": len(done.history), "step": done.step, "losses": losses, "validation": told}
        )
        done.in_epoch, done.sums = 0, {}
        value = told[measure]
        if value is not None:
            best = None if done.best is None else done.history[done.best]["validation"][measure]
            if best is None or is_better(measure, value, best):
                done.best = len(done.history) - 1
        self._write_history()
        self._notify("epoch", **done.history[-1])

    def _write_history(self) -> None:
        lines = [json.dumps(epoch) for epoch in self.progress.history]
        (self._folder / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _save(self) -> None:
        folder = self._folder / checkpoints.FOLDER
        checkpoints.save(folder, checkpoints.step_name(self.progress.step), self.state())
        checkpoints.prune(folder, self._options.keep_checkpoints, self.best_name())

    def best_name(self) -> str | None:
        """The checkpoint of the best epoch."""
        done = self.progress
        return None if done.best is None else checkpoints.step_name(done.history[done.best]["step"])

    def state(self) -> Checkpoint:
        """All that the next step depends on."""
        tensors = dict(self.scorer.tensors())
        for name, parameter in self.scorer.student.named_parameters():
            for key, value in self._adam.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = value
        facts = {"run": self._run, "loader": self.loader.state_dict(), **asdict(self.progress)}
        return Checkpoint(tensors, facts)

    def load_state(self, found: Checkpoint) -> None:
        """Go on from there."""
        self.scorer.load(found.tensors)
        for name, parameter in self.scorer.student.named_parameters():
            self._adam.state[parameter] = {
                key: found.tensors[f"adam.{key}.{name}"]
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"adam.{key}.{name}" in found.tensors
            }
        self.loader.load_state_dict(found.facts["loader"])
        self.progress = Progress(**{name: found.facts[name] for name in asdict(self.progress)})

    def _not_finite(self, chunk: Chunk) -> TrainingError:
        place = self._folder / "bad_batch.json"
        ids = chunk.request_id.to_pylist()
        place.write_text(json.dumps({"request_id": ids}) + "\n", encoding="utf-8")
        return TrainingError(
            "E0501",
            f"the loss is not finite at step {self.progress.step + 1}",
            found=f"the ids of the batch's {len(ids)} requests are in {place}",
            help="lower train.optimizer.lr, or look at the weights and scores of these requests",
        )


def _nothing_on(moment: Moment) -> TrainingError:
    return TrainingError(
        "E0502",
        f"no loss counts at step {moment.step}",
        found=f"every weight or schedule gives 0 at {moment.share:.0%} of the training",
        help="let a term of train.objectives begin before the others end",
    )


@torch.no_grad()
def validate(scorer: Scorer, batches: Iterable[Chunk], measure: str) -> dict[str, float | None]:
    """How the student orders what the teacher ordered, and the measure that it is chosen by;
    under the default conventions of `evaluate`."""
    found = Collected(dict.fromkeys([*ALWAYS, measure]))
    for chunk in batches:
        key = xxh64(chunk.request_id)
        score = scorer.score(chunk).slots.numpy()
        found.add(Judged(chunk.offsets, key, score, chunk.columns))
    num = int(found.columns(ALWAYS[0])[:, 1].sum())
    return {**found.values(), "num_requests": num}
