"""A configuration before it is checked: plain data, places, `--set` overrides. Ground floor."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankdistill.errors import ConfigError, Place, UserErrors, beside
from rankdistill.yaml_reader import MAX_BYTES, KeyPath, Mark, lines_of, read_block, read_value

_SEGMENT = re.compile(r'"([^"]*)"|([^."=]+)')


@dataclass(frozen=True)
class Document:
    """A configuration as plain data; `marks` by path, the empty path being the whole."""

    data: dict[str, Any]
    marks: dict[KeyPath, Mark]

    def value(self, path: KeyPath) -> Any:
        """The value at `path`, which must be there."""
        here: Any = self.data
        for step in path:
            here = here[step]
        return here

    def place(self, path: KeyPath, *, of_key: bool = False) -> Place:
        """The place of `path`, or else of the innermost written block around it."""
        for length in range(len(path), -1, -1):
            mark = self.marks.get(path[:length])
            if mark:
                wants_key = of_key or length < len(path)
                return (mark.key if wants_key else None) or mark.value
        raise AssertionError("a document without its root mark")


def read_file(path: str | Path) -> Document:
    """The configuration file at `path`; faults are UserErrors of ConfigError."""
    try:
        with open(path, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        told = f"cannot open {path}: {error.strerror}"
        fault = ConfigError("E0100", told, found=_beside(path), help=_in_its_place(path))
        raise UserErrors([fault]) from None
    if len(content) > MAX_BYTES:
        raise UserErrors([ConfigError("E0100", f"{path} is over 1 MB")])
    try:
        return read_document(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        fault = ConfigError("E0100", f"{path} is not UTF-8 at byte {error.start}")
        raise UserErrors([fault]) from None


def _is_yaml(file: Path) -> bool:
    return file.suffix in (".yaml", ".yml")


def _beside(path: str | Path) -> str:
    folder = Path(path).parent
    if not os.path.isdir(folder):
        return f"no folder {folder}"
    try:
        names = sorted(file.name for file in folder.iterdir() if _is_yaml(file))
    except OSError as fault:
        return f"{folder}: {fault.strerror}"
    return f"{folder.absolute()} holds {', '.join(names[:8]) or 'no *.yaml'}"


def _in_its_place(path: str | Path) -> str:
    near = beside(path, _is_yaml)
    return f"--config {near}" if near else "write one: conf/hive_rows.yaml has every key to copy"


def read_document(text: str, file: str) -> Document:
    """`text` of `file` as a Document; the top level must be a mapping.

    Raises UserErrors of ConfigError.
    """
    lines = lines_of(text)

    def locate(line: int, column: int) -> Place:
        shown = lines[line][:200] if line < len(lines) else ""
        return Place(file=file, line=line + 1, column=column + 1, text=shown)

    return Document(*read_block(text, locate))


def apply_overrides(document: Document, overrides: Sequence[str]) -> Document:
    """`document` with each "a.b=c" set, in order; blocks on the way are made.

    c is a YAML scalar or flow collection and replaces what was there, whole blocks too; an
    empty c is null. A digit names the entry of a list, and a key that holds a dot stands in
    quotes: `log.stage.values."1.5"=ranked`. A place's line is the number of the override.
    Raises UserErrors of ConfigError, all overrides' faults at once.
    """
    changed = Document(copy.deepcopy(document.data), dict(document.marks))
    faults: list[Any] = []
    for number, override in enumerate(overrides, start=1):
        try:
            _apply(changed, override, number)
        except UserErrors as found:
            faults += found.errors
    if faults:
        raise UserErrors(faults)
    return changed


def _apply(document: Document, override: str, number: int) -> None:
    left, equals, right = _split(override)
    place = Place(file="--set", line=number, column=1, text=override)
    if not equals or not left:
        raise _refused(place, f"--set {override} is not of the form block.key=value")
    start = len(override) - len(right) + 1

    def locate(line: int, column: int) -> Place:
        return Place(file="--set", line=number, column=start + column, text=override)

    value, marks = read_value(right, locate)
    container, path = _container(document, left, place)
    container[path[-1]] = value
    for known in [known for known in document.marks if known[: len(path)] == path]:
        del document.marks[known]
    for inner, mark in marks.items():
        key = mark.key if inner else place
        document.marks[(*path, *inner)] = Mark(mark.value, key, mark.raw)


def _split(override: str) -> tuple[list[str], str, str]:
    """The key's segments, "=" or "" where the form is wrong, and the value's text."""
    segments, at = [], 0
    while match := _SEGMENT.match(override, at):
        segments.append(match[2] if match[1] is None else match[1])
        at = match.end()
        if override[at : at + 1] != ".":
            break
        at += 1
    equals = override[at : at + 1]
    return segments, "=" if equals == "=" and match else "", override[at + 1 :]


def _container(document: Document, segments: list[str], place: Place) -> tuple[Any, KeyPath]:
    """The block or list that holds the last segment, and the whole path."""
    here: Any = document.data
    path: KeyPath = ()
    for depth, segment in enumerate(segments):
        step = _step(here, segment, path, place)
        path = (*path, step)
        if depth == len(segments) - 1:
            break
        if isinstance(here, dict) and here.get(segment) is None:
            here[segment] = {}
            document.marks[path] = Mark(place, place)
        here = here[step]
    return here, path


def _step(here: Any, segment: str, path: KeyPath, place: Place) -> str | int:
    if isinstance(here, dict):
        return segment
    name = dotted(path)
    if not isinstance(here, list):
        raise _refused(place, f"{name} is a single value and holds no {segment}")
    if re.fullmatch("[0-9]{1,9}", segment) and int(segment) < len(here):
        return int(segment)
    raise _refused(place, f"{name} is a list of {len(here)}, counted from 0: no entry {segment}")


def _refused(place: Place, message: str) -> UserErrors:
    help = "write --set block.key=value, such as --set samples.pairwise.top_k=10"
    return UserErrors([ConfigError("E0108", message, place=place, help=help)])


def dotted(path: Iterable[str | int]) -> str:
    """`path` as --set takes it."""
    segments = (str(segment) for segment in path)
    return ".".join(s if _SEGMENT.fullmatch(s) and '"' not in s else f'"{s}"' for s in segments)
