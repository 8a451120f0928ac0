"""What every verb shares: exit codes, errors on stderr, events, signals, run_result.json."""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TextIO

from rankdistill import __version__
from rankdistill.disk import no_room, number_of
from rankdistill.errors import (
    PlaceError,
    ResourceError,
    UserError,
    UserErrors,
    printable,
    render,
    without_secrets,
)
from rankdistill.private import kept_from_others
from rankdistill.store.outputs import refuse_foreign, write

OUR_BUG = 5
SIGNALS = {"SIGINT": 130, "SIGTERM": 143}
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def is_result(start: str) -> bool:
    """Whether a file that starts so is a run_result.json."""
    return re.match(r'\{\s*"verb": "[a-z-]+",\s*"exit_code": \d', start) is not None


def _leave(stream: TextIO) -> None:
    """What is still to be written to it goes nowhere: later writes must not fail, too."""
    with contextlib.suppress(OSError):  # a test's streams have no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _NoPandas:
    """A finder that finds no pandas."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def leave_pandas_unread() -> None:
    """Have pyarrow look for pandas and not find it.

    Its first conversion imports pandas where it is installed: a tenth of a second, and no verb
    has a use for it. It looks once; `to_pandas` looks again, and finds it.
    """
    import pyarrow as pa

    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, finder := _NoPandas())
        pa.array([])
        sys.meta_path.remove(finder)


def leave_threads_to_us() -> None:
    """Have NumPy's products take one thread each, where the user has not said otherwise.

    Heard only before NumPy is first imported. For verbs whose own threads take products.
    """
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


class Stopped(BaseException):
    """A signal asked us to stop; `code` is the exit code."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.code = SIGNALS[name]


class Run:
    """One run of a verb: what it says while it runs and what it leaves behind.

    data_set: the folder that gets run_result.json once it is known to be ours; if_stopped: what
    is said where a signal ends it.
    """

    if_stopped = "a build is published whole or not at all; gc tidies up"

    def __init__(self, verb: str, *, as_json: bool = False, result_file: str | None = None) -> None:
        self.verb, self.as_json, self.result_file = verb, as_json, result_file
        self.data_set: str | None = None
        self.facts: dict[str, Any] = {}
        self._started = time.monotonic()
        self._bar: Any = None

    def notify(self, event: str, **facts: Any) -> None:
        """Progress: a bar on a terminal, else a JSON line on stderr (progress in steps)."""
        if sys.stderr.isatty():
            self._draw(event, facts)
        elif event != "progress":
            line = {"event": event, "verb": self.verb, "seconds": self._seconds(), **facts}
            self.say(json.dumps(line))

    def say(self, text: str) -> None:
        """Talk, on stderr; where nobody listens any more, the work goes on."""
        try:
            print(printable(without_secrets(text), limit=20_000), file=sys.stderr)
        except OSError:
            _leave(sys.stderr)

    def show(self, text: str, value: Any) -> None:
        """The result, on stdout: `text`, or `value` as JSON under --format json."""
        try:
            print(json.dumps(value, indent=1, default=str) if self.as_json else text, flush=True)
        except BrokenPipeError:  # `| head` has seen enough: what the verb says it says
            _leave(sys.stdout)
        except OSError as fault:  # a full disk
            _leave(sys.stdout)
            told = f"what is shown cannot be written: {fault.strerror}"
            raise PlaceError("E0202", told, help="make room, or send it elsewhere") from fault

    def refuse_foreign_result(self) -> None:
        """PlaceError E0202 where --result names a file that is no run result: it stays."""
        if self.result_file is not None:
            place, self.result_file = self.result_file, None
            refuse_foreign(place, is_result, "no run result of rankdistill")
            self.result_file = place

    def leave(self, exit_code: int, errors: list[UserError]) -> None:
        """Write run_result.json beside the data set, or where --result says."""
        if self._bar is not None:
            self._bar.stop()
        target = self.result_file
        if target is None and self.data_set and os.path.isdir(Path(self.data_set) / "builds"):
            target = str(Path(self.data_set) / "run_result.json")
        if target is None:
            return
        result = {
            "verb": self.verb,
            "exit_code": exit_code,
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": self._seconds(),
            "version": __version__,
            "errors": [{"code": e.code, "message": e.message} for e in errors],
            **self.facts,
        }
        try:
            write(Path(target), json.dumps(result, indent=1, default=str) + "\n")
        except UserError as fault:
            if self.result_file is not None:
                self.say(f"warning: {fault.message}")

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started, 3)

    def _draw(self, event: str, facts: dict[str, Any]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        if event == "started":
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.verb, total=facts.get("rows") or None)
        elif event == "progress" and self._bar is not None:
            self._bar.advance(self._task, facts["rows"])
        elif self._bar is not None and "units" in facts:
            self._bar.reset(self._task, total=facts["units"], description=event)
        elif self._bar is not None:
            self._bar.update(self._task, description=event)


class Signals:
    """While a verb works, SIGTERM and SIGINT raise `Stopped` in the main thread. A context manager.

    came: those that did. It counts: a library in whose call the signal arrives (DuckDB's, say) may
    turn the exception into one of its own.
    """

    def __init__(self) -> None:
        self.came: list[Stopped] = []
        self._is_too_late = False

    def __enter__(self) -> Signals:
        self._before = {name: signal.signal(getattr(signal, name), self._stop) for name in SIGNALS}
        return self

    def __exit__(self, *fault: object) -> None:
        for name, handler in self._before.items():
            signal.signal(getattr(signal, name), handler)

    def too_late(self) -> None:
        """The verb has ended, and its exit code stands: what comes now is not heard."""
        self._is_too_late = True

    def _stop(self, number: int, frame: Any) -> None:
        if not self._is_too_late:
            self.came.append(Stopped(signal.Signals(number).name))
            raise self.came[-1]


def carry_out(
    run: Run, verb: Callable[[Run], int | None], end: Callable[[int], object] | None = None
) -> int:
    """Run the verb; its exit code. Errors are told on stderr, run_result.json is left.

    end: ends the process with the code, where the process is ours.
    """
    code, errors = 0, list[UserError]()
    with Signals() as signals:
        try:
            with kept_from_others():
                run.refuse_foreign_result()  # before the work
                code = verb(run) or 0
            signals.too_late()
        except (Exception, Stopped) as fault:
            signals.too_late()
            if signals.came:
                run.say(f"stopped by {signals.came[0]}: {run.if_stopped}")
                code = signals.came[0].code
            else:
                code, errors = _told(run, fault)
        run.leave(code, errors)
        if end is not None:
            end(code)
    return code


def end_process(code: int) -> NoReturn:
    """End this process now, with its exit functions.

    Python would take down what it holds piece by piece, for a sixth of a second; and after a signal
    threads, of ours or of a library, may still be at work.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads
            stream.flush()
    atexit._run_exitfuncs()
    os._exit(code)


def failed(fault: BaseException) -> int:
    """Say what went wrong where no verb has begun; the exit code."""
    return _told(Run("rankdistill"), fault)[0]


def _told(run: Run, fault: BaseException) -> tuple[int, list[UserError]]:
    """Say what went wrong; the exit code, and the user's faults."""
    fault = _of_the_machine(fault, run.data_set or ".") or fault
    if isinstance(fault, UserError | UserErrors):
        errors = list(fault.errors) if isinstance(fault, UserErrors) else [fault]
        for error in errors:
            for note in getattr(error, "__notes__", ()):  # what led to it
                run.say(note)
            run.say(render(error))
        return fault.exit_code, errors
    run.say("".join(traceback.format_exception(fault)).rstrip())
    run.say("this is a fault in rankdistill, not in your input; please report it")
    return OUR_BUG, []


def _of_the_machine(fault: BaseException, place: str) -> UserError | None:
    """A full disk or memory, a place that is closed to us: what no code of ours can mend.

    place: where the verb writes, for faults that name no file."""
    if isinstance(fault, MemoryError):  # Arrow's and NumPy's, too
        less = "free memory, or lower engine.memory_limit, engine.threads or engine.batch_rows"
        return ResourceError("E0403", "memory ran out", found=str(fault) or None, help=less)
    if not isinstance(fault, OSError):
        return None
    if (lacking := no_room(fault, place)) is not None:
        return lacking
    number = number_of(fault)
    if number in NOT_ALLOWED:
        told = f"the system does not let us: {os.strerror(number)}"
        where = str(fault.filename or place)
        return PlaceError("E0202", told, found=where, help="name a place that is yours to use")
    return None
