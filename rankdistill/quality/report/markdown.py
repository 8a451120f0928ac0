"""The report as Markdown, short enough for a step summary of a CI run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rankdistill.quality import words
from rankdistill.quality.cookbook import to_do
from rankdistill.quality.report.sections import funnel

MAX_CELL = 160
MAX_EXAMPLES = 5
# What Markdown or GitHub make something of, a link or a mention among it; where a backslash is
# not heard it is an entity.
MARKUP = re.compile(r"://|\bwww\.|[\\`*_{}\[\]()#+!|~$^=&<>@]|^\s*-|^\s*\d+[.)]", re.IGNORECASE)
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "://": "&#58;//"}
MARKS = {"ok": "good", "warn": "**warns**", "fail": "**FAILS**"}


def escaped(text: object, limit: int = MAX_CELL) -> str:
    """`text` as one line of Markdown that shows it and does nothing else."""
    return MARKUP.sub(_as_text, words.plain(text, limit))


def _as_text(found: re.Match[str]) -> str:
    mark = found[0]
    if mark[-1] in ".)" and len(mark) > 1:  # www. and 1.
        return f"{mark[:-1]}&#{ord(mark[-1])};"
    return ENTITIES.get(mark) or f"{mark[:-1]}\\{mark[-1]}"


def markdown(document: Mapping[str, Any], title: str, *, examples: bool = True) -> str:
    """The verdict, what to look at first, all measures, and what came of the rows.

    examples: whether failing rows are shown, with their ids.
    """
    days = escaped(words.span(document["days"]))
    sentence = escaped(words.sentence(document), 1000)
    lines = [f"# Sample quality of {escaped(title)}, {days}", "", f"**{sentence}**", ""]
    if bad := words.bad(document):
        lines += ["## What to look at first", ""]
        for measure in bad:
            lines += [*_alarm(measure, examples), ""]
    lines += ["## Measures", "", *measures_table(document), ""]
    return "\n".join([*lines, "## From log to samples", "", *funnel_table(document), ""])


def measures_table(document: Mapping[str, Any]) -> Iterator[str]:
    """A row per measure; those that do not apply are folded away."""
    yield from _measures(document)
    yield from _silent(document)


def funnel_table(document: Mapping[str, Any]) -> Iterator[str]:
    """What came of the log's rows."""
    rows = funnel(document)
    pairs = zip(rows["labels"], rows["counts"], strict=True)
    yield from table(
        ("", "number"), [(escaped(label), words.number(number)) for label, number in pairs]
    )


def _alarm(measure: Mapping[str, Any], examples: bool) -> Iterator[str]:
    yield f"### {escaped(measure['id'])} {escaped(measure['name'])} {MARKS[measure['verdict']]}"
    yield ""
    for reason in words.reasons(measure):
        yield f"- {escaped(reason, 400)}"
    if examples and measure["examples"]:
        yield from ("", *_examples(measure["examples"]))
    if text := to_do(measure["id"]):
        yield from ("", "<details><summary>What to do</summary>", "", text, "", "</details>")


def _examples(examples: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    keys = ("request_id", "item_id", "note")
    rows = [
        tuple(escaped("-" if found[key] is None else found[key]) for key in keys)
        for found in examples[:MAX_EXAMPLES]
    ]
    yield from table(("request", "item", "note"), rows)


def _measures(document: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (
            f"{escaped(m['id'])} {escaped(m['name'])}",
            MARKS[m["verdict"]],
            "; ".join(filter(None, [words.value_of(m, m["value"]), words.by_chance(m, "")])),
            escaped(m["what"]),
            words.number(m["n"]),
        )
        for m in document["measures"]
        if m["verdict"] != "not applicable"
    ]
    if rows:
        yield from table(("measure", "verdict", "value", "of what", "n"), rows)


def _silent(document: Mapping[str, Any]) -> Iterator[str]:
    silent = [m for m in document["measures"] if m["verdict"] == "not applicable"]
    if silent:
        told = f"{len(silent)} {'does' if len(silent) == 1 else 'do'} not apply"
        yield from ("", f"<details><summary>{told}</summary>", "")
        for m in silent:
            yield f"- {escaped(m['id'])} {escaped(m['name'])}: {escaped(m['why'])}"
        yield from ("", "</details>")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Cells are escaped already."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
