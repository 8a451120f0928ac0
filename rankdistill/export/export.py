"""One export, from what was asked to the folder that holds it. The room's front door."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rankdistill import __version__
from rankdistill.errors import ConfigError, PlaceError
from rankdistill.export.asked import ANCHORS, Asked, chosen, option, refuse_unread
from rankdistill.export.folder import new_folder
from rankdistill.export.formats import FORMATS, Format
from rankdistill.export.source import Notify, Source, silent
from rankdistill.store.dataset import Build, DataSet


def export_samples(
    data: DataSet,
    out: str | Path,
    kind: str,
    asked: Asked,
    *,
    build: int | None = None,
    dts: Sequence[str] = (),
    notify: Notify = silent,
) -> dict[str, Any]:
    """Write samples of a build (the current one) into the new folder `out`; its manifest.

    kind: a key of FORMATS. dts: only these days. The same build and options give the same
    bytes. Raises ConfigError E0102, E0104 to E0107, PlaceError E0201, E0202, E0206, InputError
    E0313, ResourceError E0402 to E0404; then `out` is as it was.
    """
    form = FORMATS[chosen(kind, "--as", list(FORMATS))]
    refuse_unread(asked, kind, form.reads)
    _refuse_bad_values(asked)
    of = data.build(build) if build is not None else data.newest()
    table = _table(of, kind, form, asked.table)
    source = Source(data, of, tuple(sorted(set(dts))) or tuple(sorted(of.days)), notify)
    with new_folder(out, data.root) as folder:
        num_read = source.num_rows(table)  # E0206 for a day that is not there
        notify("started", rows=num_read)
        form.write(source, table, asked, folder)
        if not folder.rows:
            folder.notes.append(f"no row of {table} could be written: there is no file")
        facts = {
            "format": kind,
            "table": table,
            "build": of.number,
            "config_hash": of.config_hash,
            "code_version": __version__,
            "days": list(source.days),
            "options": {option(name): value for name, value in asked.given().items()},
            "rows_read": num_read,
            "left_out": {reason: n for reason, n in sorted(source.left_out.items()) if n},
            "notes": folder.notes,
        }
        manifest = folder.finish(facts | folder.facts)
    return manifest


def _refuse_bad_values(asked: Asked) -> None:
    if asked.anchor is not None:
        chosen(asked.anchor, "--anchor", list(ANCHORS))


def _table(build: Build, kind: str, form: Format, wanted: str | None) -> str:
    """The table to read: the one asked for, or the only one that the build has."""
    there = [table for table in form.tables if table in build.tables]
    if wanted is not None:
        chosen(wanted, "--table", form.tables)
        if wanted not in there:
            raise PlaceError(
                "E0206",
                f"build {build.number} has no table {wanted}",
                found=", ".join(build.tables),
                help=f"build it: samples.{wanted} in the config",
            )
        return wanted
    if len(there) == 1:
        return there[0]
    if not there:
        raise PlaceError(
            "E0206",
            f"build {build.number} has no table that {kind} can be made of",
            found=", ".join(build.tables),
            help=f"build one: {', '.join(f'samples.{t}' for t in form.tables)} in the config",
        )
    raise ConfigError(
        "E0105",
        f"{kind} can be made of {' or of '.join(there)}, and the build has them all",
        help=f"--table {there[0]}",
    )
