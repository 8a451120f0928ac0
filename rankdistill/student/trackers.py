"""Where the numbers of a run go beside its folder: TensorBoard, MLflow. Packages of the extra
`track`, imported only where the config names them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rankdistill.errors import ResourceError
from rankdistill.store.files import replace_text
from rankdistill.student.options import MlflowOptions, TensorBoardOptions

TENSORBOARD = "tensorboard"
MLFLOW_RUN = "mlflow_run.txt"  # the id under which a resumed run goes on
_OTHERS = re.compile(r"[^\w\-. /]")  # what MLflow takes in no name


class Tracker(Protocol):
    def put(self, values: Mapping[str, float], step: int) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Scalars as event files; those of later steps than `step` no longer count."""

    def __init__(self, options: TensorBoardOptions, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as fault:
            raise _missing("tensorboard", fault) from fault
        place = options.folder or str(folder / TENSORBOARD)
        self._writer: Any = SummaryWriter(place, purge_step=step + 1)

    def put(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class Mlflow:
    """Metrics of one run of MLflow, whose id stands in the run's folder."""

    def __init__(self, options: MlflowOptions, folder: Path, step: int) -> None:
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as fault:
            raise _missing("mlflow", fault) from fault
        self._client: Any = MlflowClient(tracking_uri=options.uri)
        place = folder / MLFLOW_RUN
        if place.exists():
            self._run = place.read_text(encoding="utf-8").strip()
            self._client.update_run(self._run, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(options.experiment)
        number = found.experiment_id if found else None
        number = number or self._client.create_experiment(options.experiment)
        name = options.name or folder.resolve().name
        self._run = self._client.create_run(number, run_name=name).info.run_id
        replace_text(place, self._run + "\n")

    def put(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, _OTHERS.sub("_", name), value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._run)


TRACKERS: dict[str, Callable[[Any, Path, int], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": Mlflow,
}


def trackers(chosen: Sequence[Any], folder: Path, step: int) -> list[Tracker]:
    """Those of the config, for a run that goes on after `step`. ResourceError E0404 where a
    package is missing."""
    return [TRACKERS[each.kind](each, folder, step) for each in chosen]


def _missing(name: str, fault: ImportError) -> ResourceError:
    return ResourceError(
        "E0404",
        f"train.trackers names {name}, which is not installed",
        found=str(fault),
        help="pip install 'rankdistill[track]'",
    )
