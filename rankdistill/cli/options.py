"""What the verbs share on the command line: options under one name, and the way into a verb."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from rankdistill.cli.choices import ENGINES, FORMATS, VERDICTS, completed, one_of
from rankdistill.verbs import Run, carry_out, leave_pandas_unread

Config = Annotated[str, typer.Option("--config", "-c", help="the YAML file")]
MaybeConfig = Annotated[str | None, typer.Option("--config", "-c", help="the YAML file")]
Set = Annotated[list[str] | None, typer.Option("--set", help="override a key: a.b=value")]
AsFormat = Annotated[str, typer.Option("--format", help="text or json", **one_of(FORMATS))]
Result = Annotated[str | None, typer.Option("--result", help="where run_result.json goes")]
Data = Annotated[str | None, typer.Option("--data", help="the data set's folder")]
Number = Annotated[int | None, typer.Option("--build", help="build number; default the current")]
Dt = Annotated[list[str] | None, typer.Option("--dt", help="only this day; may be repeated")]
First = Annotated[str | None, typer.Option("--from", help="first day")]
Last = Annotated[str | None, typer.Option("--to", help="last day")]
EngineName = Annotated[
    str | None,
    typer.Option("--engine", help="duckdb or spark", autocompletion=completed(ENGINES)),
]
Output = Annotated[str | None, typer.Option("--output", help="instead of the config's output")]
Input = Annotated[list[str] | None, typer.Option("--path", help="instead of the config's log.path")]
FailOn = Annotated[
    str | None,
    typer.Option(
        "--fail-on",
        help="verdict from which on it is a failure: fail, warn or never; default: the config's",
        **one_of(VERDICTS),
    ),
]


def failing(fail_on: str | None) -> list[str]:
    """--fail-on as a --set."""
    return [] if fail_on is None else [f"quality.fail_on={fail_on}"]


def command(
    act: Callable[..., int | None], first: Callable[[], None] | None = None
) -> Callable[..., None]:
    """`act(run, ...)` as typer runs it: its options but for `run`, then --format and --result.

    Its errors become the exit code; its name, with dashes, is the verb's. first: what must be
    done before anything heavy is imported.
    """
    name = act.__name__.replace("_", "-")
    own = list(inspect.signature(act, eval_str=True).parameters.values())[1:]

    def run_it(
        *, context: typer.Context, as_format: str, result: str | None, **options: Any
    ) -> None:
        run = Run(name, as_json=as_format == "json", result_file=result)
        if first is not None:
            first()
        leave_pandas_unread()
        raise typer.Exit(carry_out(run, lambda run: act(run, **options), context.obj))

    kind = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter("context", kind, annotation=typer.Context),
        inspect.Parameter("as_format", kind, default="text", annotation=AsFormat),
        inspect.Parameter("result", kind, default=None, annotation=Result),
    ]
    every = [*(parameter.replace(kind=kind) for parameter in own), *shared]
    run_it.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    run_it.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
    run_it.__name__, run_it.__doc__ = act.__name__, act.__doc__
    return run_it
