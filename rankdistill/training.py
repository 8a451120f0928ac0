"""The verbs of students: from settings and a data set to a run, and from a run to what it is worth.

Between `settings` and the room `student`, which is imported here alone, for torch is heavy and
may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankdistill.errors import ConfigError, ResourceError, unknown
from rankdistill.log.days import moment
from rankdistill.quality.text_table import text_table
from rankdistill.samples.facts import LogFacts
from rankdistill.samples.listwise import ListwiseOptions
from rankdistill.samples.pairwise import PairwiseOptions
from rankdistill.samples.pointwise import PointwiseOptions
from rankdistill.settings import Settings
from rankdistill.store.builds import Build
from rankdistill.store.dataset import DataSet
from rankdistill.training_features import joined_tables
from rankdistill.verbs import Run

if TYPE_CHECKING:  # torch is heavy and may be missing
    from rankdistill.student.plan import Plan
    from rankdistill.student.train import Progress

_EVER = 2**62  # microseconds
DRAWN_AFRESH = {
    "pointwise": PointwiseOptions(),
    "pairwise": PairwiseOptions(),
    "listwise": ListwiseOptions(),
}


@dataclass(frozen=True)
class Asked:
    """What the command line names. first, last: as --from and --to give them, days or times."""

    out: str
    build: int | None = None
    dts: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None

    @property
    def ends(self) -> tuple[str | None, str | None]:
        return self.first, self.last


def train(run: Run, chosen: Settings, asked: Asked) -> None:
    need_torch()
    from rankdistill.student import run as runs
    from rankdistill.student.device import device_of
    from rankdistill.student.parallel import group_of_processes

    run.if_stopped = (
        "the same command goes on from the last checkpoint (train.checkpoint_every; each epoch's "
        "end), or begins anew where there is none yet"
    )
    with group_of_processes(device_of(chosen.train.device)) as group:
        plan = plan_of(chosen, asked, group.size)
        done = runs.train(plan, Path(asked.out), run.notify, run.say, group)
        if group.is_first:
            _show(run, done, asked.out)
        else:
            run.result_file = None


def plan_of(chosen: Settings, asked: Asked | None = None, processes: int = 1) -> Plan:
    """What `chosen` asks to be trained, on a build (the newest) or some of its days.

    Raises ResourceError E0404 without torch, ConfigError E0105 where losses need what there is
    not, PlaceError E0201, E0206.
    """
    need_torch()
    asked = asked or Asked("")
    from rankdistill.student.objectives import Objectives, default_terms
    from rankdistill.student.plan import Plan

    data_set = DataSet.open(chosen.output)
    build = data_set.build(asked.build) if asked.build is not None else data_set.newest()
    facts = next(iter(build.days.values())).counts["log"]
    terms: Any = chosen.train.objectives or default_terms(has_response=bool(facts["response"]))
    objectives = Objectives(terms)
    kinds = resolved_kinds(chosen, build)
    _refuse_views(objectives, kinds, facts["score_kind"])
    _refuse_feedback(objectives, facts["feedback"])
    joins, stage = joined_tables(chosen, data_set, build)
    return Plan(
        data_set,
        build,
        chosen.train,
        objectives.for_kinds(kinds),
        kinds,
        chosen.seed,
        days_of(asked, build),
        joins,
        stage,
        times_of(asked),
        processes,
    )


def days_of(asked: Asked, build: Build) -> list[str] | None:
    """The days of the build that are asked for; None: all. ConfigError E0105 where none is."""
    first, last = (None if _is_time(each) else each for each in asked.ends)
    for end in filter(None, (first, last)):
        _refuse_no_day(end, build)
    if not asked.dts and first is None and last is None:
        return None
    named = asked.dts or sorted(build.days)
    days = [dt for dt in named if (first or dt) <= dt <= (last or dt)]
    if not days:
        raise ConfigError(
            "E0105",
            "no day of the build is one of those asked for",
            found=f"{_asked_for(asked)}; the build has {', '.join(sorted(build.days))}",
            help="give the earlier day as --from"
            if first and last and first > last
            else "give --dt, --from and --to days that it has",
        )
    return days


def times_of(asked: Asked) -> tuple[int, int] | None:
    """The times that are asked for, [first, last) in microseconds; None: all. ConfigError E0105
    where there is none between them."""
    ends = [None if each is None or not _is_time(each) else _micros(each) for each in asked.ends]
    if ends == [None, None]:
        return None
    first, last = ends[0] if ends[0] is not None else -_EVER, ends[1] or _EVER
    if first >= last:
        raise ConfigError(
            "E0105",
            "no time lies between --from and --to",
            found=f"--from {asked.first} --to {asked.last}",
            help="give the earlier time first",
        )
    return first, last


def _asked_for(asked: Asked) -> str:
    given = [*(("--dt", dt) for dt in asked.dts), ("--from", asked.first), ("--to", asked.last)]
    return " ".join(f"{name} {value}" for name, value in given if value is not None)


def _refuse_no_day(text: str, build: Build) -> None:
    """ConfigError E0102 where it is no day: a log may write them as 20261101, but with digits."""
    if text not in build.days and not any(each.isdigit() for each in text):
        raise ConfigError(
            "E0102",
            f"--from and --to take days and times, not {text}",
            help="2026-11-01, or 2026-11-01T05:00:00Z",
        )


def _is_time(text: str | None) -> bool:
    """Whether it is more than a day, 2026-11-01."""
    return text is not None and len(text) > len("2026-11-01")


def _micros(text: str) -> int:
    try:
        return (moment(text) - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    except ValueError as fault:
        raise ConfigError(
            "E0102", f"--from and --to take days and times: {fault}", help="2026-11-01T05:00:00Z"
        ) from fault


def _show(run: Run, done: Progress, out: str) -> None:
    run.facts["training"] = {"out": out, "epochs": done.history, "best": done.best}
    rows = [
        {
            "epoch": epoch["epoch"],
            "step": epoch["step"],
            **{name: round(loss, 4) for name, loss in epoch["losses"].items()},
            **{name: told for name, told in epoch["validation"].items() if name != "num_requests"},
            "best": "*" if number == done.best else "",
        }
        for number, epoch in enumerate(done.history)
    ]
    run.show(f"student in {out}\n\n{text_table(rows)}", run.facts["training"])


def _refuse_views(objectives: Any, kinds: Mapping[str, Any], score_kind: str | None) -> None:
    """ConfigError E0105 where a loss looks at samples or scores that there are none of."""
    where = ("train", "objectives")
    if objectives.of_scores and score_kind is None:
        views = ", ".join(objectives.of_scores)
        raise ConfigError(
            "E0105",
            f"train.objectives looks at {views}, and the log has no teacher scores",
            key=where,
            help="map log.columns.teacher_score and build again, or use a loss of the order",
        )
    if missing := sorted(objectives.kinds - kinds.keys()):
        blocks = ", ".join(f"samples.{kind}" for kind in missing)
        raise ConfigError(
            "E0105",
            f"train.objectives looks at {', '.join(missing)}, and the config has no {blocks}",
            key=where,
            help=f"add {blocks} and build, or use another loss",
        )


def _refuse_feedback(objectives: Any, known: Sequence[str]) -> None:
    """ConfigError E0107 where a loss looks at feedback that the log does not map."""
    for name in objectives.of_feedback:
        if name not in known:
            raise unknown("E0107", "train.objectives: feedback", name, known, "feedback: ")


def resolved_kinds(chosen: Settings, build: Build) -> dict[str, Any]:
    """The options of every kind that can be drawn afresh, resolved as for a build."""
    log = next(iter(build.days.values())).counts["log"]
    facts = LogFacts.of_build(log)
    found = {}
    for kind, default in DRAWN_AFRESH.items():
        options: Any = getattr(chosen.samples, kind) or default
        if options.needs:
            raise ConfigError(
                "E0105",
                f"samples.{kind}.debias looks into the catalogue, which training does not",
                key=("samples", kind, "debias"),
                help="train without it, or leave it to the loss",
            )
        found[kind] = options.for_student(chosen.student).for_log(facts)
    if chosen.samples.negatives is not None:
        found["negatives"] = chosen.samples.negatives.for_student(chosen.student).for_log(facts)
    return found


def need_torch() -> None:
    """ResourceError E0404 where torch is missing."""
    try:
        import rankdistill.student.embedding  # noqa: F401
    except ModuleNotFoundError as fault:
        raise ResourceError(
            "E0404",
            "training needs torch and safetensors",
            found=str(fault),
            help="pip install 'rankdistill[train]'; a CPU build of torch: pip install torch "
            "--index-url https://download.pytorch.org/whl/cpu",
        ) from fault
