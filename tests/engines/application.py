"""A Spark application of its own: a process that builds what it is told to, one line each.

A process has one Spark master, so that of the tests' own serves no test of another.
`python -m tests.engines.application MASTER CONF` reads requests from stdin, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.engines.faulty import Faulty

HOME = Path(__file__).parents[2]
PATIENCE = 480  # seconds for a session to start, or for a build
ANSWER = "answer: "
EXECUTOR = "CoarseGrainedExecutorBackend"


class Application:
    """A session on `master` in another process; made by `application`."""

    def __init__(self, process: subprocess.Popen[str], app: str) -> None:
        self._process, self.app = process, app

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def begin(self, log: Path, out: Path, faulty: Faulty | None = None, **engine: Any) -> None:
        """Start a whole feed's build; `end` waits for it. engine: options of the spark engine."""
        request = {"log": str(log), "out": str(out), "engine": {**engine, "kind": "spark"}}
        request["faulty"] = asdict(faulty) if faulty else None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """{"seconds": of the build}; its fault, if it had one, is raised."""
        told = _answer(self._process)
        assert "fault" not in told, told["fault"]
        return told

    def executors(self) -> list[int]:
        """The processes of its executors."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "cmdline").read_text()
                if EXECUTOR in words and self.app in words:
                    found.append(int(entry.name))
        return sorted(found)

    def kill_one(self, of: int, number: int) -> None:
        """kill -9 one of `of` executors, once all are there."""
        until = time.monotonic() + PATIENCE
        while len(found := self.executors()) < of:
            assert time.monotonic() < until, found
            time.sleep(0.05)
        os.kill(found[number % of], signal.SIGKILL)


@contextmanager
def application(master: str, conf: dict[str, str], env: dict[str, str]) -> Iterator[Application]:
    command = [sys.executable, "-m", "tests.engines.application", master, json.dumps(conf)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=HOME,
        env=env | {"PYTHONPATH": str(HOME)},
    )
    try:
        yield Application(process, _answer(process)["app"])
    finally:
        with suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        process.wait()


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    late = threading.Timer(PATIENCE, process.kill)
    late.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(ANSWER):
                return json.loads(line.removeprefix(ANSWER))
    finally:
        late.cancel()
    raise AssertionError(f"the application has ended or is late: {process.poll()}")


def _say(**told: Any) -> None:
    print(ANSWER + json.dumps(told), flush=True)


def main(master: str, conf: dict[str, str]) -> None:
    import rankdistill.build as builds
    from rankdistill.engines.spark_options import SparkOptions
    from rankdistill.engines.spark_session import Session
    from rankdistill.one_pass import work
    from tests.engines.feed_rows import whole_feed

    session = Session(SparkOptions(master=master, conf=conf))
    _say(app=session.spark.sparkContext.applicationId)
    for line in sys.stdin:
        request = json.loads(line)
        faulty = request["faulty"]
        builds.work = Faulty(**faulty) if faulty else work  # type: ignore[assignment]
        start = time.monotonic()
        try:
            builds.build(whole_feed(request["log"], request["out"], request["engine"]))
        except Exception as fault:  # told to who asked
            _say(fault=f"{type(fault).__name__}: {fault}")
        else:
            _say(seconds=time.monotonic() - start)
    session.close()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
