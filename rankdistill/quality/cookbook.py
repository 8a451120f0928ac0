"""docs/measures/*.md: what each measure means and what to do when it fires, the one source.

Read by `rankdistill explain`, the report and people.
"""

from __future__ import annotations

import re
from functools import cache

from rankdistill.contract import resource

FOLDER = "docs/measures"
TO_DO = "What to do"


@cache
def cookbook() -> dict[str, str]:
    """Id of a measure -> its page, Markdown; pages are called Qnn-some-words.md or funnel.md."""
    folder = resource(FOLDER, "")
    if not folder.is_dir():
        return {}
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".md").split("-")[0]: file.read_text(encoding="utf-8")
        for file in files
        if file.name.endswith(".md")
    }


def measure_of(name: str) -> str:
    """The measure that a person means: q07 and q7 -> Q07, a gate's Q06.over_cap -> Q06, funnel."""
    measure = name.split(".")[0]
    if re.fullmatch("[Qq][1-9]", measure):
        measure = f"Q0{measure[1]}"
    return measure if measure in cookbook() else measure.upper()


def page_of(measure: str) -> str:
    """The page of a measure without its title; "" where none is written."""
    _, _, body = cookbook().get(measure, "").partition("\n")
    return body.strip()


def to_do(measure: str) -> str:
    """What its page says to do; "" where it says nothing."""
    _, found, rest = f"\n{page_of(measure)}".partition(f"\n## {TO_DO}\n")
    return rest.split("\n## ")[0].strip() if found else ""
