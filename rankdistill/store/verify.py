"""Whether the files that a build names are there and are what was written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rankdistill.errors import PlaceError
from rankdistill.store import builds, staging
from rankdistill.store.builds import Build
from rankdistill.store.files import sha256
from rankdistill.store.parts import Part
from rankdistill.store.publish import named_by, parts_of
from rankdistill.store.reading import fault


@dataclass(frozen=True)
class Fault:
    """One file that is not what the build names. file: relative to the data set."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """strays: Parquet files under the tables that no kept build names; nobody reads them."""

    build: int
    num_parts: int
    num_bytes: int
    faults: tuple[Fault, ...]
    strays: tuple[str, ...]

    def refuse_faults(self, root: Path) -> None:
        """PlaceError E0204 naming the files, where there are faults."""
        _refuse(root, self.build, self.faults)


def verify(root: Path, build: Build, *, content: bool) -> Report:
    """Existence, size and footer of each part of `build`; content: and the digest of its bytes."""
    parts: list[Part] = []
    faults: list[Fault] = []
    for table in build.tables:
        try:
            parts += parts_of(root, build, table)
        except PlaceError as error:
            faults.append(Fault(f"{table}/_delta_log", error.message))
    faults += _faults(root, parts, content=content)
    return Report(
        build=build.number,
        num_parts=len(parts),
        num_bytes=sum(part.num_bytes for part in parts),
        faults=tuple(faults),
        strays=tuple(_strays(root, parts)),
    )


def refuse_damaged(root: Path, build: Build, parts: Sequence[Part]) -> None:
    """PlaceError E0204 naming those of some parts of `build` that are not what was written."""
    _refuse(root, build.number, _faults(root, parts, content=True))


def _refuse(root: Path, build: int, faults: Sequence[Fault]) -> None:
    if faults:
        raise PlaceError(
            "E0204",
            f"build {build} of {root} is damaged: {len(faults)} files",
            found="; ".join(f"{f.file}: {f.reason}" for f in faults[:5]),
            help="restore them from a copy, or build their dt again with --force",
        )


def _faults(root: Path, parts: Sequence[Part], *, content: bool) -> list[Fault]:
    def judge(part: Part) -> str | None:
        file = root / part.table / part.path
        reason = fault(file, part)
        if reason is None and content and sha256(file) != part.sha256:
            return "its bytes are not those that were written (sha256)"
        return reason

    with ThreadPoolExecutor(8) as pool:
        reasons = list(pool.map(judge, parts))
    return [
        Fault(f"{part.table}/{part.path}", reason)
        for part, reason in zip(parts, reasons, strict=True)
        if reason
    ]


def _strays(root: Path, parts: Iterable[Part]) -> list[str]:
    """Files beside those of any kept build and of builds under way."""
    named = {f"{part.table}/{part.path}" for part in parts}
    try:
        named |= named_by(root, builds.every(root))
    except PlaceError:
        return []  # a lost commit: what is a stray cannot be told
    live = {record.build_id for record in staging.records(root) if record.is_locked}
    found = (
        file.relative_to(root)
        for table in staging.tables(root)
        for file in (root / table).rglob("*.parquet")
        if "_delta_log" not in file.relative_to(root).parts
    )
    return sorted(
        str(file) for file in found if str(file) not in named and file.parts[1] not in live
    )
