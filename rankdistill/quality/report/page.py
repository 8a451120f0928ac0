"""The report's page: one file of HTML, no script, nothing from outside, all texts escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup

from rankdistill.quality import words
from rankdistill.quality.cookbook import page_of, to_do
from rankdistill.quality.report import pictures
from rankdistill.quality.report.bins import Bins, bins_of
from rankdistill.quality.report.html import template
from rankdistill.quality.report.sections import Section, funnel, sections

MAX_SEGMENTS, MAX_DAYS, MAX_EXAMPLES, MAX_PARTS = 20, 31, 20, 40
MAX_ROWS = 200  # of the build's counts
YES_NO = {"True": "yes", "False": "no"}


def page(document: Mapping[str, Any], title: str) -> str:
    """The HTML. title: what was measured, "build 3 of feed", as one line."""
    return template("page.html.j2").render(
        title=words.plain(title),
        document=document,
        sentence=words.sentence(document),
        days=words.span(document["days"]),
        bad=[_alarm(measure) for measure in words.bad(document)],
        sections=[_section(section, document) for section in sections(document["measures"])],
        provenance=_provenance(document),
        marks=words.MARKS,
        words=words,
    )


@cache
def _markdown() -> MarkdownIt:
    """Our own texts as HTML; links keep their words alone: the page leads nowhere else."""
    made = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    for rule in ("link_open", "link_close"):
        made.add_render_rule(rule, lambda *_: "")
    return made


def _html(text: str) -> Markup:
    return Markup(_markdown().render(text))  # noqa: S704  of docs/measures alone


def _alarm(measure: Mapping[str, Any]) -> dict[str, Any]:
    """A measure that warns or fails, for the top of the page."""
    return {
        **measure,
        "reasons": [words.plain(reason) for reason in words.reasons(measure)],
        "to_do": _html(to_do(measure["id"])),
    }


def _section(section: Section, document: Mapping[str, Any]) -> dict[str, Any]:
    by_id = {measure["id"]: measure for measure in document["measures"]}
    found = [by_id[name] for name in section.measures if name in by_id]
    applied = [m for m in found if m["verdict"] != "not applicable"]
    rows = funnel(document) if section.key == "funnel" else {"labels": []}
    return {
        "key": section.key,
        "title": section.title,
        "intro": section.intro,
        "pictures": [_picture(b, section.title) for b in bins_of({"what_came_of_the_rows": rows})]
        if rows["labels"]
        else [],
        "cards": [_card(measure) for measure in applied],
        "silent": [
            {**m, "why": words.plain(m["why"])} for m in found if m["verdict"] == "not applicable"
        ],
    }


def _card(measure: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **measure,
        "name": words.plain(measure["name"]),
        "what": words.plain(measure["what"]),
        "shown": words.value_of(measure, measure["value"]),
        "gate": words.gate_text(measure, ""),
        "note": words.plain(measure["note"], 1000),
        "parts": [_part(measure, *part) for part in _gated_first(measure)[:MAX_PARTS]],
        "more_parts": max(len(measure["parts"]) - MAX_PARTS, 0),
        "pictures": [_picture(b, measure["name"]) for b in bins_of(measure["histogram"])],
        "segments": [_segment(measure, found) for found in _worst_first(measure["segments"])],
        "more_segments": max(len(measure["segments"]) - MAX_SEGMENTS, 0),
        "by_day": _by_day(measure),
        "examples": [
            [words.plain("-" if e[k] is None else e[k]) for k in ("request_id", "item_id", "note")]
            for e in measure["examples"][:MAX_EXAMPLES]
        ],
        "text": _html(page_of(measure["id"])),
    }


def _gated_first(measure: Mapping[str, Any]) -> list[tuple[str, float | None]]:
    parts, gates = measure["parts"].items(), measure["threshold"]
    if "funnel" in measure["histogram"]:
        return [part for part in parts if part[0] in gates]  # its table has the others
    return sorted(parts, key=lambda part: part[0] not in gates)


def _part(measure: Mapping[str, Any], part: str, value: float | None) -> dict[str, Any]:
    return {
        "name": words.part_name(part),
        "value": words.number(value),
        "gate": words.gate_text(measure, part),
        "verdict": measure["verdicts"].get(part, "ok") if part in measure["threshold"] else "",
    }


def _worst_first(segments: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    place = {"fail": 0, "warn": 1, "ok": 2, "not applicable": 3}
    return sorted(segments, key=lambda s: (place[s["verdict"]], -s["n"]))[:MAX_SEGMENTS]


def _segment(measure: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": words.plain(found["segment"], 80),
        "value": words.value_of(measure, found["value"]),
        "n": found["n"],
        "verdict": found["verdict"],
    }


def _by_day(measure: Mapping[str, Any]) -> dict[str, Any] | None:
    """The days as a table and, from three on, a picture; None where there is only one."""
    days = {words.plain(dt, 40): day for dt, day in list(measure["days"].items())[-MAX_DAYS:]}
    if len(measure["days"]) < 2:
        return None
    values = {dt[-10:]: day["value"] for dt, day in days.items() if day["value"] is not None}
    sheet = pictures.days(values, measure["threshold"].get("")) if len(values) > 2 else None
    return {
        "sheet": sheet,
        "inner": Markup(sheet.inner()) if sheet else "",  # noqa: S704
        "rows": [
            (dt, words.value_of(measure, day["value"]), day["n"], day["verdict"])
            for dt, day in days.items()
        ],
        "left_out": len(measure["days"]) - len(days),
    }


def _picture(bins: Bins, of: str) -> dict[str, Any]:
    sheet = pictures.picture(bins)
    inner = Markup(sheet.inner())  # noqa: S704  of svg.py, which escapes its texts
    names = [series.name for series in bins.series]
    return {
        "bins": bins,
        "width": sheet.width,
        "height": sheet.height,
        "inner": inner,
        "label": f"{words.plain(of)}: {bins.title}",
        "legend": names if len(names) > 1 else [],
    }


def _provenance(document: Mapping[str, Any]) -> dict[str, Any]:
    facts = document["facts"]
    plain = {
        name: ", ".join(map(str, value))
        if isinstance(value, list)
        else YES_NO.get(str(value), value)
        for name, value in facts.items()
        if not isinstance(value, dict)
    }
    rows = {**facts["provenance"], "days": words.span(document["days"]), **plain}
    blocks = {k: v for k, v in facts.items() if isinstance(v, dict) and v and k != "provenance"}
    return {
        "rows": [
            (words.part_name(k), words.plain("-" if v in (None, "") else v))
            for k, v in rows.items()
        ],
        "configs": document["configs"],
        "blocks": [
            (words.part_name(name), "\n".join(words.plain(line) for line in _lines(block)))
            for name, block in blocks.items()
        ],
        "counts": [
            (words.part_name(name), words.number(number))
            for counts in (document["door"], document["counts"])
            for name, number in list(counts.items())[:MAX_ROWS]
        ],
    }


def _lines(block: Mapping[str, Any]) -> list[str]:
    return json.dumps(block, indent=1, sort_keys=True, ensure_ascii=False).split("\n")[:500]
