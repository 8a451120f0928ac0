"""What a metrics.json says that cannot be: verdicts that its values do not bear out, lost counts.

Well formed is what `metrics_file` asks for first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rankdistill.quality.judged import SEVERITY, Verdict, judge
from rankdistill.quality.measure import Gate

Named = Mapping[str, Any]


def contradictions(document: Named) -> Iterator[str]:
    """Each of them in a clause."""
    measures = document["measures"]
    yield from _of_verdicts(document, measures)
    names = [measure["id"] for measure in measures]
    if len(names) != len(set(names)):
        yield "a measure stands there twice"
    days = document["days"]
    if days != sorted(set(days)):
        yield "days are not in order, or one stands there twice"
    for measure in measures:
        name = f"{measure['id']:.20}"
        if set(measure["days"]) != set(days):
            yield f"{name}.days are not the days of the document"
        if wrong := next(_of_gates(measure), None):
            yield f"{name}.{wrong}"
            continue
        yield from (f"{name}: {wrong}" for wrong in _of_judgement(measure, document["configs"]))
        for reading in (measure, *measure["segments"]):
            for key, bins in reading["histogram"].items():
                if len(bins["labels"]) != len(bins["counts"]):
                    yield f"{name}.{key:.40}: labels and counts differ in number"


def _of_verdicts(document: Named, measures: list[Any]) -> Iterator[str]:
    worst = max((measure["verdict"] for measure in measures), key=lambda name: SEVERITY[name])
    if document["verdict"] != worst:
        yield f"the verdict is {document['verdict']}, and that of a measure {worst}"
    for name, number in document["num_verdicts"].items():
        if number != sum(measure["verdict"] == name for measure in measures):
            yield f"num_verdicts.{name:.20} is {number}, and the measures say otherwise"


def _of_gates(measure: Named) -> Iterator[str]:
    for part, gate in measure["threshold"].items():
        for edge in (gate["warn"], gate["fail"]):
            if edge is not None and isinstance(edge, list) != (gate["worse"] == "outside"):
                yield f"threshold.{part:.40}: {edge} is no bound of what is bad {gate['worse']} it"


def _of_judgement(measure: Named, configs: int) -> Iterator[str]:
    """Each verdict against value, gate, and what chance explains."""
    held = _verdicts(measure, measure)
    for part, verdict in {**dict.fromkeys(measure["verdicts"], "none"), **held}.items():
        told = measure["verdicts"].get(part, "not applicable")
        if told != verdict:
            yield f"{part or 'the value'} is called {told:.20}, and by its gate is {verdict}"
    days = [day["verdict"] for day in measure["days"].values()]
    worst = max([*held.values(), *days], key=lambda name: SEVERITY[name])
    if measure["verdict"] != worst:
        yield f"the verdict is {measure['verdict']}, and by its parts and days {worst}"
    for segment in measure["segments"]:
        worst = max(_verdicts(measure, segment).values(), key=lambda name: SEVERITY[name])
        if segment["verdict"] != worst:
            name = f"{segment['segment']:.40}"
            yield f"{name} is called {segment['verdict']}, and by the gates is {worst}"
    for reading in (measure, *measure["segments"], *measure["days"].values()):
        value = reading["value"]
        if measure["unit"] == "share" and value is not None and not 0 <= value <= 1:
            yield f"{value:g} is no share"
    # Days of other configs may have had other gates.
    for dt, day in measure["days"].items() if configs == 1 else ():
        least = judge(day["value"], _gate(measure, ""), day["chance"])
        if SEVERITY[day["verdict"]] < SEVERITY[least]:
            yield f"{dt:.40} is called {day['verdict']}, and its value is {least}"
        if bool(day["beyond"]) != (day["verdict"] in ("warn", "fail")):
            yield f"{dt:.40} is called {day['verdict']}, and {len(day['beyond'])} parts are beyond"


def _verdicts(measure: Named, reading: Named) -> dict[str, Verdict]:
    """What the gates of a measure say of its value ("") and parts, or of a segment's."""
    values = {"": reading["value"], **reading["parts"]}
    return {
        part: judge(values[part], _gate(measure, part), reading["chance"].get(part, 0.0))
        for part in {"", *measure["threshold"]} & {*values}
    }


def _gate(measure: Named, part: str) -> Gate | None:
    gate = measure["threshold"].get(part)
    return None if gate is None else Gate(gate["warn"], gate["fail"], gate["worse"])
