"""What a run is watched for: losses, gradients and weights that are not finite, labels that say
nothing, gradients far beyond those before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from pathlib import Path

import torch

from rankdistill.errors import TrainingError
from rankdistill.store.files import replace_text
from rankdistill.student.chunk import Chunk
from rankdistill.student.losses.schedule import Moment
from rankdistill.student.optimizer import Gradients
from rankdistill.student.views import view_of

FAR, FEW = 100.0, 20  # times the mean gradient of the steps before, once there are so many


class Watch:
    """place: the file for the ids of a bad batch; say: hears warnings."""

    def __init__(self, place: Path, say: Callable[[str], None]) -> None:
        self._place, self._say = place, say
        self._sum, self._num, self._is_told = 0.0, 0, False

    def step(self, step: int, chunk: Chunk, found: Gradients) -> None:
        """TrainingError E0501 where a loss or the gradient is not finite; a warning, once, where
        the gradient is far longer than those before."""
        bad = [name for name, loss in found.losses.items() if not isfinite(loss)]
        if bad or not isfinite(found.norm):
            what = f"the loss {bad[0]}" if bad else "the gradient"
            raise self._not_finite(what, step, chunk)
        if self._num >= FEW and found.norm > FAR * self._sum / self._num and not self._is_told:
            self._is_told = True
            self._say(
                f"warning: the gradient of step {step} is {found.norm:.3g} long, those before "
                f"{self._sum / self._num:.3g} on the average; train.optimizer.clip bounds it"
            )
        self._sum += found.norm
        self._num += 1

    def _not_finite(self, what: str, step: int, chunk: Chunk) -> TrainingError:
        ids = chunk.request_id.to_pylist()
        text = json.dumps({"step": step, "request_id": ids}, default=str)
        replace_text(self._place, text + "\n")
        return TrainingError(
            "E0501",
            f"{what} is not finite at step {step}",
            found=f"the ids of the batch's {len(ids)} requests are in {self._place}",
            help="lower train.optimizer.lr or set train.optimizer.clip, or look at the weights "
            "and scores of these requests",
        )


def refuse_infinite(tensors: Mapping[str, torch.Tensor], step: int) -> None:
    """TrainingError E0501 where a number that would be kept is not finite."""
    for name, tensor in tensors.items():
        # A sum costs a fraction of what a mask does, and keeps what is not finite.
        if tensor.is_floating_point() and not isfinite(float(tensor.sum(dtype=torch.float64))):
            raise TrainingError(
                "E0501",
                f"{name} is not finite after step {step}",
                found="the checkpoint before it is kept",
                help="lower train.optimizer.lr or set train.optimizer.clip, and train with "
                "another --out",
            )


def see_labels(seen: dict[str, list[float]], views: Iterable[str], chunk: Chunk) -> None:
    """Widen the least and the largest label of each view, in place, by those of a batch."""
    for view in views:
        own = view_of(view).labels
        if own is not None and len(labels := own(chunk)):
            held = [*seen.get(view, []), float(labels.min()), float(labels.max())]
            seen[view] = [min(held), max(held)]


def all_labels(seen: Iterable[Mapping[str, list[float]]]) -> dict[str, list[float]]:
    """The least and the largest label of each view, of what every process has seen."""
    found: dict[str, list[float]] = {}
    for each in seen:
        for view, ends in each.items():
            held = [*found.get(view, []), *ends]
            found[view] = [min(held), max(held)]
    return found


def refuse_nothing(seen: Mapping[str, list[float]], views: Iterable[str]) -> None:
    """TrainingError E0502 where the losses of a view saw no row at all."""
    for name in views:
        view = view_of(name)
        if name in seen or view.labels is None:
            continue
        if view.needs_score:
            first = "map log.columns.teacher_score and build again"
        elif view.in_batch:
            first = "look at the positives of samples.negatives or samples.pointwise"
        elif view.kind is not None:
            first = f"look at what samples.{view.kind} asks for, and at its table"
        else:
            first = "map what was shown (log.stage, or log.columns.position) and build again"
        raise TrainingError(
            "E0502",
            f'the losses on "{name}" have nothing to learn from',
            found="nothing in the first epoch has what they look at",
            help=f"{first}, or leave these losses out of train.objectives, such as "
            "{main: [{kind: bpr}]}",
        )


def refuse_constant(seen: Mapping[str, list[float]]) -> None:
    """TrainingError E0502 where all labels of a view are one number."""
    for view, (least, largest) in sorted(seen.items()):
        if least == largest:
            raise TrainingError(
                "E0502",
                f'the losses on "{view}" have nothing to tell apart',
                found=f"every label of the first epoch is {least:g}",
                help="map what tells (log.response, samples.pointwise), or leave these losses out",
            )


def nothing_on(moment: Moment) -> TrainingError:
    return TrainingError(
        "E0502",
        f"no loss counts at step {moment.step}",
        found=f"every weight or schedule gives 0 at {moment.share:.0%} of the training",
        help="let a term of train.objectives begin before the others end",
    )


def nothing_learned() -> TrainingError:
    return TrainingError(
        "E0502",
        "there is no request to train on",
        help="split.train_until, or the days and times given, leave none in train",
    )


def nothing_to_validate() -> TrainingError:
    return TrainingError(
        "E0502",
        "there is no request to validate on",
        found="no request of the build is of split valid",
        help="set split.train_until before the build's last request and build again, or train "
        "without validation: train.validation: null",
    )


def not_to_be_measured(measure: str) -> TrainingError:
    return TrainingError(
        "E0502",
        f"no request can be validated by {measure}",
        found="there are requests of split valid, and none has what is measured: two candidates "
        "with a teacher rank, a response, ... (docs/evaluate.md)",
        help="choose another train.validation.measure, or train without validation: "
        "train.validation: null",
    )
