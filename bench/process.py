"""Whole processes, measured: wall clock, CPU time and peak memory, in pairs A B A B."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import MappingProxyType

PR_SET_CHILD_SUBREAPER = 36  # of prctl(2)


@dataclass(frozen=True)
class Cost:
    """seconds: wall; cpu: user + system seconds of it and of all that it started; peak: resident MB
    of the largest process of these."""

    seconds: float
    cpu: float
    peak: float


def cost(command: list[str], folder: Path, start: Path | None = None) -> Cost:
    """One run of `command`; `{new}` in it stands for a fresh place under `folder`, where a copy
    of `start` lies, if that is given."""
    with tempfile.TemporaryDirectory(dir=folder) as new, tempfile.TemporaryFile() as talk:
        if start is not None:
            shutil.copytree(start, f"{new}/out")
        words = [word.replace("{new}", f"{new}/out") for word in command]
        before = time.perf_counter()
        # The spill of a peer goes where its output goes; nothing is left behind.
        process = subprocess.Popen(words, stdout=talk, stderr=talk, env=_as_installed())
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - before
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            talk.seek(0)
            sys.exit(f"{' '.join(words)}\n{talk.read().decode()[-3000:]}")
        usages = [usage, *_left_behind()]
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return Cost(seconds, cpu, max(usage.ru_maxrss for usage in usages) / 1024)


def _as_installed() -> dict[str, str]:
    """The environment, in which Python may keep its bytecode: an installed package has it, too."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def _left_behind() -> Iterator[resource.struct_rusage]:
    """What processes used that outlived who started them, as Spark's JVM does."""
    while True:
        try:
            yield os.wait4(-1, 0)[2]
        except ChildProcessError:
            return


def adopt_orphans() -> None:
    """Have processes whose parent is gone become ours, so that what they used is known (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def side_by_side(
    commands: dict[str, list[str]],
    folder: Path,
    times: int,
    starts: Mapping[str, Path] = MappingProxyType({}),
) -> dict[str, Cost]:
    """The medians of `times` runs of each command, taken in turns: A B A B ..."""
    runs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(times):
        for name, command in commands.items():
            runs[name].append(cost(command, folder, starts.get(name)))
    return {name: _median(found) for name, found in runs.items()}


def _median(runs: list[Cost]) -> Cost:
    return Cost(
        median(run.seconds for run in runs),
        median(run.cpu for run in runs),
        median(run.peak for run in runs),
    )


def load() -> str:
    """How busy the machine is: a wall clock means little on a busy one."""
    return f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores"
