"""log.verify_checksums: the log's files read against their page checksums before a build reads
them. Spread over the engine's tasks, a file each.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

from rankdistill.engines.query import Engine, Row
from rankdistill.errors import ConfigError, InputError
from rankdistill.log.checksums import verify
from rankdistill.log.files import Opened
from rankdistill.prepare import Prepared

DAMAGED, UNVERIFIABLE = "damaged", "unverifiable"
MAX_NAMED = 3


def verified(prepared: Prepared, engine: Engine) -> tuple[Prepared, list[str]]:
    """(what is left to read, warnings). Nothing is done where log.verify_checksums is not set.

    Files that on_corrupt sets aside are not read but stay among the build's inputs, so that it
    is up to date until they change. Raises InputError E0310, ConfigError E0105.
    """
    if not prepared.settings.log.verify_checksums:
        return prepared, []
    query = prepared.query
    log, warnings = _of_source(query.log, engine)
    feedback = query.feedback
    if feedback is not None and feedback.options.format == "parquet":
        feedback, more = _of_source(feedback, engine)
        warnings += more
    return replace(prepared, query=replace(query, log=log, feedback=feedback)), warnings


def _of_source(source: Opened, engine: Engine) -> tuple[Opened, list[str]]:
    options = source.options
    if source.by_engine:
        raise ConfigError(
            "E0105",
            "log.verify_checksums: only files on local paths can be verified",
            found=options.table or str(options.path),
            help="leave it out, or mount the place",
            key=("log", "verify_checksums"),
        )
    work = functools.partial(_checked, options.skip_key, options.on_corrupt == "skip")
    rows = list(engine.each(source.paths, work, lambda done: None))
    damaged = {row["value"] for row in rows if row["kind"] == DAMAGED}
    bare = sorted(row["value"] for row in rows if row["kind"] == UNVERIFIABLE)
    files = tuple(file for file in source.files if file.path not in damaged)
    if not files:
        raise InputError(
            "E0310",
            f"no file of {options.called} can be read",
            found=", ".join(sorted(damaged)[:MAX_NAMED]),
            help="give the path of files that are whole",
        )
    warnings = [f"file set aside: {path}: it is damaged" for path in sorted(damaged)]
    if bare:
        named = ", ".join(bare[:MAX_NAMED]) + (", ..." if len(bare) > MAX_NAMED else "")
        warnings.append(
            f"unverifiable: {len(bare):,} of {len(source.files):,} files of {options.called} "
            f"carry no page checksums: {named}"
        )
    return replace(source, files=files), warnings


def _checked(
    skip_key: str | None, may_skip: bool, paths: Iterator[str], task: str
) -> Iterator[Row]:
    for path in paths:
        try:
            if not verify(path, skip_key):
                yield {"kind": UNVERIFIABLE, "value": path}
        except InputError:
            if not may_skip:
                raise
            yield {"kind": DAMAGED, "value": path}
