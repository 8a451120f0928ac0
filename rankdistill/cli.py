"""The verbs. Parses arguments, calls the library, prints; heavy imports stay inside a verb."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from rankdistill import __version__
from rankdistill.verbs import (
    Run,
    carry_out,
    leave_if_stopped,
    leave_pandas_unread,
    leave_threads_to_us,
)

app = typer.Typer(
    help="Turn fine-ranking logs into training samples for a recall or pre-rank student.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Config = Annotated[str, typer.Option("--config", "-c", help="the YAML file")]
MaybeConfig = Annotated[str | None, typer.Option("--config", "-c", help="the YAML file")]
Set = Annotated[list[str] | None, typer.Option("--set", help="override a key: a.b=value")]
AsFormat = Annotated[str, typer.Option("--format", help="text or json")]
Result = Annotated[str | None, typer.Option("--result", help="where run_result.json goes")]
Data = Annotated[str | None, typer.Option("--data", help="the data set's folder")]
Number = Annotated[int | None, typer.Option("--build", help="build number; default the current")]
Dt = Annotated[list[str] | None, typer.Option("--dt", help="only this day; may be repeated")]
First = Annotated[str | None, typer.Option("--from", help="first day")]
Last = Annotated[str | None, typer.Option("--to", help="last day")]
EngineName = Annotated[str | None, typer.Option("--engine", help="duckdb or spark")]
Output = Annotated[str | None, typer.Option("--output", help="instead of the config's output")]
Input = Annotated[list[str] | None, typer.Option("--path", help="instead of the config's log.path")]


def _go(verb: str, as_format: str, result: str | None, act: Callable[[Run], int | None]) -> None:
    if as_format not in ("text", "json"):
        raise typer.BadParameter(f'"{as_format}"; known are text, json', param_hint="--format")
    run = Run(verb, as_json=as_format == "json", result_file=result)
    leave_pandas_unread()
    code = carry_out(run, act)
    leave_if_stopped(code)
    raise typer.Exit(code)


@app.command()
def simulate(
    out: Annotated[str, typer.Option("--out", help="folder to write to")],
    config: MaybeConfig = None,
    set_: Set = None,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Write a cascade log with known truth; --set num_requests=1000 and the like."""

    def act(run: Run) -> None:
        from rankdistill import actions

        actions.simulate(run, out, config, set_ or [])

    _go("simulate", as_format, result, act)


@app.command()
def validate(
    config: Config,
    set_: Set = None,
    engine: EngineName = None,
    path: Input = None,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Check config and log against the contract; nothing is written."""

    def act(run: Run) -> None:
        from rankdistill import actions

        actions.validate(run, actions.settings(config, set_, engine, None, path))

    _go("validate", as_format, result, act)


@app.command()
def plan(
    config: Config,
    set_: Set = None,
    engine: EngineName = None,
    output: Output = None,
    path: Input = None,
    exact: Annotated[bool, typer.Option("--exact", help="count on all requests")] = False,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Show what would be built and why: days, exchanges, rows, and choices that mislead."""

    def act(run: Run) -> None:
        from rankdistill import actions

        actions.plan(run, actions.settings(config, set_, engine, output, path), exact)

    _go("plan", as_format, result, act)


@app.command()
def build(
    config: Config,
    set_: Set = None,
    engine: EngineName = None,
    output: Output = None,
    path: Input = None,
    dt: Dt = None,
    first: First = None,
    last: Last = None,
    force: Annotated[bool, typer.Option("--force", help="build even what is up to date")] = False,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Build ranked lists and samples from the log and publish them as one version."""

    def act(run: Run) -> None:
        from rankdistill import actions

        chosen = actions.settings(config, set_, engine, output, path)
        actions.build(run, chosen, dt, first, last, force)

    _go("build", as_format, result, act)


@app.command()
def preview(
    request_id: Annotated[str, typer.Argument(help="a request of the data set")],
    config: Config,
    set_: Set = None,
    output: Output = None,
    why: Annotated[bool, typer.Option("--why", help="say why each was kept or left")] = False,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Show one request: its candidates, and the samples of each kind made from it."""

    def act(run: Run) -> None:
        from rankdistill import actions

        chosen = actions.settings(config, set_, None, output, None)
        actions.preview(run, chosen, request_id, why)

    _go("preview", as_format, result, act)


@app.command()
def files(
    table: Annotated[str, typer.Argument(help="lists, pointwise, pairwise, listwise, rejects")],
    config: MaybeConfig = None,
    data: Data = None,
    build: Number = None,
    dt: Annotated[str | None, typer.Option("--dt", help="only this day")] = None,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """List the Parquet files of a table; the only files to read."""

    def act(run: Run) -> None:
        from rankdistill import actions

        actions.files(run, actions.data_set(config, data), table, build, dt)

    _go("files", as_format, result, act)


@app.command("export-samples")
def export_samples(
    kind: Annotated[str, typer.Option("--as", help="triplet, n-tuple, libsvm, tfrecord, ...")],
    out: Annotated[str, typer.Option("--out", help="an empty or a new folder to write to")],
    config: MaybeConfig = None,
    data: Data = None,
    table: Annotated[str | None, typer.Option("--table", help="the table to read")] = None,
    build: Number = None,
    dt: Dt = None,
    anchor: Annotated[
        str | None, typer.Option("--anchor", help="user (default) or request")
    ] = None,
    num_negatives: Annotated[
        int | None, typer.Option("--num-negatives", min=1, help="of each tuple")
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="columns for libsvm, lightgbm: a,b,c")
    ] = None,
    item_text: Annotated[
        str | None, typer.Option("--item-text", help="FILE:ID_COLUMN:TEXT_COLUMN, Parquet")
    ] = None,
    anchor_text: Annotated[
        str | None, typer.Option("--anchor-text", help="the same for users or requests")
    ] = None,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Hand samples over to another trainer, in its format."""

    def act(run: Run) -> None:
        from rankdistill import actions

        found = actions.data_set(config, data)
        texts = {"item_text": item_text, "anchor_text": anchor_text}
        asked = {"table": table, "anchor": anchor, "num_negatives": num_negatives, **texts}
        actions.export_samples(run, found, kind, out, build, dt or [], features, asked)

    _go("export-samples", as_format, result, act)


@app.command("mine-negatives")
def mine_negatives(
    data: Annotated[str, typer.Option("--data", help="the data set's folder")],
    out: Annotated[str, typer.Option("--out", help="an empty or a new folder to write to")],
    config: MaybeConfig = None,
    set_: Set = None,
    engine: EngineName = None,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Mine negatives: each user's nearest items by vectors, positives and history left out."""

    def act(run: Run) -> None:
        from rankdistill import actions

        found = actions.data_set(None, data)
        actions.mine_negatives(run, found, out, config, set_ or [], engine)

    leave_threads_to_us()
    _go("mine-negatives", as_format, result, act)


@app.command()
def versions(
    config: MaybeConfig = None,
    data: Data = None,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """List the builds of a data set."""

    def act(run: Run) -> None:
        from rankdistill import actions

        actions.versions(run, actions.data_set(config, data))

    _go("versions", as_format, result, act)


@app.command()
def rollback(
    number: Annotated[int, typer.Argument(help="the build to go back to")],
    config: MaybeConfig = None,
    data: Data = None,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Make an earlier build the current one again."""

    def act(run: Run) -> None:
        from rankdistill import actions

        actions.rollback(run, actions.data_set(config, data), number)

    _go("rollback", as_format, result, act)


@app.command()
def gc(
    config: MaybeConfig = None,
    data: Data = None,
    retention_hours: Annotated[float, typer.Option(min=0, help="keep what is younger")] = 168,
    keep_builds: Annotated[int, typer.Option(min=1, help="builds to keep")] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Remove the leftovers of dead builds and parts that no kept build names."""

    def act(run: Run) -> None:
        from rankdistill import actions

        found = actions.data_set(config, data)
        actions.gc(run, found, retention_hours, keep_builds, dry_run)

    _go("gc", as_format, result, act)


@app.command()
def verify(
    config: MaybeConfig = None,
    data: Data = None,
    build: Number = None,
    quick: Annotated[bool, typer.Option("--quick", help="sizes and footers only")] = False,
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Check that every part is what the build wrote; print each table's content hash."""

    def act(run: Run) -> int:
        from rankdistill import actions

        return actions.verify(run, actions.data_set(config, data), build, quick)

    _go("verify", as_format, result, act)


@app.command()
def doctor(as_format: AsFormat = "text", result: Result = None) -> None:
    """Look at this machine: Python, packages, Java, memory, disk."""

    def act(run: Run) -> int:
        from rankdistill import actions

        return actions.doctor(run)

    _go("doctor", as_format, result, act)


@app.command()
def explain(
    code: Annotated[str, typer.Argument(help="an error code like E0102, or a reason")],
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Say what an error code or a reject reason means."""

    def act(run: Run) -> None:
        from rankdistill import actions

        actions.explain(run, code)

    _go("explain", as_format, result, act)


@app.command()
def demo(
    out: Annotated[str, typer.Option("--out", help="folder to write to")] = "rankdistill-demo",
    as_format: AsFormat = "text",
    result: Result = None,
) -> None:
    """Simulate a log, build all sample kinds from it, and show what came out."""

    def act(run: Run) -> None:
        from rankdistill import actions

        actions.demo(run, out)

    _go("demo", as_format, result, act)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rankdistill {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None: ...


def main(arguments: list[str] | None = None) -> int:
    """Run a verb; the exit code. Usage errors are 2."""
    code: Any = app(args=arguments, prog_name="rankdistill", standalone_mode=True)
    return int(code or 0)


if __name__ == "__main__":
    sys.exit(main())
