"""A Spark standalone cluster of this machine, and jobs handed to it by spark-submit."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).parents[2]
PATIENCE = 120  # seconds for a daemon to come up, or for what it started to go
LOOPBACK = {
    "SPARK_LOCAL_IP": "127.0.0.1",
    "SPARK_DAEMON_MEMORY": "256m",
    # Small logs: what the compiler of a server would save, it costs several times over.
    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
SMALL = {
    "spark.ui.enabled": "false",
    "spark.executor.memory": "512m",
    "spark.sql.shuffle.partitions": "4",
}
UP = re.compile(r"Starting Spark master at (spark://127\.0\.0\.1:\d+)")
REGISTERED = re.compile(r"Successfully registered with master")


@dataclass(frozen=True)
class Cluster:
    """A master and its workers. folder: theirs; each worker's executors run below worker-N."""

    url: str
    folder: Path

    def executors(self) -> list[Path]:
        """The folders of the executors of the last application, by worker."""
        found = []
        for worker in sorted(self.folder.glob("worker-*/")):
            *_, last = sorted(worker.glob("app-*"))
            found += sorted(path for path in last.iterdir() if path.is_dir())
        return found


@contextmanager
def standalone(folder: Path, num_workers: int = 2) -> Iterator[Cluster]:
    """A cluster on free ports of the loopback; at the end nothing of it runs on, come what may."""
    folder.mkdir()
    started: list[subprocess.Popen[bytes]] = []

    def daemon(
        kind: str, name: str, told: re.Pattern[str], *given: str, host: str = "127.0.0.1"
    ) -> re.Match[str]:
        spark = importlib.util.find_spec("pyspark")
        assert spark is not None and spark.origin is not None
        command = [str(Path(spark.origin).parent / "bin" / "spark-class"), kind, *given]
        command += ["--host", host, "--port", "0", "--webui-port", "0"]
        (folder / name).mkdir()
        log = folder / f"{name}.log"
        with log.open("wb") as out:
            env = environment() | LOOPBACK | {"SPARK_LOCAL_IP": host}
            # In a group of its own, which the executors that a worker starts are in, too.
            started.append(
                subprocess.Popen(
                    command, stderr=out, stdout=out, env=env, cwd=folder, start_new_session=True
                )
            )
        return _line(log, told, started[-1])

    try:
        url = daemon("org.apache.spark.deploy.master.Master", "master", UP)[1]
        for number in range(num_workers):
            own = ["--cores", "1", "--memory", "1g", "--work-dir", str(folder / f"worker-{number}")]
            kind = "org.apache.spark.deploy.worker.Worker"
            # Each on a host of its own: no task is tried twice at once on the same.
            host = f"127.0.0.{number + 2}"
            daemon(kind, f"worker-{number}", REGISTERED, *own, url, host=host)
        yield Cluster(url, folder)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            _end(process)
        _none_left(folder)


def _line(log: Path, told: re.Pattern[str], process: subprocess.Popen[bytes]) -> re.Match[str]:
    """What a daemon says once it is up."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        if found := told.search(log.read_text(errors="replace")):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{log.name}: not up\n{log.read_text(errors='replace')[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _none_left(folder: Path) -> None:
    """Executors' Python workers end once their executor is gone; one that does not is a fault."""
    until = time.monotonic() + PATIENCE
    while left := processes_in(folder):
        if time.monotonic() > until:
            for number in left:
                os.kill(number, signal.SIGKILL)
            raise AssertionError(f"still running: {left}")
        time.sleep(0.1)


def processes_in(folder: Path) -> list[int]:
    """The processes whose working folder is `folder` or below it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if Path(os.readlink(entry / "cwd")).is_relative_to(folder):
                found.append(int(entry.name))
    return found


def environment() -> dict[str, str]:
    """This one, without what would lead a worker to the checkout or to other settings."""
    return {
        key: value
        for key, value in os.environ.items()
        if key != "PYTHONPATH" and not key.startswith(("SPARK_", "PYSPARK_"))
    }


@dataclass(frozen=True)
class Submit:
    """How a job is handed over; called with a job and its arguments in the folder `here`.

    package: for --py-files; python: of the workers; more: further words of spark-submit.
    """

    cluster: Cluster
    package: Path
    here: Path
    python: str = sys.executable
    more: tuple[str, ...] = ()

    def __call__(self, job: str | Path, *arguments: str | Path) -> str:
        """Its stdout, from a run that ended well."""
        done = self.run(job, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, job: str | Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """The run, however it ended."""
        command = [str(Path(sys.executable).parent / "spark-submit")]
        command += ["--master", self.cluster.url, "--py-files", str(self.package)]
        command += [word for key, value in SMALL.items() for word in ("--conf", f"{key}={value}")]
        words = [*command, *self.more, str(HOME / "jobs" / job), *map(str, arguments)]
        python = {"PYSPARK_PYTHON": self.python, "PYSPARK_DRIVER_PYTHON": sys.executable}
        return subprocess.run(
            words,
            capture_output=True,
            text=True,
            env=environment() | LOOPBACK | python,
            cwd=self.here,
            check=False,
            timeout=600,
        )

    def result(self, job: str, *arguments: str | Path) -> dict:
        """Its run_result.json; stdout is mixed with Spark's talk."""
        self(job, *arguments, "--result", "run.json")
        return json.loads((self.here / "run.json").read_text())


def package(path: Path) -> Path:
    """The checkout as the zip that `make dist` makes of it."""
    with zipfile.ZipFile(path, "w") as archive:
        for source in (HOME / "rankdistill").rglob("*"):
            if source.suffix in (".py", ".j2", ".css"):
                archive.write(source, source.relative_to(HOME))
        for folder in ("schemas", "conf"):
            for source in (HOME / folder).iterdir():
                archive.write(source, f"rankdistill/{folder}/{source.name}")
    return path
