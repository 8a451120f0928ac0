"""The builds of a data set: listed, gone back to, tidied, checked."""

from __future__ import annotations

from typing import Annotated

import typer

from rankdistill.cli.options import Data, MaybeConfig, Number
from rankdistill.verbs import Run


def versions(
    run: Run,
    config: MaybeConfig = None,
    data: Data = None,
) -> None:
    """List the builds of a data set."""
    from rankdistill import actions

    actions.versions(run, actions.data_set(config, data))


def rollback(
    run: Run,
    number: Annotated[int, typer.Argument(help="the build to go back to")],
    config: MaybeConfig = None,
    data: Data = None,
) -> None:
    """Make an earlier build the current one again."""
    from rankdistill import actions

    actions.rollback(run, actions.data_set(config, data), number)


def gc(
    run: Run,
    config: MaybeConfig = None,
    data: Data = None,
    retention_hours: Annotated[float, typer.Option(min=0, help="keep what is younger")] = 168,
    keep_builds: Annotated[int, typer.Option(min=1, help="builds to keep")] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
) -> None:
    """Remove the leftovers of dead builds and parts that no kept build names."""
    from rankdistill import actions

    found = actions.data_set(config, data)
    actions.gc(run, found, retention_hours, keep_builds, dry_run)


def verify(
    run: Run,
    config: MaybeConfig = None,
    data: Data = None,
    build: Number = None,
    quick: Annotated[bool, typer.Option("--quick", help="sizes and footers only")] = False,
) -> int:
    """Check that every part is what the build wrote; print each table's content hash."""
    from rankdistill import actions

    return actions.verify(run, actions.data_set(config, data), build, quick)
