"""Whether the run that a folder holds is the one that is asked for; if not, what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rankdistill import __version__
from rankdistill.student.checkpoint import hashes, other_run
from rankdistill.student.plan import Plan

SHOWN = 5
WIDE = 60
# What the user calls it; all else goes by the name that it has in run.json.
CALLED = {
    "options": "train",
    "objectives": "train.objectives",
    "kinds": "samples",
    "joined": "features",
    "vectors": "train.start.vectors",
    "goes_on_from": "train.start.run",
    "between": "--from and --to",
    "processes": "number of processes",
    "build_id": "build",
}
TOLD_ELSEWHERE = {"train.start", "train.objectives"}  # of the options: as what they come to


def refuse_other(folder: Path, there: Mapping[str, Any], plan: Plan) -> None:
    """TrainingError E0503 where `there`, the folder's run.json, is not of this plan."""
    if there["run"] == plan.hash():
        return
    asked = json.loads(json.dumps(plan.facts()))
    found = [
        f"{name}: {_short(here)} there, {_short(wanted)} asked for"
        for name, here, wanted in differences({each: there.get(each) for each in asked}, asked)
    ]
    if len(found) > SHOWN:
        found[SHOWN:] = [f"and {len(found) - SHOWN} more"]
    if there["rankdistill"] != __version__:
        found.append(f"it was made by rankdistill {there['rankdistill']}")
    raise other_run(folder, "\n".join(found) or f"hash {hashes(there['run'], plan.hash())}")


def differences(there: Any, asked: Any) -> Iterator[tuple[str, Any, Any]]:
    """(the user's name of it, value there, value asked for) of what differs in two run.json."""
    for key in asked:
        name = CALLED.get(key, key)
        if key == "options":
            for each in _differing(name, there[key], asked[key]):
                if each[0] not in TOLD_ELSEWHERE and not each[0].startswith("train.start."):
                    yield each
        else:
            yield from _differing(name, there[key], asked[key])


def _differing(name: str, there: Any, asked: Any) -> Iterator[tuple[str, Any, Any]]:
    """What differs, as deep as both are blocks."""
    if isinstance(there, dict) and isinstance(asked, dict):
        for key in dict.fromkeys([*there, *asked]):
            yield from _differing(f"{name}.{key}", there.get(key), asked.get(key))
    elif there != asked:
        yield name, there, asked


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDE else text[:WIDE] + "..."
