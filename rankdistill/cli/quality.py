"""A data set judged: its report for people, its verdict for CI."""

from __future__ import annotations

from typing import Annotated

import typer

from rankdistill.cli.choices import BASELINES, completed
from rankdistill.cli.options import Data, Dt, FailOn, Number, Set, failing
from rankdistill.verbs import Run

Gates = Annotated[
    str | None,
    typer.Option("--config", "-c", help="the YAML file: its gates, and its output without --data"),
]
Metrics = Annotated[
    str | None, typer.Option("--metrics", help="a metrics.json, instead of a data set")
]
RedactIds = Annotated[bool, typer.Option("--redact-ids", help="show salted hashes in place of ids")]


def report(
    run: Run,
    out: Annotated[str, typer.Option("--out", help="the folder to write to")],
    config: Gates = None,
    data: Data = None,
    build: Number = None,
    dt: Dt = None,
    metrics: Metrics = None,
    redact_ids: RedactIds = False,
    set_: Set = None,
) -> None:
    """Write the quality report: one page of HTML that needs no network, Markdown and JSON."""
    from rankdistill import reporting

    asked = reporting.Asked(config, tuple(set_ or ()), data, build, tuple(dt or ()), metrics)
    reporting.report(run, asked, out, redact_ids)


def check(
    run: Run,
    config: Gates = None,
    data: Data = None,
    build: Number = None,
    dt: Dt = None,
    metrics: Metrics = None,
    fail_on: FailOn = None,
    recompute: Annotated[
        bool,
        typer.Option("--recompute", help="compute the metrics again from the tables, and compare"),
    ] = False,
    junit: Annotated[str | None, typer.Option("--junit", help="write JUnit XML here")] = None,
    summary: Annotated[
        str | None, typer.Option("--summary", help="append Markdown here, for GitHub's summary")
    ] = None,
    set_: Set = None,
) -> None:
    """Judge what a build measured; exit code 1 where a gate fails."""
    from rankdistill import reporting

    chosen = (*(set_ or ()), *failing(fail_on))
    asked = reporting.Asked(config, chosen, data, build, tuple(dt or ()), metrics)
    reporting.check(run, asked, junit, summary, recompute)


def diff(
    run: Run,
    a: Annotated[str, typer.Argument(metavar="A", help="a data set's folder, or FOLDER@BUILD")],
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="another one, or another build of it")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            help="in place of B: yesterday, weekday, or last:N builds ago",
            autocompletion=completed(BASELINES),
        ),
    ] = None,
    dt: Annotated[str | None, typer.Option("--dt", help="only this day")] = None,
    out: Annotated[
        str | None, typer.Option("--out", help="a folder for diff.html, diff.md and diff.json")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="the YAML file whose gates judge both")
    ] = None,
    redact_ids: RedactIds = False,
    set_: Set = None,
) -> None:
    """Say what changed from A to B: schema, config, counts, distributions, measures, rows."""
    from rankdistill import comparing

    asked = comparing.Asked(a, b, baseline, dt, config, tuple(set_ or ()))
    comparing.diff(run, asked, out, redact_ids)


def baseline(
    run: Run,
    config: Gates = None,
    data: Data = None,
    build: Number = None,
    set_: Set = None,
) -> None:
    """Propose gates from the clean days of a data set, as YAML for its config."""
    from rankdistill import comparing, reporting

    asked = reporting.Asked(config, tuple(set_ or ()), data, build, (), None)
    comparing.baseline(run, asked)
