"""The page of an evaluation: one file of HTML, no script, nothing from outside, texts escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from rankdistill.quality.report.bins import bins_of
from rankdistill.quality.report.html import template
from rankdistill.quality.report.pictures import columns
from rankdistill.quality.report.svg import Sheet
from rankdistill.quality.words import number, part_name, percent, plain
from rankdistill.student.evaluation.pictures import forest
from rankdistill.student.evaluation.policies import WHAT
from rankdistill.student.evaluation.words import cells, digits, sentence, signed

Figures = Sequence[Mapping[str, Any]]
OF_FEEDBACK = ("auc", "gauc", "response_", "survival", "logloss", "calibration")
OWN_SCALE = ("logloss", "calibration")  # not drawn beside shares
SEGMENTS = {
    "length": "Candidates of the request",
    "user_activity": "Requests of the user in training",
    "item_popularity": "Times a candidate in training",
    "item_age": "Days since the item was first seen in training",
    "position": "Position as shown",
}


def page(document: Mapping[str, Any]) -> str:
    """The HTML of an evaluation.json."""
    students = [plain(each["run"], 80) for each in document["students"]]
    return template("evaluation.html.j2").render(
        sentence=sentence(document),
        students=students,
        title=f"{students[0]} on {document['split']}",
        head=_head(document),
        notes=[plain(note, 400) for note in document["notes"]],
        sections=[section for section in _sections(document) if section["figures"]],
        left_out=_left_out(document["left_out"]),
        provenance=json.dumps(
            {name: document[name] for name in ("students", "recall", "options")}, indent=1
        ),
    )


def _head(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    confidence = document["options"]["bootstrap"]["confidence"]
    return [
        ("requests", number(document["num_requests"])),
        ("split", plain(document["split"])),
        ("build", f"{document['build']} of {plain(document['data_set'], 120)}"),
        ("from", plain(document["first"] or "-")),
        ("to", plain(document["last"] or "-")),
        ("intervals", f"{percent(confidence)}, requests drawn anew"),
    ]


def _left_out(missing: Figures) -> list[tuple[str, str]]:
    """(measures, why they are not there): those of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for one in missing:
        by_reason.setdefault(one["why"], []).append(one["measure"])
    return [(plain(", ".join(names), 400), plain(why, 400)) for why, names in by_reason.items()]


def _sections(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    groups = _groups(document["measures"])
    yield _section(
        "Against the teacher",
        "How far the student orders all logged candidates as the teacher did.",
        [_measures(groups["teacher"], "measures against the teacher")],
    )
    yield _section(
        "Against what users did",
        "A response is what the log counts as one. Users saw what the teacher chose for them, "
        "so these figures are of its selection.",
        [_measures(groups["feedback"], "measures against feedback"), *_calibration(document)],
    )
    yield _section(
        "Over the whole catalogue",
        f"Where the responses stand among all {number(document['num_items'])} items of the lists.",
        [_measures(groups["catalogue"], "measures over the catalogue")],
    )
    yield _section(
        "Pre-rank policies",
        "What each policy would pass on, and how much of it is what matters.",
        _policies(document["policies"]),
    )
    yield _section(
        "Segments",
        "The picture shows the first measure of the table; a bin without a mark has no value. "
        f"Of many segments some differ by chance.{_alike(document['segments'])}",
        list(_segments(document["segments"])),
    )


def _section(title: str, intro: str, figures: list[dict[str, Any] | None]) -> dict[str, Any]:
    held = [figure for figure in figures if figure is not None]
    return {"title": title, "intro": intro, "figures": held}


def _groups(figures: Figures) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {"teacher": [], "feedback": [], "catalogue": []}
    for figure in figures:
        found[_group(figure["measure"])].append(figure)
    return found


def _group(name: str) -> str:
    if name.startswith("catalogue_"):
        return "catalogue"
    return "feedback" if name.startswith(OF_FEEDBACK) else "teacher"


def _measures(figures: Figures, label: str) -> dict[str, Any] | None:
    """A picture of the measures that are shares; all of them in the table."""
    drawn = [f for f in figures if f["measure"] not in OWN_SCALE]
    if not drawn:
        return None
    is_two = "against" in figures[0]
    rows = [[f["measure"], *cells(f).values(), *([] if is_two else [f["what"]])] for f in figures]
    header = ["measure", *cells(figures[0]), *([] if is_two else ["what"])]
    sheet = forest([(f["measure"], _marks(f)) for f in drawn])
    found = _picture("", label, sheet, header, rows, is_two, left_last=not is_two)
    return {**found, "words": [(f["measure"], f["what"]) for f in figures] if is_two else []}


def _marks(figure: Mapping[str, Any]) -> list[tuple[Any, Any, Any]]:
    sides = [figure, *([figure["against"]] if "against" in figure else [])]
    return [(side["value"], side["low"], side["high"]) for side in sides]


def _policies(figures: Figures) -> list[dict[str, Any] | None]:
    """The teacher's top that each policy keeps, drawn; what else it keeps, in the table."""
    by_policy: dict[str, dict[str, Mapping[str, Any]]] = {}
    for figure in figures:
        by_policy.setdefault(figure["policy"], {})[figure["keeps"]] = figure
    drawn = [(name, _marks(kept["top"])) for name, kept in by_policy.items() if "top" in kept]
    if not drawn:
        return []
    names = [name for name in WHAT if any(name in kept for kept in by_policy.values())]
    rows = []
    for policy, kept in by_policy.items():
        top = list(cells(kept["top"]).values()) if "top" in kept else ["-"]
        rest = [percent(kept[n]["value"]) if n in kept else "-" for n in names if n != "top"]
        rows.append([policy, *top, *rest])
    one = next(kept["top"] for kept in by_policy.values() if "top" in kept)
    header = ["policy", *_under(cells(one)), *(WHAT[n] for n in names if n != "top")]
    caption = "Share of the teacher's top k that is kept"
    is_two = "against" in one
    return [_picture(caption, caption, forest(drawn), header, rows, is_two)]


def _under(found: Mapping[str, str]) -> list[str]:
    """The header of the drawn figure's cells."""
    return [WHAT["top"], *list(found)[1:]]


def _by_segment(figures: Figures) -> dict[str, dict[str, dict[str, Mapping[str, Any]]]]:
    """segment -> label -> measure -> figure."""
    found: dict[str, dict[str, dict[str, Mapping[str, Any]]]] = {}
    for figure in figures:
        labels = found.setdefault(figure["segment"], {})
        labels.setdefault(figure["label"], {})[figure["measure"]] = figure
    return found


def _caption(segment: str) -> str:
    return SEGMENTS.get(segment, part_name(segment).capitalize())


def _alike(figures: Figures) -> str:
    """What all requests or candidates have alike, and tells nothing apart."""
    found = _by_segment(figures).items()
    alike = [
        f"{_caption(name)}: {plain(next(iter(labels)), 60)}"
        for name, labels in found
        if len(labels) == 1
    ]
    return f" The same for all: {'; '.join(alike)}." if alike else ""


def _segments(figures: Figures) -> Iterator[dict[str, Any]]:
    for segment, labels in _by_segment(figures).items():
        if len(labels) == 1:
            continue
        names = list(dict.fromkeys(name for held in labels.values() for name in held))
        first, rest = names[0], names[1:]
        drawn = [(label, _marks(held[first])) for label, held in labels.items() if first in held]
        drawn = [(label, marks) for label, marks in drawn if marks[0][0] is not None]
        if not drawn:
            continue
        caption = _caption(segment)
        one = next(held[first] for held in labels.values() if first in held)
        header = ["", "n", first, *list(cells(one))[1:], *(_with_verdict(one, n) for n in rest)]
        rows = [
            [
                plain(label, 60),
                number(max(figure["n"] for figure in held.values())),
                *(cells(held[first]).values() if first in held else ["-"] * len(cells(one))),
                *(_short(held.get(name)) for name in rest),
            ]
            for label, held in labels.items()
        ]
        title = f"{caption}: {first}"
        yield _picture(title, title, forest(drawn), header, rows, "against" in one)


def _with_verdict(one: Mapping[str, Any], name: str) -> str:
    return f"{name}, difference" if "against" in one else name


def _short(figure: Mapping[str, Any] | None) -> str:
    """ "0.5796", "0.5796 +0.0123 better"."""
    if figure is None:
        return "-"
    found = digits(figure["value"])
    if "difference" not in figure:
        return found
    verdict = figure["difference"]["verdict"]
    told = "" if verdict == "not told apart" else f" {verdict}"
    return f"{found} {signed(figure['difference']['value'])}{told}"


def _calibration(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for student, bins in zip(document["students"], document["calibration"], strict=True):
        labels = [f"{at}" for at in range(1, len(bins) + 1)]
        sides = {
            side: {"labels": labels, "counts": [b[side] for b in bins], "unit": "share of them"}
            for side in ("expected", "observed")
        }
        found = bins_of(sides)
        if not found:
            continue
        rows = [
            [label, number(b["n"]), percent(b["expected"]), percent(b["observed"])]
            for label, b in zip(labels, bins, strict=True)
        ]
        caption = "Responses, from the lowest tenth of scores to the highest"
        if len(document["students"]) > 1:
            caption += f": {plain(student['run'], 80)}"
        figure = _picture(
            caption, caption, columns(found[0]), ["tenth", "n", "expected", "observed"], rows, False
        )
        yield {**figure, "legend": ["expected", "observed"]}


def _picture(
    caption: str,
    label: str,
    sheet: Sheet,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    is_two: bool,
    *,
    left_last: bool = False,
) -> dict[str, Any]:
    return {
        "caption": caption,
        "label": label,
        "width": sheet.width,
        "height": sheet.height,
        "inner": Markup(sheet.inner()),  # noqa: S704  of svg.py, which escapes its texts
        "legend": ["this student", "the other"] if is_two else [],
        "header": header,
        "rows": rows,
        "left_last": left_last,
        "words": [],
    }
