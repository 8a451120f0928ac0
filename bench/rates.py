"""What each step of a build on Spark costs a slot, and what that makes of large logs.

Slot seconds: how long one core of an executor was busy with its tasks, its Python worker with it.
Each run does what the one before did and one step more; a step is the difference. The last run
does the same work in many tasks: what it takes longer is what a task costs that has little to do.
"""

from __future__ import annotations

import functools
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import spark_events
from bench.commands import HERE
from bench.logs import log
from rankdistill import look
from rankdistill.build import build
from rankdistill.engines.spark import Spark
from rankdistill.engines.spark_options import SparkOptions
from rankdistill.engines.spark_session import Session
from rankdistill.prepare import prepare
from rankdistill.settings import Settings, read_settings
from rankdistill.settings_lines import TASK_BYTES
from rankdistill.store.dataset import DataSet

CONFIG = HERE / "all.yaml"
PARTITIONS = "spark.sql.shuffle.partitions"
CONF = {"spark.driver.memory": "6g", PARTITIONS: "8"}
# Candidates a day, and the slots that build them; bytes of a row as `plan` counts them.
DAYS = ((1_000_000_000, 16), (10_000_000_000, 16), (10_000_000_000, 160))
ROW_BYTES = 72
MANY = 400  # tasks
STEPS = ("read", "shuffle", "hand to Python", "door and kernels", "gather and write")


def report(data: Path, num_rows: int, times: int) -> Iterator[str]:
    """Lines of two tables: the rates, and days of logs by them."""
    source = log(data, num_rows)
    with tempfile.TemporaryDirectory(dir=data) as folder:
        events = Path(folder) / "events"
        events.mkdir()
        conf = CONF | spark_events.conf(events)
        session = Session(SparkOptions(master="local[2]", conf=conf))
        try:
            found = _measured(source, Path(folder), events, times)
            found["read"]["bytes"] = source.stat().st_size
        finally:
            session.close()
    yield from _rates(found, num_rows)
    yield from _days(found, num_rows)


def _measured(source: Path, folder: Path, events: Path, times: int) -> dict[str, Counter[str]]:
    """The counters of each run, the fastest of `times`; `written`: rows and bytes of tables."""
    given = [f"log.path={source}", f"output={folder}/out", "engine={kind: spark}"]
    settings = read_settings(CONFIG, given)
    engine = Spark(settings.engine)  # type: ignore[arg-type]
    runs = _runs(settings, engine)
    tried: dict[str, list[Counter[str]]] = {name: [] for name in runs}
    for _ in range(times + 1):  # in turns; the first round warms up
        for name, run in runs.items():
            tried[name].append(_counted(run, events))
    found = {name: min(each[1:], key=lambda counts: counts["run"]) for name, each in tried.items()}
    found["written"] = Counter()
    for table in DataSet.open(folder / "out").current().tables:  # type: ignore[union-attr]
        if parts := DataSet.open(folder / "out").parts(table):
            found["written"][f"{table} rows"] = sum(part.num_rows for part in parts)
            found["written"][f"{table} bytes"] = sum(part.num_bytes for part in parts)
    found["many tasks"] = _in_many_tasks(given, events)
    engine.close()
    return found


def _runs(settings: Settings, engine: Spark) -> dict[str, Callable[[], Any]]:
    prepared = prepare(settings, engine)
    query = prepared.query
    read = engine._log(query, query.paths)

    def nothing(frame: Any) -> None:
        frame.write.format("noop").mode("overwrite").save()

    def drop(batches: Any, task: str) -> Iterator[Any]:
        for _ in batches:
            pass
        return iter(())

    return {
        "read": functools.partial(nothing, read),
        "shuffle": lambda: nothing(engine._grouped(read, query)),
        "hand to Python": lambda: list(engine.run(query, drop, lambda rows: None)),
        "door and kernels": lambda: look.look(prepared, engine),
        "gather and write": lambda: build(settings, force=True),
    }


def _in_many_tasks(given: list[str], events: Path) -> Counter[str]:
    """The counters of the same build in MANY tasks; beside them its parts, and the driver's
    milliseconds from the last task to the end (publishing)."""
    conf = f"engine.conf={{spark.sql.adaptive.enabled: 'false', {PARTITIONS}: '{MANY}'}}"
    settings = read_settings(CONFIG, [*given, conf])
    seen: dict[str, Any] = {}

    def notify(event: str, **facts: Any) -> None:
        if event == "publishing":
            seen.update(facts, since=time.perf_counter())

    def run() -> None:
        build(settings, force=True, notify=notify)
        seen["ms"] = (time.perf_counter() - seen["since"]) * 1000

    return _counted(run, events) + Counter(parts=seen["parts"], publishing=round(seen["ms"]))


def _counted(run: Callable[[], Any], events: Path) -> Counter[str]:
    start = spark_events.size(events)
    run()
    spark_events.settle(events, start)
    total: Counter[str] = Counter()
    for stage in spark_events.stages(events, start):
        total.update(stage)
    return total


def _rates(found: dict[str, Counter[str]], num_rows: int) -> Iterator[str]:
    yield "| step | slot ns a candidate | candidates a second and core |"
    yield "|---|---|---|"
    before = 0
    for name in STEPS:
        spent = (found[name]["run"] - before) * 1e6 / num_rows
        before = found[name]["run"]
        yield f"| {name} | {spent:,.0f} | {1e9 / max(spent, 1):,.0f} |"
    whole = before * 1e6 / num_rows
    yield f"| whole | {whole:,.0f} | {1e9 / whole:,.0f} |"
    sizes = {"read": found["read"]["bytes"], "shuffled": found["shuffle"]["bytes_written"]}
    sizes |= {"spilled": found["shuffle"]["spilled"]}
    told = [f"{name} {size / num_rows:.1f}" for name, size in sizes.items()]
    yield f"\nbytes a candidate: {', '.join(told)}"
    written = found["written"]
    tables = [name.removesuffix(" rows") for name in sorted(written) if name.endswith(" rows")]
    told = [f"{t} {written[f'{t} bytes'] / written[f'{t} rows']:,.1f}" for t in tables]
    yield f"bytes a row: {', '.join(told)}"
    yield f"a task: {_task_ms(found):,.0f} slot ms beside its rows"
    many = found["many tasks"]
    yield f"a part: {many['publishing'] / many['parts']:.2f} ms of the driver, to publish it"


def _task_ms(found: dict[str, Counter[str]]) -> float:
    """Slot milliseconds of a task that has nothing to do but to begin and to write its parts."""
    many, few = found["many tasks"], found[STEPS[-1]]
    return (many["run"] - few["run"]) / (many["tasks"] - few["tasks"])


def _days(found: dict[str, Counter[str]], num_rows: int) -> Iterator[str]:
    seconds = found["gather and write"]["run"] / 1000 / num_rows
    out = sum(v for name, v in found["written"].items() if name.endswith("bytes"))
    yield ""
    yield "| candidates a day | slots | tasks | slot hours | minutes | read | shuffled | written |"
    yield "|---|---|---|---|---|---|---|---|"
    for rows, slots in DAYS:
        tasks = math.ceil(rows * ROW_BYTES / TASK_BYTES)
        hours = (rows * seconds + tasks * _task_ms(found) / 1000) / 3600
        sizes = (found["read"]["bytes"], found["shuffle"]["bytes_written"], out)
        told = " | ".join(f"{rows / num_rows * size / 1e9:,.0f} GB" for size in sizes)
        minutes = 60 * hours / slots
        yield f"| {rows:.0e} | {slots} | {tasks:,} | {hours:,.1f} | {minutes:,.1f} | {told} |"
