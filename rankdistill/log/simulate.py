"""A cascade log of any size with known truth, written as Parquet: the `simulate` verb.

`world.py` says who exists, `cascade.py` what happens to a request; here days become files:
log/dt=YYYY-MM-DD (what a source logs), users, items (weak features), vectors/ (what a model
that knows a part would export), and truth/, which no reader of the log sees. A day is written
aside and moved into its place when whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.errors import PlaceError
from rankdistill.log import simulated_tables as tables
from rankdistill.log.cascade import make_requests, run_cascade
from rankdistill.log.shuffle import gather, spill
from rankdistill.log.world import SimulateOptions, World, make_world
from rankdistill.private import create

__all__ = ["SimulateOptions", "SimulateResult", "simulate"]

MARKER, PARTIAL = "simulate.json", ".partial"
FOLDERS = (PARTIAL, "log", "truth", "vectors")
VERSION = 1  # of the rows: raise it when a seed's rows change
ROW_GROUP_CANDIDATES = 1_048_576
OF_DAYS = ("start_date", "days")  # options that say which days, not what is in them


@dataclass(frozen=True)
class SimulateResult:
    """What a run left: `out`/log is the log. `num_rows` are candidates logged in all `dates`."""

    out: Path
    dates: tuple[date, ...]
    num_requests: int
    num_rows: int
    up_to_date: bool

    @property
    def log(self) -> Path:
        return self.out / "log"


def simulate(
    out: Path,
    options: SimulateOptions,
    *,
    threads: int = 0,
    block_rows: int = 65_536,
    on_progress: Callable[[int], object] | None = None,
) -> SimulateResult:
    """The log of `options.dates` under `out`; days that are there already stay as they are.

    threads: 0 means one per core. Neither it nor block_rows (candidates in work at a time per
    thread) changes a row. on_progress gets the number of requests just done, from any thread.
    Raises PlaceError E0201 where `out` is something else, or a simulation of other options.
    """
    out = Path(out)
    marker = _claim(out, options)
    missing = [day for day in options.dates if str(day) not in marker["dates"]]
    if missing:
        world = make_world(options)
        run = _Run(out, options, world, threads or os.cpu_count() or 1, block_rows, on_progress)
        run.write_features()
        for day in missing:
            run.write_day(day)
            marker["dates"] = sorted([*marker["dates"], str(day)])
            _write_marker(out, marker)
    num_requests = options.num_requests * options.days
    return SimulateResult(
        out, tuple(options.dates), num_requests, num_requests * options.num_logged, not missing
    )


def _claim(out: Path, options: SimulateOptions) -> dict[str, Any]:
    """The marker of `out`, made if the folder is empty or missing."""
    wanted: dict[str, Any] = {
        "simulate": VERSION,
        "options": options.model_dump(mode="json", exclude=set(OF_DAYS)),
        "dates": [],
    }
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise _refusal(out, "it is a link or not a folder")
    try:
        if not out.exists() or not any(out.iterdir()):
            out.mkdir(parents=True, exist_ok=True)
            _write_marker(out, wanted)
            return wanted
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise _refusal(out, f"it cannot be used ({error.strerror})") from None
    try:
        found = json.loads((out / MARKER).read_text(encoding="utf-8"))
        found_options, _ = dict(found["options"]), list(found["dates"])
    except (OSError, ValueError, KeyError, TypeError):
        raise _refusal(out, "the folder is not empty and not a simulated log") from None
    differing = sorted(
        key for key, value in wanted["options"].items() if found_options.get(key) != value
    )
    if found.get("simulate") != VERSION:
        differing.append("the simulator's version")
    if differing:
        raise _refusal(out, f"it holds a simulation with other options ({', '.join(differing)})")
    for place in (out / name for name in FOLDERS):
        if place.is_symlink():
            raise _refusal(place, "it is a link")
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    return found


def _refusal(out: Path, why: str) -> PlaceError:
    return PlaceError(
        "E0201",
        f"refusing to simulate into {out}: {why}",
        help="name a new folder; more days of the same options may share one",
    )


def _write_marker(out: Path, marker: dict[str, Any]) -> None:
    fresh = out / f"{MARKER}.new"
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(create(fresh), "w", encoding="utf-8") as file:
            file.write(json.dumps(marker, indent=1) + "\n")
    except OSError:  # half of it would be somebody else's file to the next run
        fresh.unlink(missing_ok=True)
        raise
    fresh.replace(out / MARKER)


@dataclass(frozen=True)
class _Run:
    out: Path
    options: SimulateOptions
    world: World
    threads: int
    block_rows: int
    on_progress: Callable[[int], object] | None

    def write_features(self) -> None:
        (self.out / "vectors").mkdir(exist_ok=True)
        for folder, made in ((".", tables.features), ("vectors", tables.vectors)):
            for name, table in made(self.world, self.options).items():
                fresh = self.out / folder / f"{name}.parquet.new"
                fresh.unlink(missing_ok=True)
                _write(fresh, [table])
                fresh.replace(self.out / folder / f"{name}.parquet")

    def write_day(self, day: date) -> None:
        aside = self.out / PARTIAL
        kinds = ("log", "truth", "spill") if self.options.shuffle else ("log", "truth")
        for kind in kinds:
            (aside / kind).mkdir(parents=True)
        per_file = max(1, self.options.rows_per_file // self.options.num_logged)
        starts = range(0, self.options.num_requests, per_file)
        parts = [(day, start, start + per_file, number) for number, start in enumerate(starts)]
        if self.options.shuffle:
            self._each(lambda part: self._spill_part(aside, len(parts), *part), parts)
            self._each(lambda part: self._gather_part(aside, len(parts), part[3]), parts)
        else:
            self._each(lambda part: self._write_part(aside, *part), parts)
        for kind in ("log", "truth"):
            self._publish(aside / kind, self.out / kind / f"dt={day}")
        shutil.rmtree(aside)

    def _publish(self, made: Path, place: Path) -> None:
        """Move a day into its place; what a killed run of ours left there goes first."""
        if place.is_symlink():
            raise _refusal(place, "it is a link")
        if place.exists():
            foreign = [path.name for path in place.iterdir() if not path.match("part-*.parquet")]
            if foreign:
                raise _refusal(place, f"files that are not ours: {', '.join(sorted(foreign)[:3])}")
            shutil.rmtree(place)
        place.parent.mkdir(exist_ok=True)
        made.replace(place)

    def _each(self, work: Callable[[Any], object], parts: list) -> None:
        with ThreadPoolExecutor(self.threads) as pool:
            futures = [pool.submit(work, part) for part in parts]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _blocks(self, day: date, start: int, stop: int) -> Iterator[tuple[pa.Table, pa.Table]]:
        """(log, truth) of the requests start .. stop of a day, a block at a time."""
        step = max(1, self.block_rows // self.options.num_candidates)
        stop = min(stop, self.options.num_requests)
        for first in range(start, stop, step):
            index = np.arange(first, min(first + step, stop))
            requests = make_requests(self.world, self.options, day, index)
            cascade = run_cascade(self.world, self.options, requests)
            yield (
                tables.log_table(self.world, self.options, cascade),
                tables.truth_table(self.options, cascade),
            )
            if self.on_progress:
                self.on_progress(len(index))

    def _write_part(self, aside: Path, day: date, start: int, stop: int, number: int) -> None:
        log, truth = zip(*self._blocks(day, start, stop), strict=True)
        _write(_part(aside, "log", number), log, self._rows_per_group())
        _write(_part(aside, "truth", number), truth)

    def _rows_per_group(self) -> int:
        if self.options.layout == "rows":
            return ROW_GROUP_CANDIDATES
        return max(1, min(65_536, ROW_GROUP_CANDIDATES // self.options.num_logged))

    def _spill_part(
        self, aside: Path, num_files: int, day: date, start: int, stop: int, number: int
    ) -> None:
        log, truth = zip(*self._blocks(day, start, stop), strict=True)
        _write(_part(aside, "truth", number), truth)
        spilled = _part(aside, "spill", number)
        spill(pa.concat_tables(log), spilled, seed=self.options.seed, num_files=num_files)

    def _gather_part(self, aside: Path, num_files: int, number: int) -> None:
        spills = [_part(aside, "spill", spilled) for spilled in range(num_files)]
        _write(_part(aside, "log", number), [gather(spills, number)], self._rows_per_group())


def _part(aside: Path, kind: str, number: int) -> Path:
    return aside / kind / f"part-{number:05d}.parquet"


def _write(path: Path, blocks: Any, rows_per_group: int = ROW_GROUP_CANDIDATES) -> None:
    table = pa.concat_tables(blocks)
    pq.write_table(
        table,
        path,
        row_group_size=rows_per_group,
        compression="zstd",
        compression_level=1,
        # Floats and times hardly repeat; trying to find repeats costs a third of the writing.
        use_dictionary=[name for name in tables.REPEATING if name in table.column_names],
        store_schema=False,
    )
