"""The same pairs by our builds, by hand-written peers, and what no build can go below.

Ten positives by four later-ranked, unclicked negatives of each request, as zstd Parquet, from a log
of rows or of lists, on two cores. A floor reads, brings together, hands over as Arrow and writes
as many bytes as ours of the same engine did, and does nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.commands import a_peer, our_build
from bench.logs import log
from bench.process import Cost, adopt_orphans, cost, load, side_by_side

ENGINES = {"duckdb": "DuckDB", "spark": "Spark"}
SPARK = (
    "engine={kind: spark, master: 'local[2]', conf: {spark.driver.memory: 4g, "
    "spark.sql.shuffle.partitions: '4', spark.sql.execution.bypassPartialAggregation: 'true'}}"
)
GOALS = {"rows": 1.2, "lists": 1.6}


@dataclass(frozen=True)
class Peer:
    """engine: whose build it is compared with; most: rows of the largest log it is tried on."""

    name: str
    module: str
    engine: str = "duckdb"
    most: int = 100_000_000


PEERS = (
    Peer("DuckDB SQL", "duckdb_pairs"),
    Peer("Polars", "polars_pairs"),
    Peer("Python loops over pandas groups", "pandas_pairs", most=1_000_000),
    Peer("Spark, higher-order functions", "spark_pairs", "spark"),
    Peer("Spark, window functions", "spark_window_pairs", "spark"),
    Peer("Spark, self-join", "spark_join_pairs", "spark", most=1_000_000),
)


def contest(data: Path, num_rows: int, layout: str, times: int, engine: str) -> Iterator[str]:
    """Lines of a table: everyone's cost, in turns, and as ratios to ours and to the floor."""
    source = log(data, num_rows, layout)
    adopt_orphans()
    with tempfile.TemporaryDirectory(dir=data) as folder:
        ours, floor = (f"{name}, {ENGINES[engine]}" for name in ("ours", "floor"))
        choices = [f"log.layout={layout}", *([SPARK] if engine == "spark" else [])]
        commands = {ours: our_build(source, "pairs.yaml", *choices)}
        written = str(_written(commands[ours], Path(folder)))
        given = (layout, str(source.resolve()))
        commands[floor] = a_peer(f"{engine}_floor", "--written", written, *given)
        for peer in PEERS:
            if peer.engine == engine and num_rows <= peer.most:
                commands[peer.name] = a_peer(peer.module, *given)
        yield f"\n{num_rows:,} candidates in {layout}, {times} runs each, {load()}"
        spent = side_by_side(commands, data, times)
    yield from _table(spent, ours, floor)
    yield f"goal: ours at most {GOALS[layout]} of the floor"


def _written(ours: list[str], folder: Path) -> Path:
    """What our build writes, as rows that a floor writes again."""
    out, file = folder / "ours", folder.resolve() / "pairs.arrow"
    cost([word.replace("{new}", str(out)) for word in ours], folder)
    subprocess.run([sys.executable, "-m", "bench.written", str(out), str(file)], check=True)
    return file


def _table(spent: dict[str, Cost], ours: str, floor: str) -> Iterator[str]:
    yield "| contestant | wall | CPU | peak | wall of ours | CPU of ours | wall of the floor |"
    yield "|---|---|---|---|---|---|---|"
    base, least = spent[ours], spent[floor]
    for name, here in spent.items():
        cells = (
            f"{here.seconds:.2f} s",
            f"{here.cpu:.2f} s",
            f"{here.peak:,.0f} MB",
            f"{here.seconds / base.seconds:.2f}",
            f"{here.cpu / base.cpu:.2f}",
            f"{here.seconds / least.seconds:.2f}",
        )
        yield f"| {name} | {' | '.join(cells)} |"
