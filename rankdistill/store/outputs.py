"""Files that a user names: pages, JUnit XML, run results. What is not ours stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

from rankdistill.disk import no_room
from rankdistill.errors import PlaceError, UserError
from rankdistill.private import DIR_MODE, FILE_MODE
from rankdistill.store.files import refuse_link, replace_text

NEAR = 65_536  # bytes at a file's start that tell what it is
IsOurs = Callable[[str], bool]  # of such a start


def refuse_foreign(path: str | Path, is_ours: IsOurs, what: str) -> None:
    """PlaceError E0202 where a folder, a link to a file, or a file whose start is not of the
    kind to be written is there.

    Nothing, an empty file, and what is no file (a pipe) are fine.
    """
    place = Path(path)
    if place.is_file() or not place.exists():
        refuse_link(place)
    try:
        with open(place, "rb") if place.is_file() else BytesIO() as file:
            start = file.read(NEAR).decode("utf-8", "replace")
    except OSError as fault:
        raise _unwritable(str(path), fault) from fault
    if place.is_dir():
        raise PlaceError("E0202", f"{path} is a folder", help="name a file")
    if start.strip() and not is_ours(start):
        raise PlaceError(
            "E0202",
            f"{path} is there and {what}: it is not overwritten",
            found=start.strip().splitlines()[0][:80],
            help="name another file, or remove it",
        )


def refuse_folder(out: str, files: Mapping[str, IsOurs]) -> None:
    """PlaceError E0202 where `out` is no place for these files, or holds others called so."""
    refuse_table(out)
    real = Path(os.path.realpath(out))
    nearest = next(place for place in (real, *real.parents) if place.exists())
    if not nearest.is_dir():
        raise PlaceError(
            "E0202", f"{out} cannot be written", found=f"{nearest} is a file", help="name a folder"
        )
    for name, is_ours in files.items():
        refuse_foreign(Path(out) / name, is_ours, "none that rankdistill wrote")


def refuse_table(out: str | Path) -> None:
    """PlaceError E0202 where `out` lies in a table of a data set."""
    real = Path(os.path.realpath(out))
    table = next((p for p in (real, *real.parents) if (p / "_delta_log").is_dir()), None)
    if table is not None:
        raise PlaceError(
            "E0202",
            f"refusing to write into {out}: it lies in a table of a data set",
            found=str(table),
            help="name a folder of its own",
        )


def made_folder(out: str) -> Path:
    """The folder to write to. PlaceError E0202 where there can be none."""
    folder = Path(out)
    try:
        folder.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
    except OSError as fault:
        raise _unwritable(out, fault) from fault
    return folder


def write(place: Path, text: str) -> None:
    """A file as a whole. PlaceError E0202 where it cannot be, ResourceError E0402 without room."""
    try:
        replace_text(place, text)
    except OSError as fault:
        raise _unwritable(str(place), fault) from fault


def append(place: str, text: str) -> None:
    """More of a file that others write to as well: GitHub's summary is one for all of a job."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        with os.fdopen(os.open(place, flags, FILE_MODE), "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as fault:
        raise _unwritable(place, fault) from fault


def _unwritable(place: str, fault: OSError) -> UserError:
    return no_room(fault, place) or PlaceError(
        "E0202", f"{place} cannot be written", found=str(fault.strerror), help="name another place"
    )
