"""What Spark's event log tells of the tasks that ran: counters that do not depend on the machine,
and seconds that do.

A session keeps one where `spark.eventLog.enabled` is set: JSON lines, one per event.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def conf(folder: Path) -> dict[str, str]:
    """Settings of a session that writes its events, plainly and at once, under `folder`."""
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": folder.resolve().as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
    }


def stages(folder: Path, start: int = 0) -> list[Counter[str]]:
    """Of each stage that ran, in order, the sums over its successful tasks: tasks, rows and bytes
    read from files, records and bytes written to and read from a shuffle, bytes spilled, and
    milliseconds of tasks (run) and of CPU in the JVM (cpu). start: bytes of the log to skip."""
    sums: dict[int, Counter[str]] = {}
    for task in _finished(folder, start):
        found = task["Task Metrics"]
        read, wrote = found["Shuffle Read Metrics"], found["Shuffle Write Metrics"]
        sums.setdefault(task["Stage ID"], Counter()).update(
            tasks=1,
            rows=found["Input Metrics"]["Records Read"],
            bytes=found["Input Metrics"]["Bytes Read"],
            records_written=wrote["Shuffle Records Written"],
            bytes_written=wrote["Shuffle Bytes Written"],
            records_read=read["Total Records Read"],
            bytes_read=read["Remote Bytes Read"] + read["Local Bytes Read"],
            spilled=found["Disk Bytes Spilled"],
            run=found["Executor Run Time"],
            cpu=found["Executor CPU Time"] // 1_000_000,
        )
    return [sums[number] for number in sorted(sums)]


def settle(folder: Path, start: int) -> None:
    """Wait until the log has told of the end of what ran since `start`: it is written behind."""
    for _ in range(300):
        with _file(folder).open("rb") as lines:
            lines.seek(start)
            events = [line.split(b",", 1)[0] for line in lines]
        ended = sum(b"SQLExecutionEnd" in event for event in events)
        if ended and ended == sum(b"SQLExecutionStart" in event for event in events):
            return
        time.sleep(0.1)
    raise TimeoutError(f"{folder} does not tell of an end")


def size(folder: Path) -> int:
    """How long the log is by now, for `start`."""
    return _file(folder).stat().st_size


def _file(folder: Path) -> Path:
    (file,) = (path for path in folder.iterdir() if not path.name.startswith("."))
    return file


def _finished(folder: Path, start: int) -> Iterator[dict[str, Any]]:
    with _file(folder).open("rb") as lines:
        lines.seek(start)
        for line in lines:
            if b'"SparkListenerTaskEnd"' in line[:60]:
                event = json.loads(line)
                if event["Task End Reason"]["Reason"] == "Success":
                    yield event
