"""The verbs. Parses arguments, calls the library, prints; heavy imports stay inside a verb."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from rankdistill import __version__
from rankdistill.cli import aid, handover, log, quality, student, versions
from rankdistill.cli.options import command
from rankdistill.cli.usage import Verbs
from rankdistill.verbs import end_process, failed, leave_threads_to_us

# In the order of --help; a function's name, with dashes, is its verb.
VERBS = (
    *(log.simulate, log.validate, log.plan, log.build, log.preview),
    *(quality.report, quality.check, quality.diff, quality.baseline),
    *(student.train, student.evaluate, student.export),
    *(handover.files, handover.export_samples, handover.mine_negatives),
    *(versions.versions, versions.rollback, versions.gc, versions.verify),
    *(aid.doctor, aid.explain, aid.demo),
)
OWN_THREADS = (handover.mine_negatives,)  # their threads take matrix products

app = typer.Typer(
    cls=Verbs,
    help="Turn fine-ranking logs into training samples for a recall or pre-rank student.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for act in VERBS:
    app.command()(command(act, leave_threads_to_us if act in OWN_THREADS else None))


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


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a verb in a process of its own, which ends with its exit code. Usage errors are 2."""
    try:
        app(args=arguments, prog_name="rankdistill", obj=end_process)
    except SystemExit as ended:
        end_process(int(ended.code or 0))
    except Exception as fault:  # such as a full disk under --help
        end_process(failed(fault))
    end_process(0)
