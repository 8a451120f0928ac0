"""What helps: the machine, the errors, a demo."""

from __future__ import annotations

from typing import Annotated

import typer

from rankdistill.cli.choices import EXPLAINED, completed
from rankdistill.verbs import Run


def doctor(run: Run) -> int:
    """Look at this machine: Python, packages, Java, memory, disk."""
    from rankdistill import actions

    return actions.doctor(run)


def explain(
    run: Run,
    code: Annotated[
        str,
        typer.Argument(
            help="an error code, a reason, a count, or a measure like Q07",
            autocompletion=completed(EXPLAINED),
        ),
    ],
) -> None:
    """Say what an error code, a reject reason, a count of a build or a measure means."""
    from rankdistill import actions

    actions.explain(run, code)


def demo(
    run: Run,
    out: Annotated[str, typer.Option("--out", help="folder to write to")] = "rankdistill-demo",
) -> None:
    """Simulate a log, build all sample kinds, report on them, train students and compare them."""
    from rankdistill import demo as demonstration

    demonstration.demo(run, out)
