"""docs/losses.md says what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

pytest.importorskip("torch")

from rankdistill.document import read_document
from rankdistill.settings import settings_of
from rankdistill.student.catalogue import LOSSES
from rankdistill.student.losses import schedule
from rankdistill.student.losses.loss import Law
from rankdistill.student.losses.options import LossOptions
from rankdistill.student.views import VIEWS
from tests.student.loss_kit import OPTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text()
HEADS = {"points": "Single", "pairs": "Pairs", "lists": "Lists", "contrast": "A positive"}


def cells(text: str) -> dict[str, list[str]]:
    """The rows of the tables of a text, by their first cell."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in re.split(r"(?<=\s)\| ?", rest)] for name, rest in rows}


def section(head: str) -> str:
    return next(part for part in PAGE.split("\n## ") if part.startswith(head))


def told(options: type, but: set[str]) -> str:
    """Its own fields with their defaults."""
    fields = {n: f.default for n, f in options.model_fields.items() if n not in but}
    shown = {n: f"{d:g}" if isinstance(d, float | int) else d for n, d in fields.items()}
    return ", ".join(f"{n} {'of samples.listwise' if d is None else d}" for n, d in shown.items())


@pytest.mark.parametrize("rows", HEADS)
def test_each_loss_stands_under_its_rows_with_views_parameters_and_laws(rows):
    found = cells(section(HEADS[rows]))
    assert list(found) == [kind for kind, loss in LOSSES.items() if loss.rows == rows]
    for kind, (formula, on, parameters, keeps, _) in found.items():
        about = OPTIONS[kind].model_fields["on"]
        assert formula
        assert on.split(", ")[0] == about.default
        assert set(on.split(", ")) == set(get_args(about.annotation))
        order = [n for n in parameters.split(", ") if n]
        wanted = told(OPTIONS[kind], {*LossOptions.model_fields, "feedback"})
        assert sorted(order) == sorted(n for n in wanted.split(", ") if n), kind
        assert keeps == ", ".join(sorted(LOSSES[kind].laws)), kind


def test_each_view_is_told_with_its_rows():
    found = cells(section("What a view"))
    assert {name: rest[0] for name, rest in found.items()} == {n: v.rows for n, v in VIEWS.items()}


def test_each_law_is_told():
    assert re.findall(r"^- `(\w+)`:", section("Laws"), re.MULTILINE) == list(get_args(Law))


def test_each_schedule_is_told_with_its_parameters():
    found = cells(section("Schedules"))
    classes = get_args(get_args(schedule.Schedule)[0])
    by_kind = {cls.model_fields["kind"].default: cls for cls in classes}
    assert {name: rest[1] for name, rest in found.items()} == {
        kind: told(cls, {"kind", "unit"}) for kind, cls in by_kind.items()
    }
    assert list(found) == list(schedule.SCHEDULES)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_the_configs_that_are_shown_are_read(block):
    text = "output: out\nlog: {path: logs}\n" + block
    assert settings_of(read_document(text, "losses.md")).train.objectives["main"]
