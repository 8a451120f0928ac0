"""Values, gates and verdicts of metrics.json in words: the same in the page, Markdown and JUnit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rankdistill.quality.judged import SEVERITY, judge
from rankdistill.quality.measure import Gate

MAX_ID = 200  # characters of an id or a value that came from the log
BAD = ("fail", "warn")
ENOUGH = 100  # requests: a share of fewer is known to a tenth or so (two standard errors of 1/2)
SIGNAL = "Q10"  # whether the teacher knows what users do: without it the rest says less
MARKS = {"ok": "good", "warn": "warns", "fail": "fails", "not applicable": "does not apply"}


def plain(text: object, limit: int = MAX_ID) -> str:
    """One line of `text`: no control or format characters, cut at `limit`."""
    cut = str(text)[: limit + 1]
    clean = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in cut)
    return clean if len(clean) <= limit else clean[:limit] + "..."


def anchor(name: str) -> str:
    """The id of a measure as a place in the page to lead to."""
    return "m-" + "".join(c for c in name if c.isascii() and c.isalnum())[:20]


def heading(measure: Mapping[str, Any]) -> str:
    """ "Q07 Teacher ties"; the name alone where the id says no more."""
    name = plain(measure["name"])
    same = plain(measure["id"], 20).lower() == name.lower()
    return name if same else f"{plain(measure['id'], 20)} {name}"


def number(value: float | None) -> str:
    """ "12,345", "0.0312", "-"."""
    if value is None:
        return "-"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.4g}" if 1e-4 <= abs(value) < 1e4 else f"{value:.3g}"


def percent(share: float | None) -> str:
    """ "3.12%", "-"."""
    if share is None:
        return "-"
    return f"{100 * share:.3g}%" if abs(share) < 10 else f"{100 * share:,.0f}%"


def share_text(share: float) -> str:
    """A share in a column of shares: one decimal each, so that they can be compared."""
    return "<0.1%" if 0 < share < 0.0005 else f"{100 * share:.1f}%"


def value_of(measure: Mapping[str, Any], value: float | None) -> str:
    """A value of the measure in its unit."""
    return percent(value) if measure["unit"] == "share" else number(value)


def part_of(measure: Mapping[str, Any], part: str, value: Any) -> str:
    """The value ("") or a part of a measure; parts have units of their own, and stay numbers."""
    if isinstance(value, list | tuple):
        return " to ".join(part_of(measure, part, edge) for edge in value)
    return number(value) if part else value_of(measure, value)


def part_name(part: str) -> str:
    """ "share.tail" -> "share tail"."""
    return plain(part.replace("_", " ").replace(".", " "))


def gate_text(measure: Mapping[str, Any], part: str) -> str:
    """ "warns above 5%, fails above 30%" and what chance excuses; "" where there is no gate."""
    gate = measure["threshold"].get(part)
    if gate is None:
        return ""
    side = {"above": "above", "below": "at or below", "outside": "outside"}[gate["worse"]]
    told = ", ".join(
        f"{verb} {side} {part_of(measure, part, gate[edge])}"
        for verb, edge in (("warns", "warn"), ("fails", "fail"))
        if gate[edge] is not None
    )
    return "; ".join(filter(None, [told, by_chance(measure, part)]))


def by_chance(measure: Mapping[str, Any], part: str) -> str:
    """Why a value beyond a threshold is judged milder: "within what n = 100 may do by chance:
    +-0.124"; "" where it is not."""
    gate, span = measure["threshold"].get(part), measure["chance"].get(part, 0.0)
    value = measure["parts"].get(part) if part else measure["value"]
    bare = Gate(**gate) if gate else None
    if not span or judge(value, bare) == judge(value, bare, span):
        return ""
    return f"within what n = {measure['n']:,} may do by chance: +-{part_of(measure, part, span)}"


def reasons(measure: Mapping[str, Any]) -> list[str]:
    """Why a measure warns or fails: what lies beyond which gate, and on which days."""
    told = []
    for part, verdict in measure["verdicts"].items():
        if verdict in BAD:
            value = measure["parts"].get(part) if part else measure["value"]
            name = part_name(part) if part else plain(measure["what"])
            told.append(f"{name}: {part_of(measure, part, value)} ({gate_text(measure, part)})")
    days = [dt for dt, day in measure["days"].items() if day["verdict"] in BAD]
    if days and (len(measure["days"]) > 1 or not told):
        told.append(_on_days(days, len(measure["days"])))
    return told + list(_of_days_alone(measure))


def _of_days_alone(measure: Mapping[str, Any]) -> Iterator[str]:
    """Parts that are bad on a day and not of all days together: "used: 0 on 2026-11-02"."""
    fired: dict[str, list[tuple[str, Any]]] = {}
    for dt, day in measure["days"].items():
        for part, value in day["beyond"].items():
            if measure["verdicts"].get(part) not in BAD:
                fired.setdefault(part, []).append((dt, value))
    for part, found in fired.items():
        name = part_name(part) if part else plain(measure["what"])
        values = ", ".join(f"{part_of(measure, part, v)} on {plain(dt, 40)}" for dt, v in found[:3])
        more = f" and {len(found) - 3} more days" if len(found) > 3 else ""
        yield f"{name}: {values}{more} ({gate_text(measure, part)})"


def line(measure: Mapping[str, Any]) -> str:
    """ "Q07 Teacher ties fails: pairs with equal scores: 31.2% (fails above 20%) (n 9,800)"."""
    assert measure["verdict"] in BAD, measure["verdict"]
    told = "; ".join(reasons(measure))
    return f"{heading(measure)} {measure['verdict']}s: {told} (n {measure['n']:,})"


def reaches(verdict: str, fail_on: str) -> bool:
    """Whether a verdict is as bad as `fail_on` or worse."""
    return fail_on != "never" and SEVERITY[verdict] >= SEVERITY[fail_on]


def stopped(document: Mapping[str, Any], fail_on: str) -> str:
    """The measures that reach `fail_on`, a line each, worst first; how many others warn."""
    of_all = bad(document)
    found = [line(measure) for measure in of_all if reaches(measure["verdict"], fail_on)]
    rest = [heading(measure) for measure in of_all if not reaches(measure["verdict"], fail_on)]
    if rest:
        noun = "measure warns" if len(rest) == 1 else "measures warn"
        found.append(f"besides, {len(rest)} {noun} ({', '.join(rest)})")
    return "\n".join(found)


def _on_days(days: Sequence[str], of: int) -> str:
    if len(days) == of:
        return f"on all {of} days"
    shown = ", ".join(plain(dt, 40) for dt in days[:7])
    more = f" and {len(days) - 7} more" if len(days) > 7 else ""
    return f"on {len(days)} of {of} days: {shown}{more}"


def sentence(document: Mapping[str, Any]) -> str:
    """The verdict in one sentence."""
    held = document["num_verdicts"]
    named = {v: [plain(m["name"]) for m in document["measures"] if m["verdict"] == v] for v in BAD}
    fails, warns = (_told(named[v], v) for v in BAD)
    rest = f"{held['ok']} good, {held['not applicable']} not applicable"
    num = document["counts"].get("requests", 0)
    few = f"{num:,} request{'s are' if num != 1 else ' is'} too few to say (less than {ENOUGH})"
    if named["fail"]:
        return f"Do not train on this yet: {fails}{' and ' + warns if warns else ''}; {rest}."
    if named["warn"]:
        beside = f"; {few}" if num < ENOUGH else ""
        return f"Look before you train: {warns}; {rest}{beside}{_unjudged(document)}."
    if not held["ok"]:
        return "Nothing could be judged: no measure applies to this log and config."
    judged = f"{held['ok']} {'was' if held['ok'] == 1 else 'were'} judged"
    told = f"of {len(document['measures'])} measures {judged} and none fails or warns"
    verdict = "Fit to train on" if num >= ENOUGH else f"Nothing speaks against it, but {few}"
    return f"{verdict}: {told}{_unjudged(document)}."


def _unjudged(document: Mapping[str, Any]) -> str:
    """ "; not judged: Teacher signal (no teacher score is mapped)": what distillation stands on."""
    silent = [
        f"{plain(m['name'])} ({plain(m['why'])})"
        for m in document["measures"]
        if m["id"] == SIGNAL and m["verdict"] == "not applicable"
    ]
    return f"; not judged: {silent[0]}" if silent else ""


def _told(names: Sequence[str], verdict: str) -> str:
    """ "2 measures fail (Teacher ties, Grade mix)"; "" of none."""
    if not names:
        return ""
    shown = [*names[:3], *([f"{len(names) - 3} more"] if len(names) > 3 else [])]
    verb = f"measure {verdict}s" if len(names) == 1 else f"measures {verdict}"
    return f"{len(names)} {verb} ({', '.join(shown)})"


def bad(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The measures that fail, then those that warn."""
    return [m for verdict in BAD for m in document["measures"] if m["verdict"] == verdict]


def span(days: Sequence[str]) -> str:
    """ "2026-11-01 to 2026-11-07, 7 days"."""
    first, last = plain(days[0], 40), plain(days[-1], 40)
    return first if len(days) == 1 else f"{first} to {last}, {len(days)} days"


def lines(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row per measure for a terminal table."""
    for measure in document["measures"]:
        note = measure["why"] if measure["verdict"] == "not applicable" else gate_text(measure, "")
        told = "; ".join(reasons(measure)) if measure["verdict"] in BAD else note
        yield {
            "measure": f"{plain(measure['id'], 20)} {plain(measure['name'])}",
            "verdict": measure["verdict"],
            "value": value_of(measure, measure["value"]),
            "n": measure["n"],
            "why": plain(told),
        }
