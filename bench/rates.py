"""What each step of a build on Spark costs a core, and what that makes of large logs.

Slot seconds: how long one core of an executor was busy with its tasks, its Python worker with it.
Each run does what the one before did and one step more; a step is the difference.
"""

from __future__ import annotations

import functools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import spark_events
from bench.logs import log
from rankdistill import look
from rankdistill.build import build
from rankdistill.engines.spark import Spark
from rankdistill.engines.spark_options import SparkOptions
from rankdistill.engines.spark_session import Session
from rankdistill.prepare import prepare
from rankdistill.settings import Settings, read_settings
from rankdistill.store.dataset import DataSet

CONF = {"spark.driver.memory": "6g", "spark.sql.shuffle.partitions": "8"}
# Impressions a day, and the cores that build them.
DAYS = ((1_000_000_000, 16), (10_000_000_000, 16), (10_000_000_000, 160))


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
    settings = read_settings(Path(__file__).parent / "all.yaml", given)
    engine = Spark(settings.engine)  # type: ignore[arg-type]
    found: dict[str, Counter[str]] = {}
    for name, run in _runs(settings, engine).items():
        tried = [_counted(run, events) for _ in range(times + 1)][1:]  # the first warms up
        found[name] = min(tried, key=lambda counts: counts["run"])
    found["written"] = Counter()
    for table in DataSet.open(folder / "out").current().tables:  # type: ignore[union-attr]
        if parts := DataSet.open(folder / "out").parts(table):
            found["written"][f"{table} rows"] = sum(part.num_rows for part in parts)
            found["written"][f"{table} bytes"] = sum(part.num_bytes for part in parts)
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
    for name, counts in found.items():
        if name != "written":
            spent = (counts["run"] - before) * 1e6 / num_rows
            before = counts["run"]
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


def _days(found: dict[str, Counter[str]], num_rows: int) -> Iterator[str]:
    seconds = found["gather and write"]["run"] / 1000 / num_rows
    out = sum(v for name, v in found["written"].items() if name.endswith("bytes"))
    yield ""
    yield "| candidates a day | cores | core hours | hours | read | shuffled | written |"
    yield "|---|---|---|---|---|---|---|"
    for rows, cores in DAYS:
        core_hours = rows * seconds / 3600
        sizes = (found["read"]["bytes"], found["shuffle"]["bytes_written"], out)
        told = " | ".join(f"{rows / num_rows * size / 1e9:,.0f} GB" for size in sizes)
        yield f"| {rows:.0e} | {cores} | {core_hours:,.1f} | {core_hours / cores:,.2f} | {told} |"
