"""How a run goes, as JSON lines in its folder, and the same numbers for its trackers.

metrics.jsonl  a line for each epoch, the same for the same run
steps.jsonl    a line every so many steps, with the speed
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rankdistill.private import open_to_append
from rankdistill.store.files import replace_text
from rankdistill.student.trackers import Tracker

EPOCHS, STEPS = "metrics.jsonl", "steps.jsonl"


class Metrics:
    """every: steps between lines; trackers: that hear all of it too."""

    def __init__(self, folder: Path, every: int, trackers: Sequence[Tracker] = ()) -> None:
        self._folder, self._every, self._trackers = folder, every, trackers
        self._since, self._requests = time.monotonic(), 0

    def go_on(self, step: int) -> None:
        """Take back what was told of later steps than this one: they are made again."""
        place = self._folder / STEPS
        if place.exists():
            lines = place.read_text(encoding="utf-8").splitlines(keepends=True)
            # The last line may have been cut by a kill.
            kept = [line for line in lines if line.endswith("\n") and _step(line) <= step]
            replace_text(place, "".join(kept))

    def step(self, step: int, num_requests: int, facts: Callable[[], Mapping[str, Any]]) -> None:
        """step: from 1; facts: what is known of it, asked for where a line is due."""
        self._requests += num_requests
        if step % self._every:
            return
        now = time.monotonic()
        speed = self._requests / max(now - self._since, 1e-9)
        self._since, self._requests = now, 0
        line = {"step": step, **facts(), "requests_per_second": round(speed, 1)}
        with os.fdopen(open_to_append(self._folder / STEPS), "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._track(line)

    def epoch(self, history: Sequence[Mapping[str, Any]]) -> None:
        """history: of every epoch until now."""
        lines = [json.dumps(epoch) for epoch in history]
        replace_text(self._folder / EPOCHS, "\n".join(lines) + "\n")
        # Losses of an epoch are means: beside those of a step they have a name of their own.
        self._track({f"epoch_{n}" if n == "losses" else n: v for n, v in history[-1].items()})
        self._since, self._requests = time.monotonic(), 0

    def _track(self, line: Mapping[str, Any]) -> None:
        for tracker in self._trackers:
            tracker.put(dict(_numbers(line)), line["step"])

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()


def _step(line: str) -> int:
    return int(json.loads(line)["step"])


def _numbers(facts: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """(path, number) of every number in nested facts, but the step."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{above}{name}/")
        elif isinstance(value, int | float) and above + name != "step":
            yield above + name, float(value)
