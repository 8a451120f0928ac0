"""From a log to samples: what reads a log, and a look at what came of it."""

from __future__ import annotations

from typing import Annotated

import typer

from rankdistill.cli.options import (
    Config,
    Dt,
    EngineName,
    FailOn,
    First,
    Input,
    Last,
    MaybeConfig,
    Output,
    Set,
    failing,
)
from rankdistill.verbs import Run


def simulate(
    run: Run,
    out: Annotated[str, typer.Option("--out", help="folder to write to")],
    config: MaybeConfig = None,
    set_: Set = None,
) -> None:
    """Write a cascade log with known truth; --set num_requests=1000 and the like."""
    from rankdistill import actions

    actions.simulate(run, out, config, set_ or [])


def validate(
    run: Run,
    config: Config,
    set_: Set = None,
    engine: EngineName = None,
    path: Input = None,
) -> None:
    """Check config and log against the contract; nothing is written."""
    from rankdistill import actions

    actions.validate(run, actions.settings(config, set_, engine, None, path))


def plan(
    run: Run,
    config: Config,
    set_: Set = None,
    engine: EngineName = None,
    output: Output = None,
    path: Input = None,
    exact: Annotated[bool, typer.Option("--exact", help="count on all requests")] = False,
) -> None:
    """Show what would be built and why: days, exchanges, rows, and choices that mislead."""
    from rankdistill import actions

    actions.plan(run, actions.settings(config, set_, engine, output, path), exact)


def build(
    run: Run,
    config: Config,
    set_: Set = None,
    engine: EngineName = None,
    output: Output = None,
    path: Input = None,
    dt: Dt = None,
    first: First = None,
    last: Last = None,
    force: Annotated[bool, typer.Option("--force", help="build even what is up to date")] = False,
    fail_on: FailOn = None,
) -> None:
    """Build ranked lists and samples from the log and publish them as one version."""
    from rankdistill import actions

    overrides = [*(set_ or []), *failing(fail_on)]
    chosen = actions.settings(config, overrides, engine, output, path)
    actions.build(run, chosen, dt, first, last, force)


def preview(
    run: Run,
    request_id: Annotated[str, typer.Argument(help="a request of the data set")],
    config: Config,
    set_: Set = None,
    output: Output = None,
    why: Annotated[bool, typer.Option("--why", help="say why each was kept or left")] = False,
    html: Annotated[str | None, typer.Option("--html", help="write it as a page here")] = None,
) -> None:
    """Show one request: its candidates, and the samples of each kind made from it."""
    from rankdistill import actions, reporting

    chosen = actions.settings(config, set_, None, output, None)
    reporting.preview(run, chosen, request_id, why, html)
