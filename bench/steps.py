"""CPU seconds of each step of a build, taken from outside: the steps' functions are wrapped.

One engine thread, so that what is measured is the cost of a step, not the wait for another.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rankdistill import build as builder
from rankdistill import one_pass
from rankdistill.engines.catalogue import make_engine
from rankdistill.prepare import prepare
from rankdistill.settings import Settings, read_settings
from rankdistill.store.dataset import DataSet
from rankdistill.store.parts import PartWriter

# step: (object, attribute) of the functions whose time it is.
STEPS: dict[str, list[tuple[Any, str]]] = {
    "open, bind, plan": [(builder, "prepare")],
    "the door": [(one_pass, "admit")],
    "what stands out (measures)": [(one_pass, "findings")],
    "rejects": [(one_pass.RejectSample, "add"), (builder, "reject_parts")],
    "write, hash, fsync": [(PartWriter, "write"), (PartWriter, "close")],
    "commit": [(DataSet, "publish"), (DataSet, "begin")],
}


def report(log: Path, config: Path, folder: Path) -> None:
    """Print the steps of building `config` from `log`."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        given = [f"log.path={log}", f"output={out}/out", "engine={kind: duckdb, threads: 1}"]
        settings = read_settings(config, given)
        floor = _floor(settings)
        spent, whole = _build(settings)
    print(f"  {config.stem}")
    for step, seconds in {"read, sort, Arrow alone": floor, **spent}.items():
        print(f"    {step:28}{seconds:8.2f}{seconds / whole:8.0%}")
    rest = whole - floor - sum(spent.values())
    print(f"    {'the rest':28}{rest:8.2f}{rest / whole:8.0%}")
    print(f"    {'whole build, imports apart':28}{whole:8.2f}", flush=True)


def _floor(settings: Settings) -> float:
    """The engine alone: batches are fetched and dropped."""

    def drop(batches: Iterator[Any], task: str) -> Iterator[Any]:
        for _ in batches:
            pass
        return iter(())

    engine = make_engine(settings.engine)
    query = prepare(settings, engine).query
    before = time.process_time()
    for _ in engine.run(query, drop, lambda done: None):
        pass
    seconds = time.process_time() - before
    engine.close()
    return seconds


def _build(settings: Settings) -> tuple[Counter[str], float]:
    spent: Counter[str] = Counter()
    with ExitStack() as stack:
        for step, functions in STEPS.items():
            for owner, name in functions:
                timed = _timed(getattr(owner, name), step, spent)
                stack.enter_context(patch.object(owner, name, timed))
        timed_samplers = {
            kind: replace(
                sampler,
                kernel=_timed(sampler.kernel, f"kernel {kind}", spent),
                table=_timed(sampler.table, "gather", spent),
            )
            for kind, sampler in one_pass.SAMPLERS.items()
        }
        stack.enter_context(patch.dict(one_pass.SAMPLERS, timed_samplers))
        before = time.process_time()
        builder.build(settings)
        return spent, time.process_time() - before


def _timed(function: Callable[..., Any], step: str, spent: Counter[str]) -> Callable[..., Any]:
    def timed(*arguments: Any, **options: Any) -> Any:
        before = time.thread_time()
        try:
            return function(*arguments, **options)
        finally:
            spent[step] += time.thread_time() - before

    return timed
