"""CPU seconds of each measure while a build rides on one thread: a table of what they cost.

Taken from outside, as the steps of `bench.steps`: the measures' functions are wrapped. What
several measures share counts for the first of them.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rankdistill import build as builder
from rankdistill.quality import watch
from rankdistill.quality.across import Across
from rankdistill.settings import read_settings


def report(log: Path, config: Path, chosen: Sequence[str], folder: Path) -> None:
    """Print what each measure costs in a build of `config` from `log`."""
    spent: Counter[str] = Counter()
    measured = {
        name: replace(
            measure,
            watch={
                table: _timed(function, f"{name} {table}", spent)
                for table, function in measure.watch.items()
            },
        )
        for name, measure in watch.MEASURES.items()
    }
    with tempfile.TemporaryDirectory(dir=folder) as out, ExitStack() as stack:
        given = [f"log.path={log}", f"output={out}/out", "engine={kind: duckdb, threads: 1}"]
        settings = read_settings(config, [*given, *chosen])
        stack.enter_context(patch.dict(watch.MEASURES, measured))
        across = _timed(Across.see, "across requests", spent)
        stack.enter_context(patch.object(Across, "see", across))
        stack.enter_context(patch.object(watch.Watch, "see", _timed(watch.Watch.see, "all", spent)))
        before = time.process_time()
        builder.build(settings)
        whole = time.process_time() - before
    print("  CPU seconds of measures, one thread, and their share of the build")
    for name, seconds in spent.most_common():
        print(f"    {name:28}{seconds:8.2f}{seconds / whole:8.1%}")
    print(f"    {'the build':28}{whole:8.2f}", flush=True)


def _timed(function: Callable[..., Any], name: str, spent: Counter[str]) -> Callable[..., Any]:
    def timed(*arguments: Any, **options: Any) -> Any:
        before = time.thread_time()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] += time.thread_time() - before

    return timed
