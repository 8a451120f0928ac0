"""Students: trained on a build, evaluated, handed to serving."""

from __future__ import annotations

from typing import Annotated

import typer

from rankdistill.cli.options import Config, Dt, Number, Output, Set
from rankdistill.verbs import Run


def train(
    run: Run,
    config: Config,
    out: Annotated[str, typer.Option("--out", help="the run's folder; new, or one to go on with")],
    output: Output = None,
    build: Number = None,
    dt: Dt = None,
    set_: Set = None,
) -> None:
    """Train a student on the ranked lists of a build; goes on where a run was stopped."""
    from rankdistill import actions, training

    chosen = actions.settings(config, set_, None, output, None)
    training.train(run, chosen, out, build, dt)
