"""Which files a path, a folder or a glob means, and what their partition folders say."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from rankdistill.errors import InputError, PlaceError, beside
from rankdistill.log.source import TableSource

SUFFIXES = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", ".csv.gz"),
    "tsv": (".tsv", ".tsv.gz"),
    "jsonl": (".jsonl", ".json", ".ndjson", ".jsonl.gz", ".json.gz", ".ndjson.gz"),
    "feather": (".feather", ".arrow"),
    "trec": (".run", ".trec", ".qrels", ".txt", ".gz"),
    "orc": (".orc",),
}
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
HIDDEN = ("_", ".")
MOST_LOOKED_AT = 1000


def list_files(options: TableSource) -> list[tuple[str, str]]:
    """(file, folder from which partition folders count), sorted.

    Raises InputError E0311 where there are none, PlaceError E0202 where a folder that may hold
    some, or a file, is closed to us: none is left out without a word.
    """
    patterns = [options.path] if isinstance(options.path, str) else options.path or []
    found: dict[str, str] = {}
    for pattern in patterns:
        base = _fixed_part(pattern)
        _refuse_closed(_looked_into(pattern))
        for match in glob.glob(pattern, recursive=True):
            if Path(match).is_dir():
                found.update((f, base) for f in _files_below(match, options))
            else:
                found[match] = base
    if not found and any("://" in pattern for pattern in patterns):
        raise InputError(
            "E0311",
            f"{', '.join(patterns)} is no place of this machine's",
            help="the duckdb engine reads files: mount it, or give --engine spark",
        )
    if not found:
        raise InputError(
            "E0311",
            f"no {options.format} file at {', '.join(patterns)}",
            found=_nearby(patterns[0]) if patterns else None,
            help=_in_its_place(patterns[0], options) if patterns else None,
        )
    files = sorted(found.items())
    _refuse_closed(path for path, _ in files)
    return files


def partition(path: str, base: str) -> tuple[tuple[str, str | None], ...]:
    """Partition folders key=value between `base` and the file, unescaped."""
    try:
        folders = Path(path).relative_to(base).parts[:-1]
    except ValueError:
        folders = Path(path).parts[:-1]
    pairs = (folder.split("=", 1) for folder in folders if "=" in folder)
    return tuple((k, None if v == NULL_PARTITION else unquote(v)) for k, v in pairs)


def _fixed_part(pattern: str) -> str:
    """The folder above the first wildcard or partition folder."""
    parts = Path(pattern).parts
    for i, part in enumerate(parts):
        if glob.has_magic(part) or "=" in part:
            return str(Path(*parts[:i])) if i else "."
    path = Path(pattern)
    return str(path if path.is_dir() else path.parent)


def _looked_into(pattern: str) -> Iterator[str]:
    """The folders that a glob lists or goes through; it is silent where it may not."""
    parts = Path(pattern).parts
    first = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    for end in range(first, len(parts)):
        above = str(Path(*parts[:end]))
        yield from filter(os.path.isdir, glob.glob(above, recursive=True))


def _refuse_closed(paths: Iterable[str]) -> None:
    for path in paths:
        wanted = os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK
        if not os.access(path, wanted) and os.path.exists(path):  # a link may lead nowhere
            raise PlaceError(
                "E0202",
                f"the log's {path} is closed to us",
                found="Permission denied",
                help="let the user that runs this read it, or leave it out of the path",
            )


def _files_below(folder: str, options: TableSource) -> Iterator[str]:
    """Files of the format, but for hidden ones and those in hidden folders."""
    _refuse_closed([folder])
    for place, folders, names in os.walk(str(Path(folder))):
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        _refuse_closed(os.path.join(place, name) for name in folders)
        for name in names:
            path = os.path.join(place, name)
            is_ours = name.endswith(SUFFIXES[options.format]) and not name.startswith(HIDDEN)
            if is_ours and os.path.isfile(path):
                yield path


def _in_its_place(pattern: str, options: TableSource) -> str:
    folder = Path(_fixed_part(pattern))
    if glob.has_magic(pattern):
        if _has_below(folder, options):
            return f"give the folder, which has such files further down: {folder}"
    elif (near := beside(pattern)) is not None:
        return f'did you mean "{near}"?'
    return "give a file, a folder or a glob, or set format to what the files are"


def _has_below(folder: Path, options: TableSource) -> bool:
    """Whether such files are in the folder or one below it, by a look at a few entries."""
    suffixes = SUFFIXES[options.format]
    with suppress(OSError):
        for pattern in ("*", "*/*"):
            for path in islice(folder.glob(pattern), MOST_LOOKED_AT):
                if path.name.endswith(suffixes) and path.is_file():
                    return True
    return False


def _nearby(pattern: str) -> str | None:
    folder = Path(_fixed_part(pattern))
    while not os.path.isdir(folder):
        folder = folder.parent
    try:
        names = sorted(p.name for p in folder.iterdir())[:8]
    except OSError as fault:
        return f"{folder}: {fault.strerror}"
    return f"{folder} holds {', '.join(names)}" if names else f"{folder} is empty"
