"""`python -m bench [name ...]`: our builds beside hand-written peers, as ratios of one run.

Not tests: a ratio is printed beside its goal, and nothing fails. Every contestant is a process
of its own, started in turns; CPU is user + system time, for days when others use the machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bench import contest
from bench.commands import HERE, a_peer, our_build
from bench.logs import DAYS, LENGTH, NUM_USERS, cascade, log, user_history
from bench.process import Cost, cost, load, side_by_side

LIMIT = "2GB"
# The day before is there; of a month of history, too, no more than that.
CATALOGUE = ("catalogue={window: 1d}",)
NO_SPARK = "  (skipped: needs Java and pyspark)"


class Bench:
    """Where the logs are, how large they are, how often each contestant runs."""

    def __init__(self, data: Path, rows: int, times: int) -> None:
        self.data, self.rows, self.times = data, rows, times

    def against(
        self,
        title: str,
        goal: float,
        ours: list[str],
        peer: list[str],
        starts: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        """Print both costs and their ratios; starts: what lies in {new} before."""
        found = side_by_side({"ours": ours, "peer": peer}, self.data, self.times, starts)
        print(f"\n{title} ({self.times} runs each, {load()})")
        for name, spent in found.items():
            print(f"  {name}  {_line(spent)}")
        wall = found["ours"].seconds / found["peer"].seconds
        cpu = found["ours"].cpu / found["peer"].cpu
        print(f"  ratio {wall:8.2f}    {cpu:8.2f}        goal {goal}", flush=True)

    def second_day(
        self, title: str, goal: float, source: Path, ours: Sequence[str], peer: Sequence[str]
    ) -> None:
        """Builds of a second day under two choices of options, each where the first day is."""
        config = "second_day.yaml"
        with tempfile.TemporaryDirectory(dir=self.data) as folder:
            starts, commands = {}, {}
            for name, choice in (("ours", ours), ("peer", peer)):
                starts[name] = Path(folder) / name
                command = our_build(source, config, *choice)
                first = [word.replace("{new}", str(starts[name])) for word in command]
                cost([*first, "--dt", DAYS[0]], self.data)
                commands[name] = [*command, "--dt", DAYS[1]]
            self.against(title, goal, commands["ours"], commands["peer"], starts)


def _line(spent: Cost) -> str:
    return f"{spent.seconds:8.2f} s  {spent.cpu:8.2f} s CPU  {spent.peak:8,.0f} MB"


def peers(bench: Bench) -> None:
    """Pairs alone by us, by hand-written peers and by nobody (the floor), from rows and lists, a
    tenth of --rows, as many, and ten times as many; on Spark, too, where Java is."""
    engines = ["duckdb", "spark"] if _has_spark() else ["duckdb"]
    for num_rows in (bench.rows // 10, bench.rows, 10 * bench.rows):
        times = 1 if num_rows > bench.rows else bench.times
        for layout in contest.GOALS:
            for engine in engines:
                for line in contest.contest(bench.data, num_rows, layout, times, engine):
                    print(line, flush=True)
    if "spark" not in engines:
        print(NO_SPARK)


def _has_spark() -> bool:
    return shutil.which("java") is not None and importlib.util.find_spec("pyspark") is not None


def everything(bench: Bench) -> None:
    """Lists and all three kinds, against our own pairs alone."""
    rows = log(bench.data, bench.rows)
    title = f"lists + three kinds (ours) over pairs alone (peer), {bench.rows:,} rows"
    bench.against(title, 1.3, our_build(rows, "all.yaml"), our_build(rows, "pairs.yaml"))


def large(bench: Bench) -> None:
    """Ten times the rows under a memory limit, once; the log is removed afterwards."""
    num_rows = 10 * bench.rows
    rows = log(bench.data, num_rows)
    limit = ("engine.kind=duckdb", f"engine.memory_limit={LIMIT}")
    limit += (f"engine.temp_directory={bench.data}",)
    commands = {
        f"pairs, {LIMIT}": our_build(rows, "pairs.yaml", *limit),
        f"lists + three kinds, {LIMIT}": our_build(rows, "all.yaml", *limit),
        "peer, no limit": a_peer("duckdb_pairs", "rows", str(rows)),
        f"peer, {LIMIT}": a_peer("duckdb_pairs", "--memory-limit", LIMIT, "rows", str(rows)),
    }
    print(f"\n{num_rows:,} rows, DuckDB memory_limit {LIMIT} ({load()})", flush=True)
    first = None
    for name, command in commands.items():
        spent = cost(command, bench.data)
        first = first or spent
        ratio = first.seconds / spent.seconds
        print(f"  {name:26}{_line(spent)}  our pairs are {ratio:.2f} of it", flush=True)
    print("  goal 0.8 of the peer, below 5,000 MB")
    rows.unlink()


def length(bench: Bench) -> None:
    """CPU time per candidate against list length, at a constant number of rows."""
    num_rows = bench.rows // 5
    lengths = (25, 50, 100, 200, 400)
    for name, choice in (("10 positives a list", "10"), ("every candidate a positive", "null")):
        print(f"\nCPU per candidate by list length, {num_rows:,} rows, {name} ({load()})")
        spent = []
        for size in lengths:
            rows = log(bench.data, num_rows, length=size)
            ours = our_build(rows, "pairs.yaml", f"samples.pairwise.top_k={choice}")
            runs = [cost(ours, bench.data).cpu for _ in range(bench.times)]
            spent.append(sorted(runs)[len(runs) // 2] / num_rows * 1e6)
            print(f"  length {size:4}  {spent[-1]:6.2f} us", flush=True)
        print(f"  slope of log-log {_slope(lengths, spent):+.2f}        goal at most 0.15")


def _slope(x: tuple[int, ...], y: list[float]) -> float:
    logs = [(math.log(a), math.log(b)) for a, b in zip(x, y, strict=True)]
    mean = [sum(column) / len(logs) for column in zip(*logs, strict=True)]
    cross = sum((a - mean[0]) * (b - mean[1]) for a, b in logs)
    return cross / sum((a - mean[0]) ** 2 for a, _ in logs)


def simulate(bench: Bench) -> None:
    """Rows per second of the simulator, both cores."""
    from rankdistill.log.simulate import SimulateOptions
    from rankdistill.log.simulate import simulate as simulate_log

    rates = []
    for _ in range(bench.times):
        with tempfile.TemporaryDirectory(dir=bench.data) as folder:
            before = time.perf_counter()
            made = simulate_log(Path(folder) / "log", SimulateOptions(num_requests=20_000))
            rates.append(made.num_rows / (time.perf_counter() - before))
    print(f"\nsimulate ({load()})")
    print(f"  {sorted(rates)[len(rates) // 2]:12,.0f} rows a second        goal at least 2,000,000")


def catalogue(bench: Bench) -> None:
    """Easy negatives from a million items, against DuckDB SQL; one core, what is read in memory."""
    from bench import draws
    from bench.peers import duckdb_popularity as peer

    num_requests = bench.rows // draws.NUM_DRAW
    folder = draws.tables(bench.data, num_requests)
    connection = peer.prepared(folder)
    task = f"{num_requests:,} requests x {draws.NUM_DRAW} draws of {draws.NUM_ITEMS:,} items"
    print(f"\n{task} ({load()})", flush=True)
    for query, title in peer.TITLES.items():
        runs = [
            (draws.seconds(folder, excluding=query != "none"), peer.seconds(connection, query))
            for _ in range(bench.times)
        ]
        ours, theirs = (statistics.median(spent) for spent in zip(*runs, strict=True))
        rate = num_requests * draws.NUM_DRAW / ours / 1e6
        print(f"  {title}")
        print(f"    ours {ours:8.2f} s CPU {rate:8.1f} M draws a second  goal at least 5")
        print(
            f"    peer {theirs:8.2f} s CPU {theirs / ours:8.1f} times ours        goal at least 3"
        )
    connection.close()


def mapped(bench: Bench) -> None:
    """What a day of as many items and responses looks into, put into files and drawn from."""
    print(f"\nfiles of a day ({load()})", flush=True)
    command = [sys.executable, "-m", "bench.mapped", str(bench.data), *[str(bench.rows)] * 2]
    subprocess.run(command, check=True)


def negatives(bench: Bench) -> None:
    """Lists and pairs with the default negatives, against those without; the second of two days."""
    source = cascade(bench.data, bench.rows, LENGTH, NUM_USERS)
    title = f"lists + pairs + negatives (ours) over lists + pairs (peer), {bench.rows:,} rows"
    bench.second_day(title, 1.4, source, (*CATALOGUE, "samples.negatives={}"), ())


def history(bench: Bench) -> None:
    """Negatives kept from their users' history, against those that are not; as many users as
    requests in two days: a million at the usual size."""
    length = 20
    num_users = 2 * bench.rows // length
    source = cascade(bench.data, bench.rows, length, num_users)
    title = f"history_window 30d (ours) over null (peer), {bench.rows:,} rows, {num_users:,} users"
    ours, peer = (
        (*CATALOGUE, f"samples.negatives={{history_window: {window}}}")
        for window in ("30d", "null")
    )
    bench.second_day(title, 1.5, source, ours, peer)


def features(bench: Bench) -> None:
    """Lists and all three kinds with a user table joined as of each request, against those
    without it."""
    rows = log(bench.data, bench.rows)
    users = user_history(bench.data)
    table = f"features=[{{of: user, path: {users}, time: since, materialize: true}}]"
    title = f"joined user table, as of the request (ours) over none (peer), {bench.rows:,} rows"
    bench.against(title, 1.3, our_build(rows, "all.yaml", table), our_build(rows, "all.yaml"))


def mining(bench: Bench) -> None:
    """The exact search of mined negatives, against NumPy and, where it is installed, faiss; one
    core."""
    from bench import nearest

    names = [name for name in nearest.SEARCHES if name != "faiss" or nearest.has_faiss()]
    spent: dict[str, list[float]] = {name: [] for name in names}
    peaks, found = {}, {}
    for _ in range(bench.times):
        for name in names:
            with tempfile.TemporaryDirectory(dir=bench.data) as folder:
                out = f"{folder}/{name}.npz"
                command = [sys.executable, "-m", "bench.nearest", name, out]
                peaks[name] = cost(command, bench.data).peak
                with np.load(out) as made:
                    spent[name].append(float(made["seconds"]))
                    found[name] = made["found"]
    shape = f"{nearest.NUM_USERS:,} users x {nearest.NUM_ITEMS:,} items of {nearest.WIDTH}"
    print(f"\nnearest {nearest.NUM_NEAREST}, {shape} dimensions ({load()})")
    ours = statistics.median(spent["ours"])
    for name in names:
        seconds = statistics.median(spent[name])
        alike = (found[name] == found["ours"]).mean()
        print(
            f"  {name:6}{seconds:8.2f} s CPU {nearest.NUM_USERS / seconds:8,.0f} users a second "
            f"{peaks[name]:8,.0f} MB  ours is {ours / seconds:.2f} of it, {alike:.4%} alike",
            flush=True,
        )


def quality(bench: Bench) -> None:
    """Lists, pairs and points measured while they are built, against the same unmeasured; then
    what each measure costs."""
    from bench.measures import report

    rows = log(bench.data, bench.rows)
    chosen = ("samples.listwise=null", "quality.fail_on=never", "quality.measure=true")
    ours = our_build(rows, "all.yaml", *chosen)
    peer = our_build(rows, "all.yaml", *chosen[:2])
    title = f"lists + pairs + points measured (ours) over unmeasured (peer), {bench.rows:,} rows"
    bench.against(title, 1.25, ours, peer)
    report(rows, HERE / "all.yaml", chosen, bench.data)


def clean_days(bench: Bench) -> None:
    """On how many of 100 clean days a gate fires."""
    from bench.clean_days import report

    print("\nalarms on clean days", flush=True)
    report(100, bench.data)


def steps(bench: Bench) -> None:
    """Where the time of a build goes."""
    from bench.steps import report

    print(f"\nCPU seconds by step, one thread, {bench.rows:,} rows ({load()})", flush=True)
    for config in ("pairs.yaml", "all.yaml"):
        report(log(bench.data, bench.rows), HERE / config, bench.data)


def rates(bench: Bench) -> None:
    """What each step on Spark costs a core, and days of a billion impressions and more by that."""
    if not _has_spark():
        print(NO_SPARK)
        return
    from bench.rates import report

    print(f"\nrates on Spark local[2], {bench.rows:,} rows ({load()})", flush=True)
    for line in report(bench.data, bench.rows, bench.times):
        print(line, flush=True)


BENCHES: dict[str, Callable[[Bench], None]] = {
    "peers": peers,
    "everything": everything,
    "length": length,
    "simulate": simulate,
    "catalogue": catalogue,
    "mapped": mapped,
    "negatives": negatives,
    "history": history,
    "features": features,
    "mining": mining,
    "quality": quality,
    "clean_days": clean_days,
    "steps": steps,
    "rates": rates,
    "large": large,
}


def main() -> None:
    described = "; ".join(f"{name}: {run.__doc__}" for name, run in BENCHES.items())
    parser = argparse.ArgumentParser(prog="bench", epilog=described)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHES))
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where the logs are kept")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the usual log")
    parser.add_argument("--times", type=int, default=3, help="runs of each contestant")
    chosen = parser.parse_args()
    if unknown := sorted(set(chosen.names) - set(BENCHES)):
        parser.error(f"unknown {', '.join(unknown)}; known are {', '.join(BENCHES)}")
    chosen.data.mkdir(parents=True, exist_ok=True)
    for name in chosen.names or BENCHES:
        BENCHES[name](Bench(chosen.data, chosen.rows, chosen.times))


if __name__ == "__main__":
    main()
