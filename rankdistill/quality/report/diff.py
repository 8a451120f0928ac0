"""What two builds differ in, as sections of plain tables: a page, Markdown and lines of text.

A pure function of what `quality.compare` found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankdistill.quality import words
from rankdistill.quality.report.changes import (
    SIDES,
    changed_columns,
    notes,
    of_one_side,
    path,
    sentence,
    sides,
    verdict,
)
from rankdistill.quality.report.html import template
from rankdistill.quality.report.markdown import escaped, table
from rankdistill.quality.text_table import text_table

MAX_ROWS, MAX_LINES = 100, 12  # of a section; diff.json has all
Row = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """title, intro: sentences. num_left: columns, from the left, that hold words; the others
    hold numbers. left_out: rows that are not here; in_json: but in diff.json."""

    title: str
    intro: str
    header: Row
    rows: Sequence[Row]
    num_left: int = 1
    left_out: int = 0
    in_json: bool = True

    def more(self, num_shown: int) -> str:
        """What is said of rows that are not shown; "" where all are."""
        num = len(self.rows) - num_shown + self.left_out
        return (
            f"{num:,} more {'are in diff.json' if self.in_json else 'are not listed'}"
            if num
            else ""
        )


def sections(found: Mapping[str, Any]) -> list[Section]:
    """Those that have something to say, what got worse first."""
    schema = [(path(r), _cell(r["a"]), _cell(r["b"])) for r in changed_columns(found)]
    alone = [row for side in SIDES for row in of_one_side(found, side)]
    rows = [row for row in found["rows"] if row not in alone]
    config = [(_cell(r["key"]), _cell(r["a"]), _cell(r["b"])) for r in found["config"]]
    made = [
        _measures(found),
        _drift(found),
        _counted(
            "Tables", "Tables that one side lacks altogether, and their rows.", "table", alone
        ),
        _section(
            "Schema",
            "Columns that one side lacks or types otherwise.",
            ("column", "A", "B"),
            schema,
            3,
        ),
        _section(
            "Config",
            "How the newest day of each side was built.",
            ("key", "A", "B"),
            config,
            3,
        ),
        _counted("Rows", "Rows of each table, all days.", "table", rows),
        _counted("Funnel", "Candidates by the stage they came to.", "stage", found["funnel"]),
        _counted("Counts", "Counts of the build that differ.", "count", found["counts"]),
    ]
    return [*(section for section in made if section.rows), *_only(found)]


def _section(
    title: str, intro: str, header: Row, rows: Sequence[Row], num_left: int = 1
) -> Section:
    return Section(title, intro, header, rows[:MAX_ROWS], num_left, max(len(rows) - MAX_ROWS, 0))


def _counted(title: str, intro: str, what: str, rows: Sequence[Mapping[str, Any]]) -> Section:
    return _section(title, intro, (what, "A", "B", "change"), _numbers(rows))


def _measures(found: Mapping[str, Any]) -> Section:
    changed = [r for r in found["measures"] if r["a"] != r["b"] or r["verdict_a"] != r["verdict_b"]]
    same = len(found["measures"]) - len(changed)
    rows = [
        (
            words.heading(row),
            f"{_verdict(row['verdict_a'])} -> {_verdict(row['verdict_b'])}"
            if row["verdict_a"] != row["verdict_b"]
            else _verdict(row["verdict_b"]),
            words.value_of(row, row["a"]),
            words.value_of(row, row["b"]),
        )
        for row in changed
    ]
    intro = f"Those that got worse come first; {same} more are as they were."
    return _section("Measures", intro, ("measure", "verdict", "A", "B"), rows, 2)


def _drift(found: Mapping[str, Any]) -> Section:
    intro = (
        "Population stability index (PSI) and Jensen-Shannon distance of each distribution that "
        "both sides have; below its noise, which is that of so many rows, a PSI says nothing."
    )
    rows = [
        (
            words.part_name(row["distribution"]),
            _verdict(row["verdict"]),
            *(words.number(_short(row[key])) for key in ("psi", "noise", "js")),
        )
        for row in found["drift"]
    ]
    return _section("Drift", intro, ("distribution", "verdict", "PSI", "noise", "JS"), rows, 2)


def _only(found: Mapping[str, Any]) -> Iterator[Section]:
    for name, told in found["only"].items():
        of_table = f"Rows of {words.plain(name, 40)}"
        keys = tuple(words.plain(key, 40) for key in told["key"])
        for side in SIDES:
            examples = told[f"examples_{side}"]
            rows = [tuple(_cell(row[key]) for key in told["key"]) for row in examples]
            num, other = told[f"only_{side}"], SIDES[side == "a"].upper()
            if rows:
                title = f"{of_table} only in {side.upper()}"
                intro = f"{_num(num, 'row')} that {other} lacks, by key."
                yield Section(title, intro, keys, rows, len(keys), num - len(rows), in_json=False)
        if not told["only_a"] and not told["only_b"]:
            yield _section(of_table, "The keys are the same, other columns differ.", keys, [])


def _numbers(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [
        (
            words.part_name(str(row["name"])),
            words.number(row["a"]),
            words.number(row["b"]),
            _change(row["a"], row["b"]),
        )
        for row in rows
    ]


def _change(a: float | None, b: float | None) -> str:
    if a is None or b is None or a == b:
        return "" if a == b else "-"
    return f"{b - a:+,}" if not a else f"{100 * (b - a) / a:+.1f}%"


def _num(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _verdict(name: str) -> str:
    return words.MARKS.get(name, words.plain(name, 20))


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return words.plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def page(found: Mapping[str, Any]) -> str:
    """diff.html: no script, nothing from outside, all texts escaped."""
    return template("diff.html.j2").render(
        heading=f"Changes, {words.plain(found['a'])} and {words.plain(found['b'])}",
        sides=sides(found),
        verdict="ok" if found["equal"] else verdict(found).replace("ok", "not-applicable"),
        sentence=sentence(found),
        notes=notes(found),
        sections=sections(found),
    )


def markdown(found: Mapping[str, Any]) -> str:
    """diff.md."""
    lines = [
        f"# Changes. {escaped('. '.join(sides(found)), 500)}",
        "",
        f"**{escaped(sentence(found), 1000)}**",
    ]
    for note in notes(found):
        lines += ["", escaped(note, 500)]
    for section in sections(found):
        cells = [[escaped(cell) for cell in row] for row in (section.header, *section.rows)]
        lines += ["", f"## {escaped(section.title)}", "", escaped(section.intro, 500), ""]
        lines += table(cells[0], cells[1:]) if section.rows else []
        if more := section.more(len(section.rows)):
            lines += ["", f"{more}."]
    return "\n".join([*lines, ""])


def text(found: Mapping[str, Any]) -> str:
    """The same for a terminal, the first rows of each section."""
    lines = [*sides(found), sentence(found), *notes(found)]
    for section in sections(found):
        rows = [dict(zip(section.header, row, strict=True)) for row in section.rows[:MAX_LINES]]
        more = section.more(len(rows))
        lines += ["", f"{section.title}. {section.intro}", *([text_table(rows)] if rows else [])]
        lines += [f"... {more}"] if more else []
    return "\n".join(lines)
