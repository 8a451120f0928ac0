"""The pages of the report in reading order: which measures stand where, and a word on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Section:
    """key: for links. measures: their ids. intro: what the reader looks at."""

    key: str
    title: str
    intro: str
    measures: tuple[str, ...]


SECTIONS = (
    Section(
        "funnel",
        "From log to samples",
        "What came in, what was set aside, and what was made of the rest.",
        ("funnel", "Q01", "Q02", "Q03", "Q04", "Q05"),
    ),
    Section(
        "lengths",
        "List lengths",
        "How many candidates a request has. Lists of one candidate teach no order.",
        ("Q06",),
    ),
    Section(
        "teacher",
        "Teacher scores",
        "Whether the teacher tells candidates apart, agrees with its own ranks, and is right "
        "about what was clicked.",
        ("Q07", "Q08", "Q09", "Q10", "Q11", "Q12", "Q34"),
    ),
    Section(
        "weights",
        "Grades and weights",
        "What the loss will be about: the mix of grades, and how much weight each rank carries.",
        ("Q13", "Q17"),
    ),
    Section(
        "pairs",
        "Pairs",
        "Which ranks are compared, by how wide a margin, and whether position alone would tell.",
        ("Q14", "Q15", "Q16"),
    ),
    Section(
        "negatives",
        "Negatives",
        "Where negatives come from, how hard and how popular they are, and how many are wrong.",
        ("Q18", "Q19", "Q20", "Q21", "Q22", "Q23", "Q24", "Q33"),
    ),
    Section(
        "coverage",
        "Users and items covered",
        "How much of the log's users and items the samples still know.",
        ("Q25", "Q26"),
    ),
    Section(
        "leakage",
        "Time, splits and leakage",
        "Whether anything in the samples was not yet known when the request was ranked.",
        ("Q27", "Q28", "Q29"),
    ),
    Section(
        "drift",
        "Drift and history",
        "How these days differ from earlier ones or from a baseline.",
        ("Q30", "Q31", "Q32"),
    ),
)
OTHERS = ("others", "Other measures", "Measures without a page of their own yet.")


def sections(measures: Sequence[Mapping[str, Any]]) -> list[Section]:
    """The sections, and one more for measures that stand in none."""
    known = {name for section in SECTIONS for name in section.measures}
    rest = tuple(m["id"] for m in measures if m["id"] not in known)
    return [*SECTIONS, *([Section(*OTHERS, rest)] if rest else [])]


KINDS = ("pointwise", "pairwise", "listwise", "negatives")


def funnel(document: Mapping[str, Any]) -> dict[str, Any]:
    """What came of the log's rows, as a histogram; counts of all days together."""
    door, counts = document["door"], document["counts"]
    set_aside = {n.partition(".")[2]: k for n, k in door.items() if n.startswith("rejected.") and k}
    rows: dict[str, float] = {}
    if "rows_in" in door:
        rows["rows of the log"] = door["rows_in"]
    rows |= {f"set aside: {n.replace('_', ' ')}": k for n, k in sorted(set_aside.items())}
    if "candidates" in counts:
        rows["candidates in lists"] = counts["candidates"]
    if "requests" in counts:
        rows["requests"] = counts["requests"]
    made = {f"rows of {kind}": counts.get(f"{kind}.rows") for kind in KINDS}
    rows |= {name: number for name, number in made.items() if number is not None}
    return {"labels": list(rows), "counts": list(rows.values()), "unit": "number"}
