"""What `report`, `check` and `preview` do: find what was asked for, judge it, write pages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankdistill.config import Options, load
from rankdistill.document import apply_overrides, read_document
from rankdistill.errors import ConfigError, GateError
from rankdistill.quality import words
from rankdistill.quality.junit import is_junit
from rankdistill.quality.junit import junit as as_junit
from rankdistill.quality.metrics import Day, as_text
from rankdistill.quality.options import QualityOptions
from rankdistill.quality.report import MARK
from rankdistill.quality.text_table import text_table
from rankdistill.request import differs, preview_request
from rankdistill.settings import Settings, read_settings
from rankdistill.store.builds import Build
from rankdistill.store.dataset import DataSet
from rankdistill.store.outputs import (
    IsOurs,
    append,
    made_folder,
    refuse_folder,
    refuse_foreign,
    write,
)
from rankdistill.store.verify import refuse_damaged
from rankdistill.verbs import Run
from rankdistill.verdict import asked_days, days_read, judged_build, read_file


def is_page(start: str) -> bool:
    """Whether a file that starts so is a page of ours."""
    return MARK in start


# What `report` writes: name -> whether a file that starts so is one of ours.
FILES: Mapping[str, IsOurs] = {
    "report.html": is_page,
    "report.md": lambda start: start.startswith("# Sample quality of "),
    "report.json": lambda start: (
        re.match(r'\{\s*"configs": \d+,\s*"counts": \{', start) is not None
    ),
}


@dataclass(frozen=True)
class Asked:
    """Whose metrics: of a data set (at data, or at the config's output), its build and days; or
    of a file. overrides: --set of the config, or of quality alone without one."""

    config: str | None
    overrides: tuple[str, ...]
    data: str | None
    build: int | None
    dts: tuple[str, ...]
    metrics: str | None

    def __post_init__(self) -> None:
        if self.metrics and (self.data or self.build is not None or self.dts):
            raise ConfigError("E0105", "give --metrics, or --data with --build and --dt, not both")
        if not (self.metrics or self.data or self.config):
            raise ConfigError(
                "E0105", "give --data, or --metrics, or --config (its output is meant)"
            )


class _Own(Options):
    """What --set sets where there is no config file."""

    quality: QualityOptions = QualityOptions()


@dataclass(frozen=True)
class Found:
    """document: the content of metrics.json, judged. title: what it is of. notes: to be told."""

    document: Mapping[str, Any]
    title: str
    options: QualityOptions
    notes: tuple[str, ...] = ()


def find(asked: Asked) -> Found:
    """What was asked for. Raises InputError E0601 where it is missing or damaged."""
    settings, options = chosen(asked.config, asked.overrides)
    if asked.metrics:
        return Found(read_file(asked.metrics), Path(asked.metrics).name, options)
    data_set, build = _build(asked, settings)
    document = judged_build(data_set, build, options.chosen_gates(), asked.dts or None)
    return Found(document, f"build {build.number} of {data_set.root.name}", options)


def _recomputed(asked: Asked) -> Found:
    """`find` with states computed again from the tables. Raises InputError E0604, and
    PlaceError E0204 of a damaged part, too."""
    from rankdistill.recompute import recomputed

    settings, options = chosen(asked.config, asked.overrides)
    if asked.metrics:
        raise ConfigError("E0105", "--recompute reads tables: give --data or --config")
    data_set, build = _build(asked, settings)
    days = asked_days(data_set, build, asked.dts or None)
    parts = [part for table in build.tables for part in data_set.parts(table, build)]
    refuse_damaged(data_set.root, build, [part for part in parts if part.dt in days])
    document, notes = recomputed(data_set, build, options, settings, asked.dts or None)
    return Found(document, f"build {build.number} of {data_set.root.name}", options, notes)


def all_days(asked: Asked) -> tuple[DataSet, list[Day], QualityOptions]:
    """The days of a build, by dt, not yet judged. Raises as `find`."""
    settings, options = chosen(asked.config, asked.overrides)
    data_set, build = _build(asked, settings)
    days = days_read(data_set, build)
    return data_set, [days[dt] for dt in sorted(days)], options


def _build(asked: Asked, settings: Settings | None) -> tuple[DataSet, Build]:
    data_set = DataSet.open(asked.data or (settings.output if settings else ""))
    return data_set, data_set.newest() if asked.build is None else data_set.build(asked.build)


def chosen(config: str | None, overrides: Sequence[str]) -> tuple[Settings | None, QualityOptions]:
    """The settings of a config file, if one is given, and what it says of quality."""
    if config is not None:
        settings = read_settings(config, list(overrides))
        return settings, settings.quality
    if others := [one for one in overrides if not one.startswith(("quality.", "quality="))]:
        raise ConfigError("E0108", "without --config only quality.* can be set", found=others[0])
    return None, load(_Own, apply_overrides(read_document("{}", "--set"), overrides)).quality


def report(run: Run, asked: Asked, out: str, redact_ids: bool) -> None:
    from rankdistill.quality.report.markdown import markdown
    from rankdistill.quality.report.page import page
    from rankdistill.quality.report.redact import redacted

    refuse_folder(out, FILES)  # before the work
    found = find(asked)
    text = as_text(redacted(found.document) if redact_ids else found.document)
    document = json.loads(text)  # in the order of the file, wherever it is from
    folder = made_folder(out)
    texts = (page(document, found.title), markdown(document, found.title), text)
    for name, text in zip(FILES, texts, strict=True):
        write(folder / name, text)
    files = [str(Path(out) / name) for name in FILES]
    told = words.sentence(document)
    run.facts.update(verdict=document["verdict"], files=files)
    run.show("\n".join([told, *files]), {"verdict": document["verdict"], "files": files})


def preview(run: Run, chosen: Settings, request_id: str, why: bool, html: str | None) -> None:
    if html is not None:
        refuse_foreign(html, is_page, "no page of rankdistill")
    found = DataSet.open(chosen.output)
    shown = preview_request(found, chosen, request_id, why=why)
    if why and differs(found, chosen):
        run.say("warning: the current build was made under other settings; these reasons are of")
        run.say("the config as it is now")
    if html is None:
        run.show(shown.text(), shown.as_dict())
        return
    from rankdistill.quality.report.request_page import request_page

    write(Path(html), request_page(shown, f"build {shown.build} of {found.root.name}"))
    run.show(html, {**shown.as_dict(), "html": html})


def check(
    run: Run, asked: Asked, junit: str | None, summary: str | None, recompute: bool = False
) -> None:
    if junit is not None:
        refuse_foreign(junit, is_junit, "no JUnit file")  # before the work
    found = _recomputed(asked) if recompute else find(asked)
    document, fail_on = found.document, found.options.fail_on
    if junit is not None:
        write(Path(junit), as_junit(document, fail_on))
    if summary is not None:
        from rankdistill.quality.report.markdown import markdown

        # Whoever may see the run sees the summary: no ids.
        append(summary, markdown(document, found.title, examples=False))
    rows = list(words.lines(document))
    run.facts.update(verdict=document["verdict"], num_verdicts=document["num_verdicts"])
    told = f"{found.title}: {words.sentence(document)}"
    for note in found.notes:
        run.say(note)
    shown = [{**row, "verdict": words.MARKS[row["verdict"]]} for row in rows]
    run.show(f"{told}\n\n{text_table(shown)}", {"verdict": document["verdict"], "measures": rows})
    if fail_on != "never" and all(m["value"] is None for m in document["measures"]):
        raise GateError(
            "E0602",
            f"{found.title}: no measure has a value, so there is nothing to call good",
            found=f"days {', '.join(document['days'][:5])}",
            help="a day without rows? --fail-on never lets it through",
        )
    if words.reaches(document["verdict"], fail_on):
        bad = words.bad(document)
        raise GateError(
            "E0602",
            f"{found.title}: a quality gate {'fails' if fail_on == 'fail' else 'warns or fails'}",
            found=words.stopped(document, fail_on),
            help=f"rankdistill report shows it; rankdistill explain {bad[0]['id']} says what to do",
        )
