"""Where a data set may lie: refusals that keep everybody else's files untouched."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from rankdistill.errors import PlaceError, beside
from rankdistill.private import DIR_MODE
from rankdistill.store import builds
from rankdistill.store.staging import FOLDER, MARKER

WILD = "*?["


def _in_its_place(path: Path) -> str:
    """What to do where no data set is: a data set beside it of a like name, or a build."""
    if (near := beside(path, builds.is_ours)) is not None:
        return f'did you mean "{near}"?'
    return "build it first: rankdistill build --config FILE; its `output` names the folder"


def existing(root: str | Path) -> Path:
    """`root` made absolute; PlaceError E0201 where it is not a data set of ours."""
    path = Path(root)
    if not os.path.isdir(path) or not builds.is_ours(path):
        raise PlaceError(
            "E0201",
            f"{path} is not a rankdistill data set",
            found="no folder" if not os.path.isdir(path) else "no table of builds in it",
            help=_in_its_place(path),
        )
    return Path(os.path.realpath(path))


def output(root: str | Path, inputs: Iterable[str | Path] = ()) -> Path:
    """`root` made absolute, fit to write a data set into; nothing is touched.

    inputs: files, folders and globs that the build reads.
    Raises PlaceError E0201 (something else is there), E0202 (a dangerous place) or E0209 (a data
    set of a newer version).
    """
    _refuse_remote(str(root))
    path = Path(os.path.abspath(root))
    real = Path(os.path.realpath(root))
    _refuse_links(Path(root), path, real)
    _refuse_roots(real)
    for given in inputs:
        _refuse_overlap(real, str(given))
    nearest = next(place for place in (real, *real.parents) if os.path.lexists(place))
    if not os.path.isdir(nearest):
        raise PlaceError(
            "E0201", f"refusing to write into {root}: {nearest} is a file", help="name a folder"
        )
    if os.path.isdir(real) and not _is_fresh(real):
        if not builds.is_ours(real):
            raise PlaceError(
                "E0201",
                f"refusing to write into {root}: "
                "folder is not empty and not a rankdistill data set",
                found=", ".join(sorted(os.listdir(real))[:5]),
                help="name an empty or a new folder as output",
            )
        builds.history(real)  # E0209 while nothing is touched
    return real


def _refuse_remote(root: str) -> None:
    scheme, mark, _ = root.partition("://")
    if mark:
        raise PlaceError(
            "E0202",
            f"refusing to write into {root}: a data set lies in a local or mounted folder",
            found=f"a place of the scheme {scheme}",
            help="mount it, or build into a folder and copy that",
        )


def _refuse_links(root: Path, path: Path, real: Path) -> None:
    """A link as the folder itself, or `..` that leaves through one; links above it are fine."""
    if os.path.islink(path) or (".." in root.parts and Path(os.path.realpath(path)) != real):
        raise PlaceError(
            "E0202",
            f"refusing to write into {root}: it leads elsewhere through a symbolic link",
            found=f"{root} -> {real}",
            help=f"write the place itself: output: {real}",
        )


def _refuse_roots(real: Path) -> None:
    home = Path(os.path.realpath(Path.home()))
    if real == home or real in home.parents:
        raise PlaceError(
            "E0202",
            f"refusing to write into {real}: it is, or holds, the home folder",
            help="name a folder below it",
        )


def _refuse_overlap(real: Path, given: str) -> None:
    pattern = Path(os.path.abspath(given)).parts
    fixed = next((i for i, name in enumerate(pattern) if set(name) & set(WILD)), len(pattern))
    start = Path(os.path.realpath(Path(*pattern[:fixed])))
    if real in (start, *start.parents):
        how = "holds"
    elif start in real.parents and _reaches(pattern[fixed:], real.parts[len(start.parts) :]):
        how = "lies inside"
    else:
        return
    raise PlaceError(
        "E0202",
        f"refusing to write into {real}: it {how} the input {given}",
        help="name an output folder apart from the input",
    )


def make(real: Path) -> None:
    """The folder itself; PlaceError E0202 where the system does not let us."""
    try:
        real.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise PlaceError(
            "E0202",
            f"the output folder cannot be made: {error.strerror}",
            found=str(real),
            help="name a folder that you may write into",
        ) from None


def _reaches(pattern: tuple[str, ...], inside: tuple[str, ...]) -> bool:
    """Whether what `pattern` names, read with all below it, can meet files under `inside`."""
    if "**" in pattern:
        pattern = pattern[: pattern.index("**")]
    return all(fnmatchcase(name, wild) for name, wild in zip(inside, pattern, strict=False))


def _is_fresh(real: Path) -> bool:
    """Empty, or with no more than what a first build leaves that did not get far.

    Another first build may be at work here right now, so each folder is listed once, in the
    order in which things appear: the folder of the marker, the marker, the table of builds.
    """
    names = set(os.listdir(real))
    if not names <= {FOLDER, builds.TABLE}:
        return False
    marks = os.listdir(real / FOLDER) if FOLDER in names else []
    return not names or MARKER in marks or (names == {FOLDER} and not marks)
