"""What `diff` and `baseline` do: a data set held against another, and against its own past."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from rankdistill import differ, reporting
from rankdistill.errors import ConfigError
from rankdistill.quality.baseline import as_rows, as_yaml, propose
from rankdistill.quality.metrics import as_text, judged_days
from rankdistill.store.outputs import IsOurs, made_folder, refuse_folder, write
from rankdistill.verbs import Run
from rankdistill.verdict import readable

# Name -> whether a file that starts so is one of ours.
FILES: Mapping[str, IsOurs] = {
    "diff.html": reporting.is_page,
    "diff.md": lambda start: start.startswith("# Changes. "),
    "diff.json": lambda start: (
        re.match(r'\{\s*"a": ".*",\s*"b": ".*",\s*"config": \[', start) is not None
    ),
}


@dataclass(frozen=True)
class Asked:
    """What is compared: places a and b, or a and what `baseline` says of it; dt: one day."""

    a: str
    b: str | None
    baseline: str | None
    dt: str | None
    config: str | None
    overrides: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.b is not None and self.baseline is not None:
            raise ConfigError("E0105", "give B or --baseline, not both", found=self.b)
        if self.b is None and self.baseline is None:
            verb = f"rankdistill diff {shlex.quote(self.a)}"
            raise ConfigError(
                "E0105",
                f"what is {self.a} to be compared with?",
                help=f"with another data set or build: {verb} OTHER, or OTHER@BUILD; with the "
                f"build before: {verb} --baseline last:1; with the day before: {verb} --baseline "
                "yesterday",
            )


def diff(run: Run, asked: Asked, out: str | None, redact_ids: bool = False) -> None:
    """Tell what changed, and write it where `out` says."""
    from rankdistill.quality.report.diff import markdown, page, text
    from rankdistill.quality.report.redact import redacted_diff

    if out is not None:
        refuse_folder(out, FILES)  # before the work
    _, options = reporting.chosen(asked.config, asked.overrides)
    compared = differ.diff(*_picked(asked), options.chosen_gates())
    found = json.loads(as_text(redacted_diff(compared) if redact_ids else compared))
    files = []
    if out is not None:
        folder = made_folder(out)
        for name, content in zip(
            FILES, (page(found), markdown(found), as_text(found)), strict=True
        ):
            write(folder / name, content)
        files = [f"{out}/{name}" for name in FILES]
    run.facts.update(equal=found["equal"], files=files)
    run.show("\n".join([text(found), *([""] if files else []), *files]), found)


def _picked(asked: Asked) -> tuple[differ.Picked, differ.Picked]:
    if asked.b is not None:
        return differ.pick(asked.a, asked.dt), differ.pick(asked.b, asked.dt)
    assert asked.baseline is not None
    return differ.against(differ.pick(asked.a), asked.baseline, asked.dt)


def baseline(run: Run, asked: reporting.Asked) -> None:
    """Print the gates that the clean days of a build propose."""
    data_set, days, options = reporting.all_days(asked)
    gates = options.chosen_gates()
    with readable(data_set):
        judged = judged_days(days, gates)
    proposals = propose(list(judged.values()))
    run.show(as_yaml(proposals), as_rows(proposals))
