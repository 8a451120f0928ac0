"""docs/measures: a page for every measure, of one shape, and none without a measure."""

from __future__ import annotations

import re

import pytest

from rankdistill.quality.measures import MEASURES
from rankdistill.quality.measures.history import COMPARISONS
from tests.test_docs import ROOT

PAGES = sorted((ROOT / "docs" / "measures").glob("*.md"))
SECTIONS = ["What it says", "Why it matters", "Formula", "What to do"]


def test_every_measure_has_one_page():
    named = [path.name.removesuffix(".md").split("-")[0] for path in PAGES]
    assert sorted(named) == sorted(MEASURES)
    assert {*COMPARISONS} <= set(MEASURES)
    assert [f"Q{n:02d}" for n in range(1, 35)] == sorted(m for m in MEASURES if m != "funnel")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_says_what_why_how_and_what_to_do(path):
    text = path.read_text(encoding="utf-8")
    measure = MEASURES[path.stem.split("-")[0]]
    title = text.splitlines()[0]
    assert title.lower() in (f"# {measure.id} {measure.name}".lower(), f"# {measure.name}".lower())
    assert re.findall(r"^## (.+)$", text, re.M) == SECTIONS
