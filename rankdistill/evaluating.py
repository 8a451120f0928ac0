"""The verb `evaluate`: from a run's folder and a data set to what the student is worth.

Between `settings` and the room `student`, as `training` is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rankdistill import __version__
from rankdistill.config import Options, load
from rankdistill.document import apply_overrides, read_document
from rankdistill.errors import ConfigError, TrainingError, UserErrors
from rankdistill.quality.text_table import text_table
from rankdistill.reporting import is_page
from rankdistill.settings import Settings, read_settings
from rankdistill.store.builds import Build
from rankdistill.store.dataset import DataSet
from rankdistill.store.outputs import IsOurs, made_folder, refuse_folder, write
from rankdistill.student.evaluation.faults import CHANNEL, option_faults, segments_of
from rankdistill.student.evaluation.options import EvaluateOptions
from rankdistill.student.fields.options import FieldsOptions
from rankdistill.training import need_torch
from rankdistill.training_features import tables_now
from rankdistill.verbs import Run

VERSION = 1
JSON_FILE, PAGE_FILE = "evaluation.json", "evaluation.html"
SPLITS = ("test", "valid")
FEW = 100  # requests
# Name -> whether a file that starts so is one of ours.
FILES: Mapping[str, IsOurs] = {
    JSON_FILE: lambda start: (
        re.match(r'\{\s*"schema_version": \d+,\s*"rankdistill": ".*",\s*"students": \[', start)
        is not None
    ),
    PAGE_FILE: is_page,
}


@dataclass(frozen=True)
class Asked:
    """As the command line has it. split: None = test where it has requests, else valid."""

    run: str
    config: str | None
    data: str | None
    build: int | None
    dts: tuple[str, ...]
    split: str | None
    against: str | None
    recall: str | None
    out: str | None
    overrides: tuple[str, ...]


class _Own(Options):
    """What --set sets where there is no config file."""

    evaluate: EvaluateOptions = EvaluateOptions()


def evaluate(run: Run, asked: Asked) -> None:
    need_torch()
    refuse_folder(asked.out or asked.run, FILES)  # before the work
    from rankdistill.student.evaluation import evaluate as evaluation
    from rankdistill.student.evaluation.contestant import Contestant
    from rankdistill.student.evaluation.frozen import told_time
    from rankdistill.student.evaluation.page import page

    options, data, settings = chosen(asked)
    student = Contestant.load(Path(asked.run))
    others = [Contestant.load(Path(f)) if f else None for f in (asked.against, asked.recall)]
    found = DataSet.open(data or student.facts["data_set"])
    _refuse_faults(options, found, settings)
    build = _build(asked, found, student.facts if data is None else None)
    if settings is not None:
        for each in (student, *others):
            _look_up_now(each, settings, found, build)
    plan, split, held, notes = _plan(asked, options, found, build, [student, *others])
    document = {
        "schema_version": VERSION,
        "rankdistill": __version__,
        **_facts(asked, found, build, plan),
        "split": split,
        "first": None if held.first is None else told_time(held.first),
        "last": None if held.last is None else told_time(held.last),
        "notes": notes,
        **evaluation.evaluate(plan, run.notify),
    }
    if options.own_channel is not None:
        notes += [o["why"] for o in document["left_out"] if o["measure"] == "marginal_recall"]
    if document["num_requests"] < FEW:
        notes.append(f"fewer than {FEW} requests: intervals are narrower than they should be")
    if (longest := document["longest_list"]) <= max(options.m):
        notes.append(
            f"no list has more than {longest} candidates: what passes the top m of {longest} and "
            "more (recall@m@k, survival@m) is 1 whatever the student does; set evaluate.m below it"
        )
    for note in notes:
        run.say(f"warning: {note}")
    folder = made_folder(asked.out or asked.run)
    write(folder / JSON_FILE, json.dumps(document, indent=1, allow_nan=False) + "\n")
    write(folder / PAGE_FILE, page(document))
    run.facts["evaluation"] = {"files": [str(folder / name) for name in (JSON_FILE, PAGE_FILE)]}
    run.show(_text(document, folder), document)


def chosen(asked: Asked) -> tuple[EvaluateOptions, str | None, Settings | None]:
    """(what to measure, the data set's folder; None: the run's own, the config's settings)."""
    if asked.config is not None:
        settings = read_settings(asked.config, list(asked.overrides))
        return settings.evaluate, asked.data or settings.output, settings
    if others := [o for o in asked.overrides if not o.startswith(("evaluate.", "evaluate="))]:
        raise ConfigError("E0108", "without --config only evaluate.* can be set", found=others[0])
    own = load(_Own, apply_overrides(read_document("{}", "--set"), asked.overrides))
    return own.evaluate, asked.data, None


def _refuse_faults(options: EvaluateOptions, found: DataSet, settings: Settings | None) -> None:
    """UserErrors where the options do not fit the lists."""
    if faults := [*option_faults(options, found.schema("lists"))]:
        errors = UserErrors(faults)
        raise errors if settings is None else settings.placed(errors)


def _look_up_now(student: Any, settings: Settings, found: DataSet, build: Build) -> None:
    """Have it look into the feature tables of the config instead of those of its run, which may
    lack rows of later requests."""
    if student is None or not student.fields.tables.joins:
        return
    fields = FieldsOptions.model_validate(student.facts["options"]["fields"])
    tables = tables_now(settings, fields, found, build)
    student.fields = replace(student.fields, tables=tables)


def _build(asked: Asked, found: DataSet, trained: Any) -> Build:
    if asked.build is not None:
        return found.build(asked.build)
    return found.newest() if trained is None else found.build(trained["build"])


def _plan(
    asked: Asked, options: EvaluateOptions, found: DataSet, build: Build, students: list[Any]
) -> tuple[Any, str, Any, list[str]]:
    """(the plan, the split, its span, what is to be told). students: run, other, recall."""
    from rankdistill.student.evaluation import evaluate as evaluation
    from rankdistill.student.evaluation import frozen
    from rankdistill.student.reading import lists_source

    lists = found.schema("lists")
    there, segments = lists.names, segments_of(options, lists)
    known = [each for each in students if each is not None]
    columns = [*_columns(options, there), *segments, *(c for each in known for c in each.columns)]
    days = asked.dts or None
    sources = {
        split: lists_source(found, build, dts=days, splits=[split], columns=columns)
        for split in ([asked.split] if asked.split is not None else SPLITS)
    }
    split, held = _first_with_requests(
        {name: source.span() for name, source in sources.items()}, found, asked.dts
    )
    notes = [frozen.refuse_learned(held, split, each) for each in known]
    notes += [frozen.other_data(each, found.root) for each in known]
    if split == "valid":
        notes.append("valid chose the checkpoint, which flatters the student a little; see --split")
    history = lists_source(found, build, splits=frozen.TRAINED_ON, columns=columns)
    student, against, recall = students
    plan = evaluation.Plan(
        sources[split], history, student, options, build.seed, segments, against, recall
    )
    return plan, split, held, [note for note in notes if note is not None]


def _first_with_requests(
    spans: dict[str, Any], found: DataSet, dts: Sequence[str]
) -> tuple[str, Any]:
    for split, span in spans.items():
        if span.num:
            return split, span
    on = f" on {', '.join(dts)}" if dts else ""
    raise TrainingError(
        "E0502",
        f"{found.root} has no request in {' or '.join(spans)}{on}",
        help="set split.train_until and split.valid_until, build, and train again; or --dt",
    )


def _columns(options: EvaluateOptions, there: list[str]) -> list[str]:
    """The columns that measures, segments and policies look at."""
    channel = [CHANNEL] if options.own_channel is not None else []
    return ["position", *channel, *_inner(options, there)]


def _inner(options: EvaluateOptions, there: list[str]) -> list[str]:
    """The columns that tiers are sorted by inside."""
    if options.policies is None:
        return ["prerank_score"] if "prerank_score" in there else []
    return [policy.inner for policy in options.policies if policy.kind == "tiers"]


def _facts(asked: Asked, found: DataSet, build: Build, plan: Any) -> dict[str, Any]:
    """What was evaluated on what."""
    students = [
        {
            "run": str(each.folder),
            "hash": each.facts["run"],
            "student": each.facts["student"],
            "model": each.facts["options"]["model"],
            "objectives": each.facts["objectives"],
        }
        for each in plan.students
    ]
    return {
        "students": students,
        "recall": asked.recall,
        "data_set": str(found.root),
        "build": build.number,
        "days": sorted(asked.dts or build.days),
        "options": plan.options.model_dump(mode="json"),
    }


def _text(document: dict[str, Any], folder: Path) -> str:
    from rankdistill.student.evaluation.words import measure_rows

    head = (
        f"{document['num_requests']:,} requests of {document['split']}, build "
        f"{document['build']} of {document['data_set']}"
    )
    return f"{head}\n\n{text_table(measure_rows(document))}\n\n{folder / PAGE_FILE}"
